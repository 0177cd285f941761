"""The numbers of a report on a dump: scores by category and by tag, calibration, worst and confused tags."""

import dataclasses
import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from Utils.data.post_images import ReadImages
from Utils.evaluation import (
    alignment,
    bootstrap,
    calibration,
    confusion,
    ground_truth,
    jackknife,
    leakage,
    paired_bootstrap,
    predictions,
    scores,
    thresholds,
)
from Utils.report import examples, figures
from Utils.report.examples import Shot
from Utils.tags import tag_categories

NUM_RESAMPLES = 1000
MIN_POSITIVES = 5  # positives a tag needs to be listed among the worst
NUM_WORST = NUM_CONFUSED = 12  # tags and pairs listed, with pictures
COLUMNS = ("tag", "category", "count", "positives", "predicted", "TP", "FP", "FN", "P", "R", "F1")
PADDED = ("F1_white", "F1_black")  # further columns where there are predictions of images padded black
HEADLINE = (
    "category", "tags", "F1", "F1_low", "F1_high", "P", "R", "macro_F1", "MCC", "thres",
    "macro_F1_low", "macro_F1_high", "ceiling",
)  # fmt: skip
PADDINGS = (
    "category", "F1_white", "F1_white_low", "F1_white_high", "F1_black", "F1_black_low", "F1_black_high",
    "difference", "difference_low", "difference_high",
)  # fmt: skip
CONFUSIONS = ("predicted", "true", "images", "expected")


class TagRow(NamedTuple):
    """One row of the table of tags, as COLUMNS names it; a score without a denominator is None."""

    tag: str
    category: str
    count: int
    positives: int
    predicted: int
    true_positives: int
    false_positives: int
    false_negatives: int
    precision: float | None
    recall: float | None
    f1: float | None


class WorstTag(NamedTuple):
    """A tag of low F1, by its column."""

    column: int
    shots: list[Shot]


class ConfusedTags(NamedTuple):
    """A pair of tags taken for one another, as CONFUSIONS names it, with pictures."""

    predicted: str
    true: str
    images: int
    expected: float
    shots: list[Shot]


class PaddingScores(NamedTuple):
    """Scores of one category with both paddings; the difference is black - white in micro F1."""

    category: str
    white: paired_bootstrap.ModelScores
    black: paired_bootstrap.ModelScores
    difference: paired_bootstrap.Difference


@dataclasses.dataclass(frozen=True)
class Report:
    """Everything the page and the tables show."""

    dump: predictions.Dump
    headline: list[dict[str, Any]]  # a dict a category, all tags first: see `headline`
    table: list[TagRow]
    histograms: dict[str, np.ndarray]  # of the probabilities, by category
    calibration: tuple[calibration.Reliability, calibration.Temperature]
    worst: list[WorstTag]
    confused: list[ConfusedTags]
    paddings: list[PaddingScores] | None  # with --black
    padded_f1: list[tuple[float | None, float | None]] | None  # white and black of every tag, with --black
    leaks: leakage.Leakage | None  # with --groups
    examples: examples.Examples  # pictures to open
    history: list[dict[str, float]] | None = None  # an epoch a row, with --run

    @property
    def threshold(self) -> float:
        """Where precision equals recall over all tags."""
        return self.headline[0]["model"]["thres"]

    @property
    def min_positives(self) -> int:
        """How many positives a tag needs to be among the worst."""
        return _min_positives(self.table)

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns of `rows`."""
        return COLUMNS if self.padded_f1 is None else COLUMNS + PADDED

    def rows(self) -> list[tuple]:
        """Return one row a tag, with the F1 of both paddings where they are compared."""
        if self.padded_f1 is None:
            return list(self.table)
        return [(*row, *f1) for row, f1 in zip(self.table, self.padded_f1, strict=True)]

    def rows_with_ids(self) -> list[tuple]:
        """Return the `rows` with the tag id first."""
        return [(tag_id, *row) for tag_id, row in zip(self.dump.tags["tag_id"], self.rows(), strict=True)]

    def headline_rows(self) -> list[tuple]:
        """Return the headline as rows (predictor, *HEADLINE); a score without a denominator is None."""
        return [
            (side, row["category"], row["tags"], *(_none_if_nan(row[side][name]) for name in HEADLINE[2:]))
            for row in self.headline
            for side in ("model", "frequencies")
        ]

    def padding_rows(self) -> list[tuple]:
        """Return the scores of both paddings as rows of PADDINGS; no rows without --black."""
        return [
            (
                row.category,
                *(
                    value
                    for side in (row.white, row.black)
                    for value in (side.values["micro_F1"], *side.interval("micro_F1"))
                ),
                *dataclasses.astuple(row.difference),
            )
            for row in self.paddings or ()
        ]

    def changed_by_padding(self, most: int = 10) -> list[tuple[str, int, float, float]]:
        """Return (tag, positives, F1 white, F1 black) of the tags that padding changes most."""
        if self.padded_f1 is None:
            return []
        changes = [
            (row.tag, row.positives, white, black)
            for row, (white, black) in zip(self.table, self.padded_f1, strict=True)
            if row.positives >= MIN_POSITIVES and white is not None and black is not None
        ]
        changes = sorted(changes, key=lambda change: -abs(change[3] - change[2]))[:most]
        return [change for change in changes if change[3] != change[2]]


def compute(
    dump: predictions.Dump,
    find_pictures: ReadImages,
    black: predictions.Dump | None = None,
    is_leaked: np.ndarray | None = None,
    truth: ground_truth.Truth | None = None,
    history: list[dict[str, float]] | None = None,
) -> Report:
    """Compute the `Report` of a dump with labels.

    Args:
        find_pictures: ``post ids -> {post id: encoded image}``; posts without an image are left out.
        black: the dump of the same images padded black.
        is_leaked: bool (N,), the images with a near-duplicate among the training images.
        truth: all true tags of posts, for what a perfect tagger would reach against the labels.
        history: of the run, from `Utils.report.run_history.read`.
    """
    by_category = headline(dump, truth)
    threshold = by_category[0]["model"]["thres"]
    counts = scores.count(dump.probabilities, dump.labels, threshold)
    table = tag_table(dump, counts)
    paddings, padded_f1 = (None, None) if black is None else compare_paddings(dump, black)
    pairs = confusion.pairs(dump.probabilities, dump.labels, threshold, counts, NUM_CONFUSED)
    worst, confused = with_pictures(dump, threshold, worst_tags(table), pairs, find_pictures)
    return Report(
        dump,
        by_category,
        table,
        {
            name: scores.histograms(dump.probabilities, dump.labels, columns)
            for name, columns in columns_by_category(dump).items()
        },
        calibration.calibrate(dump.probabilities, dump.labels),
        worst,
        confused,
        paddings,
        padded_f1,
        None
        if is_leaked is None
        else leakage.score(dump.probabilities, dump.labels, threshold, is_leaked, NUM_RESAMPLES),
        examples.choose(dump, threshold, _rows_of_shots(dump, [*worst, *confused]), find_pictures),
        history,
    )


def _rows_of_shots(dump: predictions.Dump, parts: Iterable[WorstTag | ConfusedTags]) -> list[int]:
    if dump.image_ids is None:
        return []
    row_of = {post: row for row, post in enumerate(dump.image_ids.tolist())}
    return [row_of[shot.post_id] for part in parts for shot in part.shots]


def columns_by_category(dump: predictions.Dump | alignment.AlignedDumps) -> dict[str, np.ndarray]:
    """Return the columns of every category as ``{name: columns}``, all tags first."""
    columns = {"all": np.arange(len(dump.tags))}
    codes = dump.tags["category"].to_numpy()
    order = figures.CATEGORY_ORDER
    for code in [*(code for code in order if code in codes), *sorted(set(codes) - set(order))]:
        name = tag_categories.name_of(code, tag_categories.names_of(dump.tags))
        columns[name] = np.flatnonzero(codes == code)
    if len(columns) == 2:
        columns.popitem()  # the only category is all of it
    return columns


def headline(dump: predictions.Dump, truth: ground_truth.Truth | None = None) -> list[dict[str, Any]]:
    """Score the model, and a predictor that knows only tag frequencies, for every category.

    Returns:
        ``[{"category", "tags", "model": scores, "frequencies": scores}]``, all tags first; the scores have
        the keys of `Utils.evaluation.scores.summary`, macro_F1, TP, FP, FN, TN, ties, and F1_low, F1_high,
        macro_F1_low and macro_F1_high, the ends of 95% intervals over images, and ceiling, the F1 of a
        perfect tagger against these labels, NaN without ``truth``.
    """
    positives = scores.positives(dump.labels)
    frequencies = np.broadcast_to(dump.tags["count"].to_numpy(np.float64), dump.probabilities.shape)
    columns = columns_by_category(dump)
    parts = list(columns.values())
    model = _score(dump.probabilities, dump.labels, positives, parts)
    baseline = _score(frequencies, dump.labels, positives, parts, with_macro_interval=False)
    limits = [
        {"ceiling": math.nan if truth is None else ground_truth.ceiling(dump, part, truth)}
        for part in columns.values()
    ]
    return [
        {"category": name, "tags": len(part), "frequencies": {**baseline[i], **limits[i]},
         "model": {**model[i], **limits[i]}}
        for i, (name, part) in enumerate(columns.items())
    ]  # fmt: skip


def _score(
    probabilities: np.ndarray,
    labels: np.ndarray,
    positives: np.ndarray,
    selections: list[np.ndarray],
    with_macro_interval: bool = True,
) -> list[dict[str, Any]]:
    """Score every selection of columns at its own P = R threshold, with intervals over images.

    That of macro F1 takes a pass of its own; without it both ends are NaN.
    """
    cuts = thresholds.p_equals_r_points(
        probabilities, [(int(positives[columns].sum()), columns) for columns in selections]
    )
    scored, per_image = [], []
    for cut, columns in zip(cuts, selections, strict=True):
        counts = scores.count(probabilities, labels, cut.threshold).select(columns)
        total, macro, low, high = counts.total(), scores.macro_f1(counts), math.nan, math.nan
        if with_macro_interval:
            cells = bootstrap.confusion_columns(probabilities, labels, cut.threshold, columns)
            without = jackknife.macro_f1_without_each_image(cells, len(probabilities))
            low, high = jackknife.interval_of_score(macro, without)
        scored.append(
            {
                **scores.summary(total, cut.threshold),
                "macro_F1": macro,
                "macro_F1_low": low,
                "macro_F1_high": high,
                **{name.upper(): value for name, value in dataclasses.asdict(total).items()},
                "ties": cut.ties,
            }
        )
        per_image.append(scores.count_per_image(probabilities, labels, cut.threshold, columns))
    # Together, so that every category is scored on the same resamples of the images.
    lows, highs = scores.bootstrap_f1(np.stack(per_image, axis=1), NUM_RESAMPLES)
    return [
        {**row, "F1_low": float(low), "F1_high": float(high)}
        for row, low, high in zip(scored, lows, highs, strict=True)
    ]


def _none_if_nan(value: float) -> float | None:
    return None if math.isnan(value) else value


def tag_table(dump: predictions.Dump, counts: scores.Counts) -> list[TagRow]:
    """Return one row a tag; counts: those of every tag at the threshold."""
    by_tag = (scores.precision(counts), scores.recall(counts), scores.f_beta(counts))
    columns = (
        dump.tags["name"].to_list(),
        [tag_categories.name_of(code, tag_categories.names_of(dump.tags)) for code in dump.tags["category"]],
        dump.tags["count"].to_list(),
        *(part.tolist() for part in (counts.positives, counts.predicted, counts.tp, counts.fp, counts.fn)),
        *([_none_if_nan(value) for value in part.tolist()] for part in by_tag),
    )
    return [TagRow(*row) for row in zip(*columns, strict=True)]


def compare_paddings(
    dump: predictions.Dump, black: predictions.Dump
) -> tuple[list[PaddingScores], list[tuple[float | None, float | None]]]:
    """Score both dumps on the images and tags both have.

    Returns the `PaddingScores` of every category, and for every tag of the first dump its F1 white and
    black, each at its dump's threshold of all tags; None where the second dump has no such tag.
    """
    aligned = alignment.align([dump, black])
    drawn = bootstrap.resample_counts(len(aligned.probabilities[0]), NUM_RESAMPLES)
    by_category = []
    for name, columns in columns_by_category(aligned).items():
        part = aligned.select_columns(columns)
        labels = part.require_truth()
        first, second = (paired_bootstrap.score(view, labels, drawn) for view in part.probabilities)
        difference = paired_bootstrap.difference(first, second, "micro_F1")
        by_category.append(PaddingScores(name, first, second, difference))
    all_tags = by_category[0]
    white_f1, black_f1 = (
        [_none_if_nan(value) for value in scores.f_beta(side.counts).tolist()]
        for side in (all_tags.white, all_tags.black)
    )
    f1_of = dict(zip(aligned.tags["name"], zip(white_f1, black_f1, strict=True), strict=True))
    return by_category, [f1_of.get(name, (None, None)) for name in dump.tags["name"]]


def worst_tags(table: Sequence[TagRow]) -> list[int]:
    """Return the columns of the tags of lowest F1 among those that are true often enough to say so."""
    fewest = _min_positives(table)
    frequent = [column for column, row in enumerate(table) if row.positives >= fewest]
    return sorted(frequent, key=lambda column: (table[column].f1, -table[column].positives))[:NUM_WORST]


def _min_positives(table: Sequence[TagRow]) -> int:
    """Return MIN_POSITIVES, or what the most frequent tag of a small dump has; 1 or more."""
    return max(1, min(MIN_POSITIVES, max((row.positives for row in table), default=0)))


def with_pictures(
    dump: predictions.Dump,
    threshold: float,
    worst: Sequence[int],
    pairs: Sequence[confusion.Pair],
    find_pictures: ReadImages,
) -> tuple[list[WorstTag], list[ConfusedTags]]:
    """Add images on which the mistakes were made, the gravest first, to the worst tags and to the pairs."""
    columns = np.unique([*worst, *(column for pair in pairs for column in (pair.predicted, pair.true))])
    if not len(columns):
        return [], []
    p, y = confusion.read_columns(dump.probabilities, dump.labels, columns.astype(np.intp))
    place_of = {int(column): place for place, column in enumerate(columns)}
    captions = []  # a list of (row of the dump, caption) for every tag and pair
    for column in worst:
        place = place_of[column]
        missed, wrong = confusion.worst_rows(p[:, place], y[:, place], threshold)
        mistakes = [(row, "missed") for row in missed] + [(row, "wrong") for row in wrong]
        captions.append([(row, f"{word}, {p[row, place]:.2f}") for row, word in mistakes])
    for pair in pairs:
        places = [place_of[pair.predicted], place_of[pair.true]]
        rows = confusion.pair_rows(p[:, places], y[:, places], threshold)
        captions.append([(row, " / ".join(f"{p[row, place]:.2f}" for place in places)) for row in rows])
    shots = examples.shots(dump, captions, find_pictures)
    names = dump.tags["name"].tolist()
    return (
        [WorstTag(*tag) for tag in zip(worst, shots[: len(worst)], strict=True)],
        [
            ConfusedTags(names[pair.predicted], names[pair.true], pair.images, pair.expected, of_pair)
            for pair, of_pair in zip(pairs, shots[len(worst) :], strict=True)
        ],
    )
