"""Verify a release: every rule that clients of WD's taggers count on, every format against the Keras model.

Readers of kohya, standalone, picobyte, comfy, wdv3 and imgutils, made anew from how they are described, and
sidecars for trainers and Hydrus, must name the same tags of the same pictures. What differs from the Keras
model is named where it is known: shuffled CSV, RGB instead of BGR, logits instead of probabilities, fixed
batch, external data, a wrong epsilon, a tanh GELU for an exact one. Exit code 1 where a rule is broken.

The Keras model is that of the release (extra/keras), or of the run it was made from (--run). Pictures are
drawn, unless some are given; with a dataset the tags are scored against its labels.
"""

import Utils.command.interrupt  # noqa: F401  first: imports take long

import dataclasses
import importlib.util
import pathlib
import sys

import numpy as np

from Utils.command.backend import prepare_backend
from Utils.command.cli import Parser, UserError, command, print_json, progress
from Utils.data import dataset_folder
from Utils.files.atomic import to_path
from Utils.files.model_files import RELEASED_MODEL
from Utils.images import codec, image_folder, image_reader


def parser():
    """Return the command line's parser."""
    words = Parser(prog="tools/verify_release.py", description=__doc__)
    words.add_argument("release", metavar="RELEASE", type=pathlib.Path)
    words.add_argument("--run", type=pathlib.Path, metavar="RUN|FILE.keras", help="the model that is right")
    words.add_argument("--which", choices=("best", "last"), default="best", help="model of a run (best)")
    what = words.add_mutually_exclusive_group()
    what.add_argument("--images", type=pathlib.Path, metavar="DIR", help="pictures instead of drawn ones")
    what.add_argument("--dataset", type=to_path, help="pictures and their labels instead of drawn ones")
    words.add_argument("--split", default="validation", help="split of the dataset (validation)")
    words.add_argument("--most", type=int, default=128, help="pictures at most (128)")
    words.add_argument("--json", action="store_true", help="print one JSON object")
    return words


@command
def main(argv=None):
    """Verify and say what is wrong; 1 where something is."""
    options = parser().parse_args(argv)
    if options.most < 2:
        raise UserError(f"--most must be 2 or more; got {options.most}")
    if not options.release.is_dir():
        found = "a file" if options.release.exists() else "nothing"
        raise UserError(f"a release folder was expected at {options.release}; found {found}")
    dataset = None if options.dataset is None else dataset_folder.load(options.dataset)

    prepare_backend()
    missing = [name for name in ("onnx", "onnxruntime") if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(f"{' and '.join(missing)} not installed: pip install -r requirements-export.txt")
    from Utils.release.verification import release

    found = release.Verification(options.release, _given(options, dataset)).run()
    if options.json:
        print_json(_as_dict(options.release, found))
    else:
        print(text(options.release, found))
    return 1 if found.findings.failures else 0


def _given(options, dataset):
    """Load the model that is right, and the pictures."""
    import Models
    from Utils.release.verification.release import Given

    own, broken = _own(options.release, Models.load)
    if options.run is not None:
        tagger = Models.load(options.run, which=options.which)
    elif own is not None:
        tagger = own
    else:
        return Given(broken=broken)
    if tagger.tags is None:
        raise UserError(f"{options.run} has no selected_tags.csv beside it, so its outputs have no names")
    other = own.model if own and own is not tagger else None
    given = Given(tagger.model, tagger.tags, other=other, broken=broken)
    if dataset is not None:
        pictures, labels = _labeled(dataset, options, tagger)
        return dataclasses.replace(given, pictures=pictures, labels=labels)
    if options.images is not None:
        return dataclasses.replace(given, pictures=_pictures(options, tagger.image_size))
    return given


def _own(release, load):
    """Return the tagger of the release and why it cannot be loaded: one of them, none where it has none."""
    if not (release / RELEASED_MODEL).is_file():
        return None, ""
    try:
        return load(release), ""
    except UserError as error:
        return None, str(error)


def _pictures(options, image_size):
    """Return (N, S, S, 3) uint8 of a folder's pictures, prepared as here."""
    names = image_folder.image_paths(options.images)
    good = []
    for name in progress(names[: options.most], label="read", unit="images"):
        try:
            good.append(image_reader.read_image(options.images / name, image_size))
        except codec.ImageError as error:
            print(f"left out: {name}: {error}", file=sys.stderr)
    if len(good) < 2:
        raise UserError(f"two pictures or more are needed; {options.images} has {len(good)} that can be read")
    return np.stack(good)


def _labeled(dataset, options, tagger):
    """Return pictures (N, S, S, 3) uint8 of a split and labels (N, L) int8, -1 for tags it does not know."""
    from Generators import labeled_sample
    from Utils.tags import tag_list

    places = tag_list.matching_rows(tagger.tags, dataset.tags)
    if not (places >= 0).any():
        raise UserError(f"the model and {dataset.folder} have no tag in common")
    pictures, labels = labeled_sample.read_sample(dataset, options.split, tagger.image_size, options.most)
    return pictures, np.where(places >= 0, labels[:, places].astype(np.int8), np.int8(-1))


def _as_dict(release, found):
    done = found.findings.to_dict()
    formats = [dataclasses.asdict(one) for one in found.agreements]
    return {"release": str(release), "passed": not done["failures"], "layout": found.layout, **done,
            "parity": formats}  # fmt: skip


def text(release, found):
    """Return what was found as lines: rules, formats, warnings, and a table of what is wrong."""
    lines = []
    for rule, about in found.findings.to_dict()["rules"].items():
        seen = f" ({about['seen']})" if about["seen"] else ""
        lines.append(f"{rule:<7} {about['state']:<8} {about['about']}{seen}")
    if found.agreements:
        lines += ["", *_formats(found.agreements)]
    if found.findings.warnings:
        lines += ["", "warnings", *_table(found.findings.warnings)]
    failed = found.findings.failures
    if not failed:
        return "\n".join([*lines, "", f"{release} passes"])
    return "\n".join([*lines, "", f"{release} fails", *_table(failed)])


def _formats(agreements):
    head = ("format", "maximum", "99.9%", "same tags", "F1", "difference")
    rows = [
        (one.name, f"{one.maximum:.1e}", f"{one.p999:.1e}", f"{one.same_tags:.4f}", _number(one.f1, ".4f"),
         _number(one.f1_difference, "+.4f"))
        for one in agreements
    ]  # fmt: skip
    return _columns(head, rows)


def _number(value, form):
    return "-" if value is None else format(value, form)


def _table(findings):
    head = ("rule", "what was wrong", "what is allowed", "what came")
    rows = []
    for one in findings:
        wrong = one.wrong if not one.fault or one.fault in one.wrong else f"{one.fault}: {one.wrong}"
        rows.append((one.rule, wrong, one.allowed, one.came))
    return _columns(head, rows)


def _columns(head, rows):
    """Return lines with columns as wide as what they hold; the last is not filled up."""
    widths = [max(len(row[at]) for row in (head, *rows)) for at in range(len(head) - 1)]
    return ["  ".join([*(cell.ljust(width) for cell, width in zip(row[:-1], widths, strict=True)), row[-1]])
            for row in (head, *rows)]  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
