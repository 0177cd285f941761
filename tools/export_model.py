"""Write a release folder that the clients of WD's taggers load unchanged.

RELEASE holds model.onnx (NHWC, float32, 0..255 BGR; probabilities first), selected_tags.csv in the order that
clients cut by position, preprocess.json, categories.json, release.json, README.md (the model card), and
config.json with model.safetensors where timm can express the model of a run. Under extra/ lie the Keras
model, other formats and, where the layout wd leaves tags out, the flavor with all of them.

Every format is compared with the Keras model. onnx_float16 and onnx_int8 are judged on the labeled images of
--dataset and left out, with the figures, where they lose too much, or where int8 is not faster on this CPU.
"""

import Utils.command.interrupt  # noqa: F401  first: imports take long

import dataclasses
import pathlib
import re
import sys

import numpy as np
import pandas as pd

from Utils.command.backend import prepare_backend
from Utils.command.cli import Parser, UserError, WorkError, command
from Utils.data import dataset_folder
from Utils.evaluation import predictions, threshold_table
from Utils.files import csv_tables
from Utils.files.atomic import (
    provenance,
    read_json,
    replacing_folder,
    require_absent,
    require_file,
    to_path,
    write_json,
)
from Utils.files.model_files import RELEASED_MODEL, RUN_MODELS
from Utils.recipe import initial_weights
from Utils.report import model_card
from Utils.tags import tag_list

FORMATS = ("onnx", "saved_model", "litert", "onnx_float16", "onnx_int8")
JUDGED = ("onnx_float16", "onnx_int8")  # on labeled images
LAYOUTS = ("wd", "full")
IMAGES, CALIBRATION = 256, 64  # of the validation split, of the training split


def parser():
    """Return the command line's parser."""
    words = Parser(prog="tools/export_model.py", description=__doc__)
    words.add_argument("model", metavar="RUN|FILE.keras|RELEASE", type=to_path)
    words.add_argument("-o", "--output", required=True, metavar="RELEASE", type=pathlib.Path)
    words.add_argument("--tags", type=pathlib.Path, help="tag list of a model that has none beside it")
    words.add_argument("--thresholds", type=pathlib.Path, help="thresholds.csv of find_thresholds.py")
    words.add_argument("--formats", nargs="+", choices=FORMATS, default=["onnx"], help="what to write (onnx)")
    words.add_argument(
        "--dataset", type=to_path, help="labeled images to judge formats on (validation, train)"
    )
    words.add_argument("--dump", nargs="+", type=pathlib.Path, default=[], help="scores of the model card")
    words.add_argument("--license", default="", help="what the model card states, such as apache-2.0")
    words.add_argument("--layout", choices=LAYOUTS, default="wd", help="which tags, in which order (wd)")
    words.add_argument("--embedding", action="store_true", help="a second output: what the last layer sees")
    words.add_argument("--which", choices=("best", "last"), default="best", help="model of a run (best)")
    words.add_argument("--overwrite", action="store_true", help="replace an existing release")
    return words


@command
def main(argv=None):
    """Check everything, then write everything."""
    args = parser().parse_args(argv)
    args.formats = [name for name in FORMATS if name == "onnx" or name in args.formats]
    require_absent(args.output, args.overwrite)
    inputs = _inputs(args)

    prepare_backend()
    import Models
    from Utils.release import release_folder

    release_folder.require(args.formats)
    tagger = Models.load(args.model, which=args.which)
    work = _work(args, tagger, release_folder, inputs)
    try:
        with replacing_folder(args.output, args.overwrite) as folder:
            facts = _write(folder, work)
    except OSError as error:
        raise WorkError(f"{args.output} cannot be written: {error}") from error
    print(_summary(args, facts))


def _inputs(args):
    """Read what can be read, and refuse what can be refused, before tensorflow is imported."""
    judged = [name for name in args.formats if name in JUDGED]
    if judged and args.dataset is None:
        raise UserError(
            f"{' and '.join(judged)} is written only where it is measured to be good enough: give labeled "
            "images with --dataset DATASET"
        )
    if args.license and not re.fullmatch(r"[\w.+-]+", args.license):
        raise UserError(f"--license is one word, such as apache-2.0, mit or other; got {args.license!r}")
    dataset = None if args.dataset is None else dataset_folder.load(args.dataset)
    if dataset is not None:
        dataset.shards("validation")
        if "onnx_int8" in args.formats:
            dataset.shards("train")
    return {
        "dataset": dataset,
        "frame": None if args.tags is None else tag_list.read(require_file(args.tags, "a tag list")),
        "thresholds": None if args.thresholds is None else threshold_table.read(args.thresholds),
        "dumps": [predictions.load(path).require_labels() for path in args.dump],
    }


@dataclasses.dataclass(frozen=True)
class Work:
    """Everything that is needed to write a release."""

    args: object
    tagger: object
    source: initial_weights.Source
    frame: pd.DataFrame  # a row an output of the model
    chosen: np.ndarray  # rows of the release, in its order
    inputs: dict

    @property
    def beside(self):
        """Return the folder of the model file: that of a run has its history."""
        return self.source.file.parent


def _work(args, tagger, releases, inputs):
    """Check that all inputs fit one another; return the `Work`."""
    frame = tagger.tags if inputs["frame"] is None else inputs["frame"]
    if frame is None:
        raise UserError(f"{args.model} has no selected_tags.csv beside it; give its list with --tags")
    if len(frame) != tagger.model.output_shape[-1]:
        raise UserError(
            f"{args.tags or args.model} has {len(frame)} tags, but the model gives "
            f"{tagger.model.output_shape[-1]} probabilities"
        )
    for dump in inputs["dumps"]:
        strange = dump.tags["name"][tag_list.matching_rows(dump.tags, frame) < 0].tolist()
        if strange:
            raise UserError(f"{dump.folder} is no dump of this model, which lacks {', '.join(strange[:5])}")
    if 4 * tagger.model.count_params() > releases.MOST_BYTES:
        raise UserError(
            f"{args.model} has {tagger.model.count_params():,} parameters; one ONNX file holds less than 2 GB"
        )
    chosen = releases.columns(frame, args.layout)
    if inputs["thresholds"] is not None:
        frame = releases.with_thresholds(frame, inputs["thresholds"])
    return Work(args, tagger, initial_weights.find(args.model, args.which), frame, chosen, inputs)


def _write(folder, work):
    """Write all files; return what release.json says."""
    from Utils.release import release_folder

    args, tagger, chosen = work.args, work.tagger, work.chosen
    extra = folder / "extra"
    extra.mkdir()
    released = work.frame.iloc[chosen].reset_index(drop=True)
    facts = {"onnx_difference": _write_onnx(folder, work, chosen)}
    if len(chosen) < len(work.frame):
        (extra / "full").mkdir()
        _write_onnx(extra / "full", work, release_folder.columns(work.frame, "full"))
    _write_keras(extra / "keras", work)
    model = release_folder.released(tagger.model, chosen)
    facts["flavors"] = _write_flavors(folder, work, model, released)
    if args.thresholds is not None:
        (extra / "thresholds.csv").write_bytes(args.thresholds.read_bytes())
    write_json(folder / "preprocess.json", release_folder.preprocessing(tagger.image_size))
    write_json(folder / "categories.json", release_folder.categories(released))
    architecture, facts["timm"] = _write_timm(folder, work)
    described = {"layout": args.layout, "image_size": tagger.image_size, "num_labels": len(chosen)}
    described |= {"tags_digest": tag_list.digest(released), "parameters": model.count_params()}
    facts = {**described, **facts, "formats": args.formats, **provenance()}
    write_json(folder / "release.json", facts)
    (folder / "README.md").write_text(model_card.render(_card(work, facts, architecture)), encoding="utf-8")
    return facts


def _write_onnx(folder, work, chosen):
    """Write model.onnx and its tag list; return the largest difference from the Keras model."""
    from Utils.release import release_folder

    model = release_folder.released(work.tagger.model, chosen, work.args.embedding)
    release_folder.write_onnx(model, folder / "model.onnx")
    tag_list.write(work.frame.iloc[chosen].reset_index(drop=True), folder / "selected_tags.csv")
    return release_folder.check_onnx(folder / "model.onnx", model, _noise(work.tagger.image_size))


def _noise(side, count=5):
    return np.random.default_rng(0).integers(0, 256, (count, side, side, 3)).astype("float32")


def _write_keras(folder, work):
    """Write what --init-from and Models.load take: all outputs in the model's own order, and its history."""
    folder.mkdir()
    work.tagger.model.save(folder / RELEASED_MODEL.name)
    tag_list.write(work.frame, folder / "selected_tags.csv")
    if (work.beside / "recipe.json").is_file():
        write_json(folder / "recipe.json", read_json(work.beside / "recipe.json"))
    history = _history(work)
    if len(history):
        csv_tables.write_frame(folder / "history.csv", history)
    manifest = _manifest(work)
    if manifest:
        write_json(folder / "dataset.json", manifest)


def _history(work):
    """Return history.csv of a run up to the epoch of the model, no rows where there is none."""
    path = work.beside / "history.csv"
    which = "last" if work.source.file.name == RUN_MODELS["last"] else "best"
    return model_card.history_until(path, which)


def _manifest(work):
    """Return dataset.json of a run without the paths of the machine that made it, {} where there is none."""
    path = work.beside / "dataset.json"
    manifest = read_json(path) if path.is_file() else {}
    source = {key: value for key, value in (manifest.get("source") or {}).items() if key != "path"}
    kept = {key: value for key, value in manifest.items() if key != "made"}
    return {**kept, "source": source} if manifest else {}


def _write_flavors(folder, work, model, released):
    """Write every other format that passes its gate; return what release.json says of all."""
    from Utils.release import formats

    images, labels, calibration = _noise(work.tagger.image_size), None, None
    if work.inputs["dataset"] is not None:
        images, labels, calibration = _labeled(work, released)
    right, found = formats.truth(model, images, labels), {}
    for name in work.args.formats:
        found[name] = formats.write(name, folder, model, right, calibration)
        if name != "onnx" and found[name]["written"] and found[name]["path"].endswith(".onnx"):
            tag_list.write(released, (folder / found[name]["path"]).with_name("selected_tags.csv"))
    return found


def _labeled(work, released):
    """Return images and labels of the validation split, -1 for tags it lacks, and training images."""
    from Generators import labeled_sample

    dataset, side = work.inputs["dataset"], work.tagger.image_size
    places = tag_list.matching_rows(released, dataset.tags)
    images, labels = labeled_sample.read_sample(dataset, "validation", side, IMAGES)
    known = np.where(places >= 0, labels[:, places].astype(np.int8), np.int8(-1))
    if not (known > 0).any():
        raise UserError(f"none of the released tags is true on the first {IMAGES} images of {dataset.folder}")
    int8 = "onnx_int8" in work.args.formats
    return images, known, labeled_sample.read_sample(dataset, "train", side, CALIBRATION)[0] if int8 else None


def _write_timm(folder, work):
    """Write config.json and model.safetensors where timm can; return its name for it and a sentence on it."""
    if work.source.recipe is None:
        return "", "no timm files: only a run says which model it is"
    import Models
    from Models.porting import timm_export
    from Utils.release import release_folder

    recipe = work.source.recipe
    model = release_folder.with_columns(work.tagger.model, work.chosen)
    beside = folder / "timm"
    try:
        spec = Models.spec(recipe.model, **recipe.model_overrides())
        name = timm_export.export(model, beside, recipe.model, spec, Models.timm_families(), Models.spec)
    except UserError as error:
        return "", f"no timm files: {error}"
    for file in beside.iterdir():
        file.rename(folder / file.name)
    beside.rmdir()
    return name, f"config.json and model.safetensors are timm's {name}"


def _card(work, facts, architecture):
    history = _history(work)
    return model_card.Facts(
        name=work.args.output.resolve().name,
        layout=work.args.layout,
        image_size=work.tagger.image_size,
        parameters=facts["parameters"],
        tags=work.frame.iloc[work.chosen],
        other_tags=work.frame.drop(index=work.frame.index[work.chosen]),
        model=work.source.recipe.model if work.source.recipe else "",
        timm=architecture,
        recipe=work.source.recipe.to_dict() if work.source.recipe else {},
        history={} if history.empty else history.iloc[-1].dropna().to_dict(),
        manifest=_manifest(work),
        formats=facts["flavors"],
        headlines=tuple(model_card.headline_of(dump) for dump in work.inputs["dumps"]),
        thresholds=work.inputs["thresholds"],
        license=work.args.license,
    )


def _summary(args, facts):
    """Return what is printed at the end."""
    lines = [
        f"{args.output}: {facts['num_labels']} tags at {facts['image_size']} px, layout {facts['layout']}",
        f"model.onnx differs from the Keras model by {facts['onnx_difference']:.1e} at most; {facts['timm']}",
    ]
    for name, found in facts["flavors"].items():
        said = model_card.measured_text(found)
        if not found["written"]:
            lines.append(f"{name} is not written: {found['why']} ({said})")
        elif name != "onnx":
            lines.append(f"{found['path']} {said}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
