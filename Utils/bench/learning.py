"""Training runs of ours and of timm's on the same pictures: scores over epochs and over CPU seconds.

A run has a process of its own and becomes a folder: ``run.json``, ``curve.csv`` and predictions of the
validation pictures (``dump/``). It is complete or absent, so a study continues where it was stopped.
"""

import dataclasses
import json
import os
import pathlib
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from Utils.bench import scripts
from Utils.command.cli import UserError, WorkError
from Utils.data import dataset_folder
from Utils.data.dataset_folder import Dataset
from Utils.evaluation import predictions
from Utils.files import csv_tables, parquet_files, tfrecord
from Utils.files.atomic import ROOT, write_json
from Utils.recipe import durations, effects
from Utils.recipe.recipe import Recipe, flag

Shape = tuple[str, tuple[str, ...]]  # Family/Variant, model options

PEER = ROOT / "tools" / "bench_parts" / "peers" / "timm_training.py"
CURVE = ("epoch", "images", "loss", "f1", "macro_f1", "cpu_seconds")
# Models of timm that are none of our variants, as options of one.
LIKE_TIMM: dict[str, Shape] = {
    "resnet10t": ("ResNet/18", ("depths=1,1,1,1", "stem=deep", "shortcut_norm=true", "epsilon=1e-5")),
}
OUR_NETWORK = ("model", "model_options", "prior_bias", "batch_norm_momentum")  # fields of a recipe
POLL = 0.1  # seconds between two readings of a process' clock


@dataclasses.dataclass(frozen=True)
class Run:
    """One training run.

    Attributes:
        name: of its folder.
        side: ``ours`` or ``timm``.
        model: ``Family/Variant``, the name of timm's model, or ``like`` that name: ours of the same layers.
        dataset: folder of the dataset.
        recipe: the settings of both sides: presentations, augmentation, optimizer, schedule, seed.
        options: arguments of timm's ``create_model``.
    """

    name: str
    side: str
    model: str
    dataset: str
    recipe: Recipe
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def facts(self) -> dict[str, Any]:
        """Return what ``run.json`` holds: two runs of the same facts have the same result."""
        fields = {name: getattr(self, name) for name in ("side", "model", "dataset")}
        recipe = self.recipe.to_dict()
        if self.side == "timm":  # whose network is none of the recipe's
            recipe = {name: value for name, value in recipe.items() if name not in OUR_NETWORK}
        return fields | {"options": dict(self.options), "recipe": recipe}


def shape_of(model: str, fields: Mapping[str, Any]) -> Shape:
    """Return a model and fields of its Spec in the words of a recipe."""

    def text(value: Any) -> str:
        return ",".join(map(str, value)) if isinstance(value, tuple) else str(value).lower()

    return model, tuple(f"{name}={text(value)}" for name, value in fields.items())


def with_presentations(recipe: Recipe, presentations: int, evaluations: int) -> Recipe:
    """Return the recipe for so many images seen, evaluated at equal distances."""
    steps = presentations // (recipe.batch_size_per_device * evaluations)
    if steps < 1:
        raise UserError(
            f"--presentations must be at least {recipe.batch_size_per_device * evaluations}, a batch for "
            f"each of {evaluations} evaluations; got {presentations}"
        )
    return dataclasses.replace(recipe, steps_per_epoch=steps, epochs=evaluations)


def make_run(
    side: str,
    dataset: str,
    recipe: Recipe,
    rate: float,
    seed: int,
    peer: str = "",
    shape: Shape | None = None,
) -> Run:
    """Return the run of one side with a peak learning rate and a seed, under a name that says what it is.

    Args:
        peer: the name of timm's model.
        shape: of our model, if it is not the recipe's.
    """
    recipe = dataclasses.replace(recipe, learning_rate=rate, learning_rate_batch_size=0, seed=seed)
    if shape:
        recipe = dataclasses.replace(recipe, model=shape[0], model_options=shape[1])
    ours = f"like {peer}" if shape else recipe.model
    model = ours if side == "ours" else peer
    images = recipe.epochs * (recipe.steps_per_epoch or 0) * recipe.batch_size_per_device
    network = model.replace("/", "-").replace(" ", "-")
    name = f"{pathlib.Path(dataset).name}-{side}-{network}-{rate:g}-{images}-{seed}"
    options = {"img_size": recipe.image_size} if side == "timm" and peer.startswith("vit") else {}
    return Run(name, side, model, dataset, recipe, options)


def train(run: Run, folder: pathlib.Path, python: str = sys.executable) -> pathlib.Path:
    """Train a run below ``folder`` unless it is there; return its folder.

    Args:
        python: the interpreter that has torch and timm.

    Raises WorkError where the training fails, or where the folder has another run of that name.
    """
    place = folder / run.name
    if place.exists():
        if json.loads((place / "run.json").read_text(encoding="utf-8"))["facts"] != json.loads(
            json.dumps(run.facts())
        ):
            raise WorkError(f"{place} holds another run; move it away, or give another folder")
        return place
    work = folder / f"{run.name}.part"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    dataset = dataset_folder.load(run.dataset)
    seconds = (_train_ours if run.side == "ours" else _train_peer)(run, dataset, work, python)
    write_json(work / "run.json", {"facts": run.facts(), "cpu_seconds": seconds})
    work.rename(place)
    return place


def curve(place: pathlib.Path) -> list[dict[str, float]]:
    """Return the rows of a finished run's curve, with the columns of CURVE."""
    rows = csv_tables.read_texts(place / "curve.csv", "the epochs of a run", CURVE)
    return [{name: float(row[name]) for name in CURVE} for row in rows]


def flags(recipe: Recipe) -> list[str]:
    """Return a recipe as the flags of train.py: every field that has an effect; lists may be empty."""
    words: list[str] = []
    for field in dataclasses.fields(recipe):
        value, name = getattr(recipe, field.name), flag(field.name)
        if effects.owner(field.name, recipe):  # train.py refuses it
            continue
        if field.type is bool:
            words.append(name if value else name.replace("--", "--no-", 1))
        else:
            words += [name, *map(str, value)] if isinstance(value, tuple) else [name, str(value)]
    return words


def _train_ours(run: Run, dataset: Dataset, work: pathlib.Path, python: str) -> float:
    """Train with train.py, then predict; return the CPU seconds of the training."""
    recipe = dataclasses.replace(run.recipe, tracker="none")
    words = [sys.executable, "train.py", "demo", "--dataset", run.dataset, "--run-dir", str(work / "run")]
    history = work / "run" / "history.csv"
    clock, seconds = clocked([*words, *flags(recipe)], work / "log.txt", history)
    names = {"loss": "loss", "f1": "val_f1", "macro_f1": "val_macro_f1", "epoch": "epoch", "images": "images"}
    rows = csv_tables.read_texts(history, "the epochs of a run")
    texts = [{**{name: row[column] for name, column in names.items()}} for row in rows]
    cells = [
        [f"{at:.2f}" if name == "cpu_seconds" else row[name] for name in CURVE]
        for row, at in zip(texts, clock, strict=True)
    ]
    csv_tables.write_rows(work / "curve.csv", CURVE, cells)
    predict = [sys.executable, "tools/predict.py", str(work / "run"), "--dataset", run.dataset]
    clocked(
        [*predict, "--split", "validation", "--which", "last", "-o", str(work / "dump")], work / "log.txt"
    )
    shutil.rmtree(work / "run" / "checkpoints")
    (work / "run" / "best.keras").unlink()
    return seconds


def _train_peer(run: Run, dataset: Dataset, work: pathlib.Path, python: str) -> float:
    """Train timm's model; return the CPU seconds of the training."""
    pictures = _export(dataset, work.parent)
    options = peer_options(run, dataset)
    write_json(work / "options.json", options)
    words = [python, str(PEER), str(pictures), str(work / "options.json"), str(work)]
    _, seconds = clocked(words, work / "log.txt")
    probabilities = np.load(work / "probabilities.npy")
    ids = dataset.post_ids("validation")
    with predictions.writing(work / "dump", dataset.tags, info={"model": f"timm {run.model}"}) as writer:
        writer.add(probabilities, ids, labels_of(dataset, "validation"))
    (work / "probabilities.npy").unlink()
    return seconds


def peer_options(run: Run, dataset: Dataset) -> dict[str, Any]:
    """Return the settings of a recipe in the words of ``timm_training.py``."""
    recipe = run.recipe
    batch_size = recipe.batch_size_per_device
    steps = recipe.steps(dataset.num_records("train"), batch_size)
    return {
        "model": run.model,
        "model_arguments": dict(run.options),
        "num_labels": dataset.num_labels,
        "image_size": recipe.image_size,
        "batch_size": batch_size,
        "epochs": recipe.epochs,
        "steps_per_epoch": steps,
        "optimizer": recipe.optimizer,
        "learning_rate": recipe.peak_learning_rate(batch_size),
        "weight_decay": recipe.weight_decay,
        "warmup_steps": durations.parse(recipe.warmup).steps(steps, batch_size),
        "warmup_start": recipe.warmup_start,
        "floor": recipe.floor,
        "crop": list(recipe.crop),
        "flip": recipe.flip,
        "seed": recipe.seed,
        "threads": 1,
    }


def labels_of(dataset: Dataset, split: str) -> np.ndarray:
    """Return the labels of a split, uint8 (N, num_labels), in record order."""
    rows = _label_rows(dataset)
    labels = np.zeros((dataset.num_records(split), dataset.num_labels), np.uint8)
    for row, post_id in enumerate(dataset.post_ids(split).tolist()):
        labels[row, rows[post_id]] = 1
    return labels


def _label_rows(dataset: Dataset) -> dict[int, list[int]]:
    columns = {name: dataset_folder.POST_COLUMNS[name] for name in ("post_id", "label_indexes")}
    table = parquet_files.read(dataset.folder / "posts.parquet", "the posts of a dataset", columns)
    return dict(zip(table["post_id"].to_pylist(), table["label_indexes"].to_pylist(), strict=True))


def _export(dataset: Dataset, folder: pathlib.Path) -> pathlib.Path:
    """Write the JPEGs and labels of train and validation as arrays, unless they are there."""
    path = folder / f"pictures-{dataset.folder.resolve().parent.name}-{dataset.folder.name}.npz"
    if path.exists():
        return path
    rows, parts = _label_rows(dataset), {}
    for split in ("train", "validation"):
        images, labels = [], []
        for shard in dataset.shards(split):
            for record in tfrecord.read_records(shard):
                post_id, data = tfrecord.decode_example(record)
                images.append(data)
                labels.append(rows[post_id])
        parts[f"{split}_bytes"] = np.frombuffer(b"".join(images), np.uint8)
        parts[f"{split}_ends"] = np.cumsum([len(data) for data in images])
        parts[f"{split}_labels"] = np.concatenate([np.array(row, np.int64) for row in labels])
        parts[f"{split}_label_ends"] = np.cumsum([len(row) for row in labels])
    temporary = path.with_suffix(".part.npz")
    np.savez(temporary, **parts)
    temporary.rename(path)
    return path


def clocked(
    words: Sequence[str], log: pathlib.Path, rows: pathlib.Path | None = None
) -> tuple[list[float], float]:
    """Run a command; return its CPU seconds at each new line of the file ``rows``, and at its end.

    CPU seconds are those of all threads of the process, since its start.
    """
    environment = scripts.environment(scripts.ONE_THREAD)
    clock: list[float] = []
    with log.open("a", encoding="utf-8") as output:
        process = subprocess.Popen(words, cwd=ROOT, env=environment, stdout=output, stderr=output)
        try:
            while True:
                # The lines first: what a line says has then been computed in the seconds that it gets.
                lines = len(rows.read_text().splitlines()) - 1 if rows and rows.exists() else 0
                clock += [_cpu_seconds(process.pid)] * (lines - len(clock))
                ended, status, usage = os.wait4(process.pid, os.WNOHANG)
                if ended:
                    break
                time.sleep(POLL)
        except BaseException:
            process.kill()
            process.wait()
            raise
    process.returncode = os.waitstatus_to_exitcode(status)
    total = usage.ru_utime + usage.ru_stime
    said = log.read_text(encoding="utf-8", errors="replace")
    scripts.require_success(f"{' '.join(map(str, words[:3]))} ...", process.returncode, said)
    if rows is not None:
        lines = len(rows.read_text().splitlines()) - 1
        clock += [total] * (lines - len(clock))
    return clock, total


def _cpu_seconds(pid: int) -> float:
    """Return the CPU seconds of all threads of a process so far, 0 where it has ended."""
    try:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
