"""Datasets that lack true labels, and the scores of taggers that were trained on them.

A drawn booru with all its labels becomes a dataset, of which others take the pictures and fewer labels.
Scores are by the true tags of its test posts, which keep them.
"""

import csv
import dataclasses
import io
import pathlib
import shutil
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from Utils.bench import learning_curves, scripts
from Utils.bench.learning_curves import SeedScores
from Utils.command.cli import WorkError
from Utils.data import dataset_folder, packing
from Utils.data.dataset_folder import POST_COLUMNS, POSTS
from Utils.demo_booru import missing_labels
from Utils.evaluation import (
    bootstrap,
    frequency_thresholds,
    paired_bootstrap,
    per_tag_thresholds,
    predictions,
    scores,
)
from Utils.evaluation.logits import sigmoid
from Utils.files import csv_tables, parquet_files
from Utils.files.atomic import ROOT, replacing
from Utils.labels import decisions
from Utils.recipe import sweeps
from Utils.tags import tag_list

SWEEP = ROOT / "tools" / "sweeps" / "seeds.yaml"
DUMP = "dump"  # predictions, in the folder of a run
PICTURE = 512  # side of the drawn pictures, in pixels
TABLE = (
    "world", "missing", "method", "seeds", "micro_F1", "micro_low", "micro_high", "macro_F1", "macro_low",
    "macro_high", "macro_AP", "rare_F1",
)  # fmt: skip
ALL_TAGS = {metric: metric for metric in paired_bootstrap.METRICS}
RARE_TAGS = {"rare_F1": "macro_F1"}  # the rarest third's macro F1
DIFFERENCES = ("world", "missing", "method", "base", "seeds", "metric", "difference", "low", "high")
_DEFINITION = """name = "labels"
image_size = 96
jpeg_quality = 95
splits = {{train = [0, 599], validation = [600, 649], test = [650, 999]}}
ratings = ["g", "s"]
categories = [0, 3, 4]
min_tag_count = {least}
min_tag_images = {least}
min_tag_share = 0.5
min_tags_per_image = 3
"""


@dataclasses.dataclass(frozen=True)
class World:
    """A drawn booru."""

    style: str
    seed: int

    @property
    def name(self) -> str:
        """The name of its folders."""
        return f"{self.style}-{self.seed}"


@dataclasses.dataclass(frozen=True)
class Noise:
    """How many percent of the true labels are missing, and which."""

    kind: str  # of missing_labels.KINDS
    percent: int

    @property
    def name(self) -> str:
        """The name of its folders."""
        return f"{self.kind}-{self.percent}"


@dataclasses.dataclass(frozen=True)
class Trial:
    """Training runs that differ in their seed alone.

    Attributes:
        world: of their pictures.
        noise: of their labels.
        method: its name in the tables.
        words: flags of train.py; ``{labels}`` is the folder of what was predicted out of fold.
        seeds: how many runs; their seeds count from 0.
        audit: the method whose audit a reviewer has answered before the training, none by default.
    """

    world: World
    noise: Noise
    method: str
    words: str
    seeds: int = 1
    audit: str = ""

    @property
    def name(self) -> str:
        """The name of its folder."""
        return f"{self.world.name}-{self.noise.name}-{self.method}"

    def runs(self, folder: pathlib.Path) -> list[pathlib.Path]:
        """Return the folder of each run in that of the study, by seed, as sweep.py names them."""
        return run_folders(folder / "runs" / self.name, self.seeds)

    def is_finished(self, folder: pathlib.Path) -> bool:
        """Whether every run has its predictions."""
        return all((run / DUMP).exists() for run in self.runs(folder))


def tool(name: str, *words: object) -> str:
    """Run a command of tools/ with one thread; return what it prints, or raise as `scripts.run`."""
    return scripts.run(f"tools/{name}", *words, variables=scripts.ONE_THREAD)


def run_folders(place: pathlib.Path, seeds: int) -> list[pathlib.Path]:
    """Return the folders of the first runs of a sweep over seeds."""
    return [place / sweeps.folder_name({"seed": seed}) for seed in range(seeds)]


def train(dataset: pathlib.Path, place: pathlib.Path, seeds: int, *words: object) -> None:
    """Train the recipe `demo` with some flags and as many seeds, by sweep.py.

    Runs that are there stay, stopped ones continue. Raises UserError where they were begun otherwise.
    """
    runs = ("--dataset", dataset, "-o", place, "--runs", seeds, "--retry")
    tool("sweep.py", SWEEP, *runs, "--", "--keep-checkpoints", 1, *words)


def predict(run: pathlib.Path, dataset: pathlib.Path, *which: str) -> None:
    """Write the predictions of a run's last state, and remove the states that nobody needs any more."""
    if not (run / DUMP).exists():
        tool("predict.py", run, "--dataset", dataset, *which, "--which", "last", "-o", run / DUMP)
    shutil.rmtree(run / "checkpoints", ignore_errors=True)
    (run / "best.keras").unlink(missing_ok=True)


def make_world(world: World, folder: pathlib.Path, images: int) -> pathlib.Path:
    """Draw a booru and pack it with all its labels, unless it is there; return the dataset's folder."""
    booru, dataset = folder / f"booru-{world.name}", folder / f"data-{world.name}-complete"
    if not booru.exists():
        seed = ("--seed", world.seed, "--style", world.style, "--missing", 0, "--workers", 1)
        tool("make_demo_booru.py", booru, "--images", images, *seed)
    if not (dataset / "test").exists():
        definition = folder / "definition.toml"
        definition.write_text(_DEFINITION.format(least=max(1, images // 120)), encoding="utf-8")
        source = ("--source", "fire-eggs", "--from", booru / "danbooru.db", "--images", booru / "512px")
        tool("select_tags.py", definition, *source, "-o", dataset, "--overwrite")
        tool("write_records.py", dataset, "--workers", 1)
    return dataset


def make_dataset(world: World, noise: Noise, folder: pathlib.Path) -> pathlib.Path:
    """Make a dataset that lacks labels, unless it is there; return its folder.

    Training and validation posts lose labels, test posts do not. The tag list stays that of all labels, with
    its counts.
    """
    complete, dataset = (folder / f"data-{world.name}-{name}" for name in ("complete", noise.name))
    if (dataset / "test").exists():
        return dataset
    posts = _posts(complete)
    names = dataset_folder.load(complete).tags["name"].tolist()
    areas = box_areas(folder / f"booru-{world.name}" / "truth_boxes.csv")
    _write_dataset(complete, without_labels(posts, names, areas, noise, world.seed), dataset)
    return dataset


def make_reviewed(dataset: pathlib.Path, audit: pathlib.Path, truth: pathlib.Path) -> pathlib.Path:
    """Make a dataset whose labels a reviewer has corrected, unless it is there; return its folder.

    The reviewer answers all that an audit lists, by the true tags, and knows of nothing else.

    Args:
        dataset: that was audited.
        audit: audit.json; the answers, decisions.jsonl, and the dataset, reviewed, go beside it.
        truth: true tags of the posts.
    """
    answers, reviewed = audit.with_name("decisions.jsonl"), audit.with_name("reviewed")
    if (reviewed / "test").exists():
        return reviewed
    tags = ("--tags", dataset / tag_list.FILE)
    tool("answer_audit.py", audit, "--truth", truth, *tags, "-o", answers, "--overwrite")
    verdicts, _ = decisions.verdicts(decisions.read(answers))
    has_tag = {pair: has for pair, (_, has) in verdicts.items()}
    tag_ids = dataset_folder.load(dataset).tags["tag_id"].tolist()
    _write_dataset(dataset, with_verdicts(_posts(dataset), tag_ids, has_tag), reviewed)
    return reviewed


def _posts(dataset: pathlib.Path) -> pa.Table:
    return parquet_files.read(dataset / POSTS, "the posts of a dataset", POST_COLUMNS)


def _write_dataset(source: pathlib.Path, posts: pa.Table, dataset: pathlib.Path) -> None:
    """Write a dataset with the pictures of another and labels of its own."""
    dataset.mkdir(exist_ok=True)
    packing.copy_selection(source, dataset)
    pq.write_table(posts, dataset / POSTS)
    tool("write_records.py", dataset, "--labels-only", "--reuse", source, "--workers", 1)


def without_labels(
    posts: pa.Table,
    names: Sequence[str],
    areas: Mapping[tuple[int, str], float],
    noise: Noise,
    seed: int,
) -> pa.Table:
    """Return the posts of a dataset without the labels that are missing.

    Args:
        posts: rows of posts.parquet.
        names: of the tags.
        areas: from `box_areas`.
        noise: how many labels of training and validation posts are missing, and which.
        seed: of the draws.
    """
    lists = posts["label_indexes"].to_pylist()
    labels = np.concatenate([np.array(row, np.int64) for row in lists])
    post_ids = np.repeat(posts["post_id"].to_numpy(), [len(row) for row in lists])
    is_test = np.repeat(np.array(posts["split"].to_pylist()) == "test", [len(row) for row in lists])
    label_names = [names[int(label)] for label in labels]
    pairs = zip(post_ids.tolist(), label_names, strict=True)
    sizes = np.array([areas.get(pair, np.nan) for pair in pairs])
    counts = np.bincount(labels, minlength=len(names))[labels]
    missing = missing_labels.is_missing(noise.kind, noise.percent / 100, sizes, counts, seed)
    kept = iter((is_test | ~missing).tolist())
    fewer = [[label for label in row if next(kept)] for row in lists]
    return _with_labels(posts, fewer)


def with_verdicts(
    posts: pa.Table, tag_ids: Sequence[int], has_tag: Mapping[decisions.Pair, bool]
) -> pa.Table:
    """Return the posts of a dataset with the labels that reviewers confirmed, without those they denied.

    Args:
        posts: rows of posts.parquet.
        tag_ids: of the tags.
        has_tag: whether a post has a tag, by post id and tag id; other labels stay.
    """
    column_of = {tag_id: column for column, tag_id in enumerate(tag_ids)}
    labels = {
        post: set(row)
        for post, row in zip(posts["post_id"].to_pylist(), posts["label_indexes"].to_pylist(), strict=True)
    }
    for (post, tag_id), has in has_tag.items():
        (labels[post].add if has else labels[post].discard)(column_of[tag_id])
    return _with_labels(posts, [sorted(row) for row in labels.values()])


def _with_labels(posts: pa.Table, labels: Sequence[Sequence[int]]) -> pa.Table:
    column = posts.schema.get_field_index("label_indexes")
    return posts.set_column(
        column, posts.schema.field(column), pa.array(labels, POST_COLUMNS["label_indexes"])
    )


def write_adjusted(run: pathlib.Path, dataset: pathlib.Path, place: pathlib.Path, exponent: float) -> None:
    """Write a run at ``place`` whose predictions are those of another with adjusted logits.

    One threshold for them is one that falls with a tag's frequency among the labels that the run was trained
    on: `Utils.evaluation.frequency_thresholds`.

    Args:
        run: the finished run.
        dataset: that it was trained on.
        place: of the new run, which holds a dump alone.
        exponent: how much thresholds follow the frequency.
    """
    posts = _posts(dataset)
    is_training = pa.array([split == "train" for split in posts["split"].to_pylist()])
    labels = posts.filter(is_training)["label_indexes"].combine_chunks().flatten()
    dump = predictions.load(run / DUMP)
    counts = np.bincount(labels.to_numpy(), minlength=len(dump.tags))
    adjusted = frequency_thresholds.AdjustedLogits(dump.probabilities, counts, exponent)[:]
    with predictions.writing(place / DUMP, dump.tags) as writer:
        writer.add(sigmoid(adjusted), dump.image_ids, dump.labels)


def box_areas(path: pathlib.Path) -> dict[tuple[int, str], float]:
    """Return the area of the largest box of every pair of post and tag, as a share of the picture."""
    areas: dict[tuple[int, str], float] = {}
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            x0, y0, x1, y1 = (float(row[name]) for name in ("x0", "y0", "x1", "y1"))
            key = int(row["image_id"]), row["tag"]
            areas[key] = max(areas.get(key, 0.0), (x1 - x0) * (y1 - y0) / PICTURE**2)
    return areas


def rare_scores(places: Sequence[pathlib.Path]) -> SeedScores:
    """Return the scores of runs on the rarest third of the tags alone, at the P = R threshold of all tags."""
    runs = []
    for place in places:
        dump = predictions.load(place / DUMP)
        rare = scores.rarest_third(dump.tags["count"].to_numpy())
        threshold, _ = paired_bootstrap.counts_at_equality(dump.probabilities, dump.labels)
        once = bootstrap.resample_counts(len(dump.probabilities), 1)  # for micro F1, which nobody asks for
        columns = np.asarray(dump.probabilities)[:, rare], np.asarray(dump.labels)[:, rare]
        runs.append(paired_bootstrap.score_at(*columns, once, threshold))
    return SeedScores(runs)


def write_report(folder: pathlib.Path, trials: Sequence[Trial], results: Any, base: str) -> None:
    """Write runs.csv, differences.csv and differences.svg of the runs that are there, and print them.

    Args:
        folder: of the study.
        trials: in the order of the tables.
        results: where the tables go.
        base: the method that the others are compared with, on the seeds that both have; a method ``X+more``
            is compared with X too, and ``X-more`` with the base that has ``-more``.
    """
    groups: dict[tuple[str, str, str], dict[int, pathlib.Path]] = {}
    for trial in trials:
        key = (trial.world.name, trial.noise.name, trial.method)
        done = {seed: run for seed, run in enumerate(trial.runs(folder)) if (run / DUMP).exists()}
        if done:
            groups.setdefault(key, {}).update(done)
    if not groups:
        raise WorkError(f"no run is finished in {folder}")
    rows = [[*key, *_row(places)] for key, places in groups.items()]
    differences = []
    for (world, noise, method), places in groups.items():
        of_same_ending = base + "".join(method.partition("-")[1:])
        for other in dict.fromkeys([base, method.partition("+")[0], of_same_ending]):
            others = groups.get((world, noise, other), {})
            shared = [seed for seed in places if seed in others]
            if method != other and shared:
                sides = [[side[seed] for seed in shared] for side in (others, places)]
                key = [world, noise, method, other, len(shared)]
                differences += [[*key, *row] for row in _differences(*sides)]
    results = pathlib.Path(results)
    results.mkdir(parents=True, exist_ok=True)
    csv_tables.write_rows(results / "runs.csv", TABLE, rows)
    csv_tables.write_rows(results / "differences.csv", DIFFERENCES, differences)
    if differences:
        with replacing(results / "differences.svg") as beside:
            beside.write_text(render(differences, base), encoding="utf-8")
    for row in [TABLE, *rows, DIFFERENCES, *differences]:
        print("  ".join(map(str, row)))


def _row(places: Mapping[int, pathlib.Path]) -> list[Any]:
    """Return the cells of TABLE behind the method: means over the seeds, intervals over images and seeds."""
    together = learning_curves.score(list(places.values()))
    cells: list[Any] = [len(places)]
    for metric in paired_bootstrap.METRICS:
        cells += [round(value, 4) for value in (together.mean.values[metric], *together.interval(metric))]
    dumps = [predictions.load(place / DUMP) for place in places.values()]
    precisions = [
        np.nanmean(per_tag_thresholds.average_precisions(dump.probabilities, dump.labels)) for dump in dumps
    ]
    rare = rare_scores(list(places.values())).mean.values["macro_F1"]
    return [*cells, round(float(np.mean(precisions)), 4), round(rare, 4)]


def _differences(base: Sequence[pathlib.Path], other: Sequence[pathlib.Path]) -> list[list[Any]]:
    """Return metric, difference, and its 95% interval over images and seeds, for each metric."""
    rows = []
    for score, metrics in ((learning_curves.score, ALL_TAGS), (rare_scores, RARE_TAGS)):
        sides = score(base), score(other)
        for name, metric in metrics.items():
            change = learning_curves.difference(*sides, metric)
            rows.append([name, *(round(value, 4) for value in (change.value, change.low, change.high))])
    return rows


def render(differences: Sequence[Sequence[Any]], base: str) -> str:
    """Return an SVG: for each world and kind of noise the methods' differences, with their intervals.

    Args:
        differences: rows of DIFFERENCES.
        base: only the differences from this method are drawn.
    """
    import matplotlib
    import matplotlib.figure  # here: it takes long

    groups: dict[str, dict[str, dict[str, Sequence[Any]]]] = {}
    for world, noise, method, other, _, metric, *values in differences:
        if other == base:
            groups.setdefault(f"{world}, {noise}", {}).setdefault(method, {})[metric] = values
    heights = [len(methods) + 2 for methods in groups.values()]
    figure = matplotlib.figure.Figure(figsize=(9, 0.28 * sum(heights)), layout="constrained")
    axes = figure.subplots(len(groups), 2, squeeze=False, height_ratios=heights)
    for line, (name, methods) in zip(axes, groups.items(), strict=True):
        for ax, metric in zip(line, paired_bootstrap.METRICS, strict=True):
            values = np.array([cells[metric] for cells in methods.values()], float)
            errors = np.abs(values[:, 1:] - values[:, :1]).T
            places = -np.arange(len(values))
            ax.axvline(0, color="#8a8a8a", linewidth=1)
            ax.errorbar(values[:, 0], places, xerr=errors, fmt="o", color="#2f6db3", markersize=4)
            ax.set_yticks(places, list(methods))
            ax.set_ylim(places[-1] - 0.7, 0.7)
            ax.locator_params(axis="x", nbins=5)
            ax.set_title(f"{name}: {metric.replace('_', ' ')} above {base}", fontsize=9)
            ax.grid(alpha=0.25, axis="x")
            ax.spines[["top", "right"]].set_visible(False)
    file = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": "labels", "svg.fonttype": "none"}):
        figure.savefig(file, format="svg", metadata={"Date": None})
    return file.getvalue()
