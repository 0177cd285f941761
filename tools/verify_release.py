"""Verify a release: every rule that clients of WD taggers count on, every format against the Keras model.

kohya, standalone, picobyte, comfy, wdv3 and imgutils, reimplemented from descriptions of their behavior, and
sidecars for trainers and Hydrus must name the same tags for the same images. Where a model differs from the
Keras model, the report says by how much and where most. Faults that users hit are named: shuffled CSV,
outputs in another order, RGB instead of BGR, logits instead of probabilities, fixed batch, external data. The
exit code is 1 where a rule is broken.

The Keras model is that of the release (extra/keras), or of the run that it was made from (--run). Images are
drawn unless some are given; with a dataset the tags are scored against its labels.
"""

import Utils.command.interrupt  # noqa: F401  first: imports take long

import argparse
import dataclasses
import importlib.util
import pathlib
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from Utils.command import programs
from Utils.command.backend import deferred, prepare_backend
from Utils.command.cli import Parser, UserError, command, found, number, print_json, progress
from Utils.command.text import pad_columns
from Utils.data import dataset_folder
from Utils.files import hub
from Utils.files.atomic import to_path
from Utils.files.model_files import RELEASED_MODEL, RUN_MODELS
from Utils.images import codec, image_folder, image_limits, image_reader, places
from Utils.images.census import warn_of_unreadable
from Utils.serving import foreign_checks, onnx_tagger

if TYPE_CHECKING:
    from Utils.release.verification.agreement import Agreement
    from Utils.release.verification.findings import Finding
    from Utils.release.verification.release import ReferenceModel, Verification


def parser() -> Parser:
    """Return the command's parser."""
    command_line = Parser(prog="tools/verify_release.py", description=__doc__)
    add = command_line.add_argument
    add("release", metavar="RELEASE|HUB_ID", type=hub.argument)
    add("--run", type=hub.argument, metavar="RUN|FILE.keras", help="the Keras model that is right")
    add("--which", choices=tuple(RUN_MODELS), default="best", help="model of a run (best)")
    images = command_line.add_mutually_exclusive_group()
    images.add_argument("--images", metavar="PLACE", help="images instead of drawn ones")
    images.add_argument("--dataset", type=to_path, help="labeled images instead of drawn ones")
    add("--split", default="validation", help="split of the dataset (validation)")
    add("--most", type=number(least=2), default=128, help="images at most (128)")
    image_reader.add_max_pixels(command_line)
    add(
        "--foreign",
        action="store_true",
        help="a release of another project: judge what its own files promise",
    )
    add("--json", action="store_true", help="print one JSON object")
    return command_line


@command
def main(argv: list[str] | None = None) -> int:
    """Verify and report; return 1 where a rule is broken."""
    options = parser().parse_args(argv)
    image_limits.allow_pixels(options.max_pixels)
    if options.foreign:
        return _foreign(options)
    options.release = hub.local(options.release, hub.ALL)
    if not options.release.is_dir():
        raise UserError(f"a release folder was expected at {options.release}; found {found(options.release)}")
    dataset = None if options.dataset is None else dataset_folder.load(options.dataset)
    if options.images is not None:  # a release without its Keras model is verified without them
        image_folder.image_paths(places.open_place(options.images))  # UserError where none is there

    prepare_backend()
    missing = [name for name in ("onnx", "onnxruntime") if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(f"{' and '.join(missing)} not installed: {programs.install_line('export')}")
    from Utils.release.verification.release import Verification

    verification = Verification(options.release, _reference_model(options, dataset)).run()
    if options.json:
        print_json(_as_dict(verification))
    else:
        print(text(verification))
        if not verification.findings.failures:
            print(programs.next_line("push_release", options.release, "OWNER/NAME"))
    return 1 if verification.findings.failures else 0


def _foreign(options: argparse.Namespace) -> int:
    """Check what the release of another project promises; return 1 where a promise is broken."""
    for name in ("run", "dataset", "images"):
        if getattr(options, name) is not None:
            raise UserError(f"--foreign judges a release by its own files alone; got --{name}, too")
    release = hub.local_tagger(options.release)
    if not release.exists():
        raise UserError(f"a release was expected at {release}; found nothing")
    checks = foreign_checks.check(release, load=lambda path: onnx_tagger.load(path, deferred("Models.load")))
    passed = all(check.kept is not False for check in checks)
    if options.json:
        rows = [dataclasses.asdict(check) for check in checks]
        print_json({"release": str(options.release), "passed": passed, "checks": rows})
    else:
        states = {True: "passed", False: "failed", None: "note"}
        print("\n".join(f"{states[check.kept]:<7} {check.promise} ({check.seen})" for check in checks))
        print(f"\n{options.release} {'passes' if passed else 'fails'}")
    return 0 if passed else 1


def _reference_model(options: argparse.Namespace, dataset: dataset_folder.Dataset | None) -> "ReferenceModel":
    """Load the Keras model that is right, and the images."""
    import Models
    from Utils.release.verification.release import ReferenceModel

    released, load_error = _released_tagger(options.release, Models.load)
    if options.run is not None:
        tagger = Models.load(options.run, which=options.which)
    elif released is not None:
        tagger = released
    else:
        return ReferenceModel(load_error=load_error)
    if tagger.tags is None:
        raise UserError(f"{options.run} has no selected_tags.csv beside it, so its outputs have no names")
    released_model = released.model if released and released is not tagger else None
    reference = ReferenceModel(
        tagger.model, tagger.tags, released_model=released_model, load_error=load_error
    )
    if dataset is not None:
        images, labels = _labeled_images(dataset, options, tagger)
        return dataclasses.replace(reference, images=images, labels=labels)
    if options.images is not None:
        images = _read_images(options.images, options.most, tagger.image_size)
        return dataclasses.replace(reference, images=images)
    return reference


def _released_tagger(release: pathlib.Path, load: Callable[[Any], Any]) -> tuple[Any, str]:
    """Return the Keras tagger of the release, or None and why it cannot be loaded (empty: it has none)."""
    if not (release / RELEASED_MODEL).is_file():
        return None, ""
    try:
        return load(release), ""
    except UserError as error:
        return None, str(error)


def _read_images(path: str, most: int, image_size: int) -> np.ndarray:
    """Return (N, S, S, 3) uint8 BGR of a place's images, prepared as here."""
    place, images = places.open_place(path), []
    names = image_folder.image_paths(place)[:most]
    warn_of_unreadable(place)
    for name in progress(names, label="read", unit="images"):
        try:
            images.append(image_reader.read_image(name, image_size, read_file=place.open))
        except codec.ImageError as error:
            print(f"left out: {name}: {error}", file=sys.stderr)
    if len(images) < 2:
        raise UserError(f"two pictures or more are needed; {place} has {len(images)} that can be read")
    return np.stack(images)


def _labeled_images(
    dataset: dataset_folder.Dataset, options: argparse.Namespace, tagger: Any
) -> tuple[np.ndarray, np.ndarray]:
    """Return images (N, S, S, 3) uint8 of a split and labels (N, L) int8, -1 for tags that it lacks."""
    from Generators import labeled_sample
    from Utils.tags import tag_matching

    places = tag_matching.matching_rows(tagger.tags, dataset.tags)
    if not (places >= 0).any():
        raise UserError(f"the model and {dataset.folder} have no tag in common")
    images, labels = labeled_sample.read_sample(dataset, options.split, tagger.image_size, options.most)
    return images, np.where(places >= 0, labels[:, places].astype(np.int8), np.int8(-1))


def _as_dict(verification: "Verification") -> dict[str, Any]:
    findings = verification.findings.to_dict()
    return {
        "release": str(verification.release),
        "passed": not findings["failures"],
        "layout": verification.layout,
        **findings,
        "parity": [dataclasses.asdict(agreement) for agreement in verification.agreements],
    }


def text(verification: "Verification") -> str:
    """Return the results as lines: rules, formats, warnings, and a table of the failures."""
    findings, lines = verification.findings, []
    for rule, entry in findings.to_dict()["rules"].items():
        seen = f" ({entry['seen']})" if entry["seen"] else ""
        lines.append(f"{rule:<7} {entry['state']:<8} {entry['about']}{seen}")
    if verification.agreements:
        lines += ["", *_agreement_lines(verification.agreements)]
    if findings.warnings:
        lines += ["", "warnings", *_finding_lines(findings.warnings)]
    verdict = "fails" if findings.failures else "passes"
    lines += ["", f"{verification.release} {verdict}"]
    return "\n".join(lines + (_finding_lines(findings.failures) if findings.failures else []))


def _agreement_lines(agreements: "Sequence[Agreement]") -> list[str]:
    header = ("format", "maximum", "99.9%", "same tags", "F1", "difference")
    rows = [
        (
            agreement.name,
            f"{agreement.maximum:.1e}",
            f"{agreement.p999:.1e}",
            f"{agreement.same_tags:.4f}",
            "-" if agreement.f1 is None else f"{agreement.f1:.4f}",
            "-" if agreement.f1_difference is None else f"{agreement.f1_difference:+.4f}",
        )
        for agreement in agreements
    ]
    return _lines([header, *rows])


def _finding_lines(findings: "Sequence[Finding]") -> list[str]:
    header = ("rule", "what was wrong", "what is allowed", "what came")
    rows = []
    for finding in findings:
        wrong = finding.wrong
        if finding.fault and finding.fault not in wrong:
            wrong = f"{finding.fault}: {wrong}"
        rows.append((finding.rule, wrong, finding.allowed, finding.came))
    return _lines([header, *rows])


def _lines(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return rows as lines with aligned columns, all flush left."""
    return ["  ".join(cells).rstrip() for cells in pad_columns(rows, left=len(rows[0]))]


if __name__ == "__main__":
    sys.exit(main())
