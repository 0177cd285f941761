"""Write a release folder that the clients of WD taggers load unchanged.

RELEASE holds model.onnx (NHWC, float32, 0..255 BGR; probabilities first), selected_tags.csv in the order that
clients cut by position, preprocess.json, categories.json, release.json, README.md (the model card), and
config.json with model.safetensors where timm can express the model of a run. Under extra/ lie the Keras
model, other formats and, where the layout wd leaves tags out, the model with all of them.

Every format is compared with the Keras model. onnx_float16 and onnx_int8 are judged on the labeled images of
--dataset; they are left out, and their figures reported, where they lose too much or where int8 is not faster
on this CPU.
"""

import Utils.command.interrupt  # noqa: F401  first: imports take long

import argparse
import dataclasses
import pathlib
import re
import sys
from typing import Any

import numpy as np
import pandas as pd

from Utils.command import programs
from Utils.command.backend import prepare_backend
from Utils.command.cli import Parser, UserError, WorkError, command, print_json
from Utils.command.text import counted
from Utils.data import dataset_folder
from Utils.evaluation import predictions, threshold_table
from Utils.files import csv_tables, hub, model_description, model_files
from Utils.files.atomic import (
    provenance,
    read_json,
    require_file,
    to_path,
    write_json,
)
from Utils.files.model_description import ModelDescription
from Utils.files.model_files import RELEASED_MODEL, RUN_MODELS
from Utils.files.output_folders import replacing_folder, require_replaceable_folder
from Utils.recipe import initial_weights
from Utils.recipe.recipe import Recipe
from Utils.release.format_table import FORMATS
from Utils.report import model_card
from Utils.tags import tag_list, tag_matching
from Utils.training.history import selected_by

LAYOUTS = ("wd", "full")
NUM_IMAGES, NUM_CALIBRATION = 256, 64  # of the validation split; of the training split


def parser() -> Parser:
    """Return the command's parser."""
    command_line = Parser(prog="tools/export_model.py", description=__doc__)
    add = command_line.add_argument
    add("model", metavar="RUN|FILE.keras|RELEASE|TIMM|HUB_ID", type=hub.argument)
    add("-o", "--output", required=True, metavar="RELEASE", type=pathlib.Path)
    add("--tags", type=pathlib.Path, help="tag list of a model that has none beside it")
    add("--thresholds", type=pathlib.Path, help="thresholds.csv from find_thresholds.py")
    add("--formats", nargs="+", choices=FORMATS, default=["onnx"], help="what to write (onnx)")
    add("--dataset", type=to_path, help="labeled images to judge formats on (validation, train)")
    add("--dump", nargs="+", type=pathlib.Path, default=[], help="predictions to score for the model card")
    add("--license", default="", help="license that the model card states, for example apache-2.0")
    add("--layout", choices=LAYOUTS, default="wd", help="which tags, in which order (wd)")
    add("--embedding", action="store_true", help="a second output: the features that the last layer gets")
    add("--which", choices=tuple(RUN_MODELS), default="best", help="model of a run (best)")
    add("--json", action="store_true", help="print one JSON object")
    add("--overwrite", action="store_true", help="replace an existing release")
    return command_line


@command
def main(argv: list[str] | None = None) -> None:
    """Check everything, then write everything."""
    options = parser().parse_args(argv)
    options.formats = [name for name in FORMATS if name == "onnx" or name in options.formats]
    require_replaceable_folder(options.output, model_files.RELEASE, options.overwrite)
    inputs = _read_inputs(options)
    options.model = hub.local(options.model)

    prepare_backend()
    import Models
    from Utils.release import release_folder

    release_folder.require(options.formats)
    job = _checked_job(options, Models.load(options.model, which=options.which), inputs)
    try:
        with replacing_folder(options.output, model_files.RELEASE, options.overwrite) as folder:
            facts = _write(folder, job)
    except OSError as error:
        raise WorkError(f"{options.output} cannot be written: {error}") from error
    if options.json:
        print_json({"release": str(options.output), **read_json(options.output / "release.json")})
    else:
        print(_summary(options, facts))


@dataclasses.dataclass(frozen=True)
class Inputs:
    """What the options name beside the model."""

    dataset: dataset_folder.Dataset | None
    tags: pd.DataFrame | None
    thresholds: pd.DataFrame | None
    dumps: list[predictions.Dump]


def _read_inputs(options: argparse.Namespace) -> Inputs:
    """Read what can be read, and refuse what can be refused, before tensorflow is imported."""
    rounded = [name for name in options.formats if FORMATS[name].needs_labels]
    if rounded and options.dataset is None:
        raise UserError(
            f"{' and '.join(rounded)} is written only where it is measured to be good enough: give labeled "
            "images with --dataset DATASET"
        )
    if options.license and not re.fullmatch(r"[\w.+-]+", options.license):
        raise UserError(f"--license is one word, such as apache-2.0, mit or other; got {options.license!r}")
    dataset = None if options.dataset is None else dataset_folder.load(options.dataset)
    if dataset is not None:
        dataset.shards("validation")
        if "onnx_int8" in options.formats:
            dataset.shards("train")
    return Inputs(
        dataset=dataset,
        tags=None if options.tags is None else tag_list.read(require_file(options.tags, "a tag list")),
        thresholds=None if options.thresholds is None else threshold_table.read(options.thresholds),
        dumps=[predictions.load(path).require_labels() for path in options.dump],
    )


@dataclasses.dataclass(frozen=True)
class Job:
    """Everything that is needed to write a release."""

    options: argparse.Namespace
    tagger: Any  # `Models.KerasTagger`
    source: initial_weights.Source
    tags: pd.DataFrame  # of the model; row i is output i
    columns: np.ndarray  # outputs that the release has, in its order
    inputs: Inputs

    @property
    def model_folder(self) -> pathlib.Path:
        """The folder of the model file; that of a run has its history."""
        file = self.source.file
        return file if file.is_dir() else file.parent

    @property
    def released_tags(self) -> pd.DataFrame:
        """The tag list of the release."""
        return self.tags.iloc[self.columns].reset_index(drop=True)


def _checked_job(options: argparse.Namespace, tagger: Any, inputs: Inputs) -> Job:
    """Return the job; UserError where the inputs do not fit one another."""
    from Utils.release import release_folder

    frame = tagger.tags if inputs.tags is None else inputs.tags
    if frame is None:
        raise UserError(f"{options.model} has no selected_tags.csv beside it; give its list with --tags")
    if len(frame) != tagger.model.output_shape[-1]:
        raise UserError(
            f"{options.tags or options.model} has {counted(len(frame), 'tag')}, but the model gives "
            f"{tagger.model.output_shape[-1]} probabilities"
        )
    model_digest = model_files.digest_in_run(tagger.file) if inputs.dumps else None
    for dump in inputs.dumps:
        if model_digest is not None:
            dump.require_predicted_by(model_digest)
        unknown = dump.tags["name"][tag_matching.matching_rows(dump.tags, frame) < 0].tolist()
        if unknown:
            raise UserError(f"{dump.folder} is no dump of this model, which lacks {', '.join(unknown[:5])}")
    if 4 * tagger.model.count_params() > release_folder.MAX_BYTES:
        raise UserError(
            f"{options.model} has {tagger.model.count_params():,} parameters; one ONNX file holds less than "
            "2 GB"
        )
    columns = release_folder.columns(frame, options.layout)
    if inputs.thresholds is not None:
        cutoffs = threshold_table.per_tag(inputs.thresholds, frame)
        instead = "get the median of their category"
        if said := threshold_table.describe_missing(options.thresholds, cutoffs, frame, instead):
            print(said, file=sys.stderr)
        frame = release_folder.with_thresholds(frame, cutoffs)
    from Models.loading import describe_timm

    source = initial_weights.find(options.model, options.which, describe_timm)
    return Job(options, tagger, source, frame, columns, inputs)


def _write(folder: pathlib.Path, job: Job) -> dict[str, Any]:
    """Write all files; return the content of release.json."""
    from Utils.release import release_folder

    extra, released_tags = folder / "extra", job.released_tags
    extra.mkdir()
    onnx_difference = _write_onnx(folder, job, job.columns)
    if len(job.columns) < len(job.tags):
        (extra / "full").mkdir()
        _write_onnx(extra / "full", job, release_folder.columns(job.tags, "full"))
    _write_keras(extra / "keras", job)
    model = release_folder.released(job.tagger.model, job.columns)
    results = _write_formats(folder, job, model)
    if job.options.thresholds is not None:
        (extra / "thresholds.csv").write_bytes(job.options.thresholds.read_bytes())
    write_json(folder / "preprocess.json", release_folder.preprocessing(job.tagger.image_size))
    write_json(folder / "categories.json", release_folder.categories(released_tags))
    architecture, timm_text = _write_timm(folder, job)
    facts = {
        "layout": job.options.layout,
        "image_size": job.tagger.image_size,
        "num_labels": len(released_tags),
        "tags_digest": tag_list.digest(released_tags),
        "parameters": model.count_params(),
        "onnx_difference": onnx_difference,
        "flavors": results,
        "timm": timm_text,
        "formats": job.options.formats,
        **provenance(),
    }
    write_json(folder / "release.json", facts)
    (folder / "README.md").write_text(model_card.render(_card(job, facts, architecture)), encoding="utf-8")
    return facts


def _write_onnx(folder: pathlib.Path, job: Job, columns: np.ndarray) -> float:
    """Write model.onnx and its tag list; return the largest difference from the Keras model."""
    from Utils.release import release_folder

    model = release_folder.released(job.tagger.model, columns, job.options.embedding)
    release_folder.write_onnx(model, folder / "model.onnx")
    tag_list.write(job.tags.iloc[columns].reset_index(drop=True), folder / tag_list.FILE)
    return release_folder.check_onnx(folder / "model.onnx", model, _noise(job.tagger.image_size))


def _noise(side: int, count: int = 5) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, side, side, 3)).astype("float32")


def _write_keras(folder: pathlib.Path, job: Job) -> None:
    """Write what --init-from and Models.load read: all outputs in the model's own order, and its history."""
    folder.mkdir()
    job.tagger.model.save(folder / RELEASED_MODEL.name)
    tag_list.write(job.tags, folder / tag_list.FILE)
    if job.source.options is not None:
        known = model_description.read(job.source.file) if job.source.file.is_file() else None
        described = ModelDescription(job.source.model, job.source.options, known.source if known else {})
        model_description.write(folder / RELEASED_MODEL.name, described)
    if (job.model_folder / "recipe.json").is_file():
        write_json(folder / "recipe.json", read_json(job.model_folder / "recipe.json"))
    history = _history(job)
    if len(history):
        csv_tables.write_frame(folder / "history.csv", history)
    manifest = _manifest(job)
    if manifest:
        # The hash of the list that is written, which --tags may have replaced.
        stated = {"tags_sha256": tag_list.digest(job.tags)} if "tags_sha256" in manifest else {}
        write_json(folder / "dataset.json", {**manifest, **stated})


def _history(job: Job) -> pd.DataFrame:
    """Return history.csv of a run up to the epoch of the model; empty where there is no such file."""
    path, recipe = job.model_folder / "history.csv", job.source.recipe or Recipe()
    is_last = job.source.file.name == RUN_MODELS["last"]
    return model_card.history_until(path, None if is_last else selected_by(recipe.best_by))


def _manifest(job: Job) -> dict[str, Any]:
    """Return dataset.json of a run without the paths of the machine that made it; {} without such a file."""
    path = job.model_folder / "dataset.json"
    shape = dict.fromkeys(("source?", "records?", "definition?"), (dict, None))
    manifest = read_json(path, shape) if path.is_file() else {}
    source = {key: value for key, value in (manifest.get("source") or {}).items() if key != "path"}
    published = {key: value for key, value in manifest.items() if key != "made"}
    return {**published, "source": source} if manifest else {}


def _write_formats(folder: pathlib.Path, job: Job, model: Any) -> dict[str, Any]:
    """Write every format that is near enough to the model; return what release.json says of each."""
    from Utils.release import formats

    images, labels, calibration = _noise(job.tagger.image_size), None, None
    if job.inputs.dataset is not None:
        images, labels, calibration = _labeled_images(job, job.inputs.dataset)
    reference = formats.reference_outputs(model, images, labels)
    results = {}
    for name in job.options.formats:
        result = formats.write_format(name, folder, model, reference, calibration)
        if name != "onnx" and result["written"] and result["path"].endswith(".onnx"):
            tag_list.write(job.released_tags, (folder / result["path"]).with_name(tag_list.FILE))
        results[name] = result
    return results


def _labeled_images(
    job: Job, dataset: dataset_folder.Dataset
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Return images and labels of the validation split, and training images for calibration.

    Labels are -1 in the columns of tags that the dataset lacks.
    """
    from Generators import labeled_sample

    side = job.tagger.image_size
    places = tag_matching.matching_rows(job.released_tags, dataset.tags)
    images, labels = labeled_sample.read_sample(dataset, "validation", side, NUM_IMAGES)
    labels = np.where(places >= 0, labels[:, places].astype(np.int8), np.int8(-1))
    if not (labels > 0).any():
        raise UserError(
            f"none of the released tags is true on the first {NUM_IMAGES} images of {dataset.folder}"
        )
    if "onnx_int8" not in job.options.formats:
        return images, labels, None
    return images, labels, labeled_sample.read_sample(dataset, "train", side, NUM_CALIBRATION)[0]


def _write_timm(folder: pathlib.Path, job: Job) -> tuple[str, str]:
    """Write config.json and model.safetensors where timm can express the model.

    Returns timm's name of the architecture, empty without one, and a sentence for people.
    """
    if job.source.built_as is None:
        return "", "no timm files: neither a run nor an import_weights has recorded which model it is"
    import Models
    from Models.porting import timm_export
    from Utils.release import release_folder

    name, options = job.source.built_as
    model = release_folder.with_columns(job.tagger.model, job.columns)
    temporary = folder / "timm"
    try:
        spec = Models.spec(name, **options)
        name = timm_export.export(model, temporary, name, spec, Models.timm_families(), Models.spec)
    except UserError as error:
        return "", f"no timm files: {error}"
    for file in temporary.iterdir():
        file.rename(folder / file.name)
    temporary.rmdir()
    return name, f"config.json and model.safetensors are timm's {name}"


def _card(job: Job, facts: dict[str, Any], architecture: str) -> model_card.Facts:
    history = _history(job)
    return model_card.Facts(
        name=job.options.output.resolve().name,
        layout=job.options.layout,
        image_size=job.tagger.image_size,
        parameters=facts["parameters"],
        tags=job.tags.iloc[job.columns],
        other_tags=job.tags.drop(index=job.tags.index[job.columns]),
        model=job.source.built_as[0] if job.source.built_as else "",
        timm=architecture,
        recipe=job.source.recipe.to_dict() if job.source.recipe else {},
        history={}
        if history.empty
        else {str(name): value for name, value in history.iloc[-1].dropna().to_dict().items()},
        manifest=_manifest(job),
        formats=facts["flavors"],
        headlines=tuple(model_card.headline_of(dump) for dump in job.inputs.dumps),
        thresholds=job.inputs.thresholds,
        license=job.options.license,
        embedding=job.options.embedding,
    )


def _summary(options: argparse.Namespace, facts: dict[str, Any]) -> str:
    """Return the lines that are printed at the end."""
    lines = [
        f"{options.output}: {counted(facts['num_labels'], 'tag')} at {facts['image_size']} px, layout "
        f"{facts['layout']}",
        f"model.onnx differs from the Keras model by {facts['onnx_difference']:.1e} at most; {facts['timm']}",
    ]
    for name, result in facts["flavors"].items():
        figures = model_card.measured_text(result)
        if not result["written"]:
            lines.append(f"{name} is not written: {result['why']} ({figures})")
        elif name != "onnx":
            lines.append(f"{result['path']} {figures}")
    lines.append(programs.next_line("tag_images", options.output, "PICTURES"))
    lines.append(f"to share it: {programs.line('push_release', options.output, 'OWNER/NAME')}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
