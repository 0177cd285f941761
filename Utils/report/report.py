"""Everything a report on a dump shows: scores by category, a row a tag, calibration, confused tags."""

import dataclasses
import math

import numpy as np

from Utils.data import post_images
from Utils.evaluation import (
    alignment,
    bootstrap,
    calibration,
    confusion,
    leakage,
    paired_bootstrap,
    predictions,
    scores,
    thresholds,
)
from Utils.report import figures
from Utils.tags.tag_list import category_name

RESAMPLES = 1000
FEWEST = 5  # positives a tag needs to be listed among the worst
WORST = CONFUSED = 12  # listed, with pictures
COLUMNS = ("tag", "category", "count", "positives", "predicted", "TP", "FP", "FN", "P", "R", "F1")
PADDED = ("F1_white", "F1_black")  # further columns where there are predictions of images padded black
HEADLINE = ("category", "tags", "F1", "F1_low", "F1_high", "P", "R", "macro_F1", "MCC", "thres")
PADDINGS = (
    "category", "F1_white", "F1_white_low", "F1_white_high", "F1_black", "F1_black_low", "F1_black_high",
    "difference", "difference_low", "difference_high",
)  # fmt: skip
CONFUSIONS = ("predicted", "true", "images", "expected")


@dataclasses.dataclass(frozen=True)
class Report:
    """Everything the page and the tables show."""

    dump: predictions.Dump
    headline: list  # a dict a category, all tags first
    columns: tuple  # of the tags' rows
    table: list  # a tuple a tag
    histograms: dict  # of the probabilities, by category
    calibration: tuple  # Reliability, Temperature
    worst: list  # (row of the table, pictures)
    confused: list  # CONFUSIONS and pictures
    paddings: list | None  # (category, white, black, difference) with --black
    leaks: leakage.Leaks | None  # with --groups

    @property
    def threshold(self):
        """Where precision equals recall over all tags."""
        return self.headline[0]["model"]["thres"]

    @property
    def fewest(self):
        """How many positives a tag needs to be among the worst."""
        return _fewest(self.table)

    def rows_with_ids(self):
        """Return the tags' rows with the tag id first."""
        return [(tag_id, *row) for tag_id, row in zip(self.dump.tags["tag_id"], self.table, strict=True)]

    def headline_rows(self):
        """Return the headline as rows (predictor, *HEADLINE); a score without a denominator is None."""
        return [
            (side, row["category"], row["tags"], *(_filled(row[side][name]) for name in HEADLINE[2:]))
            for row in self.headline
            for side in ("model", "frequencies")
        ]

    def padding_rows(self):
        """Return the scores of both paddings as rows of PADDINGS."""
        return [
            (
                name,
                *(x for side in sides for x in (side.values["micro_F1"], *side.interval("micro_F1"))),
                *dataclasses.astuple(lead),
            )
            for name, *sides, lead in self.paddings
        ]

    def changed_by_padding(self, most=10):
        """Return (tag, positives, F1 white, F1 black) of the tags that padding changes most."""
        seen = [row for row in self.table if row[3] >= FEWEST and None not in row[-2:]]
        changed = sorted(seen, key=lambda row: -abs(row[-1] - row[-2]))[:most]
        return [(row[0], row[3], *row[-2:]) for row in changed if row[-1] != row[-2]]


def gather(dump, pictures, black=None, is_leaked=None):
    """Compute the `Report` of a dump.

    pictures: ``ids -> {id: bytes}``; black: the dump of the same images padded black; is_leaked: bool (N,),
    the images with a near-duplicate among the training images.
    """
    rows = headline(dump)
    threshold = rows[0]["model"]["thres"]
    counts = scores.count(dump.probabilities, dump.labels, threshold)
    table, columns = tag_table(dump, counts), COLUMNS
    padded = None
    if black is not None:
        padded, per_tag = paddings(dump, black)
        table = [(*row, *more) for row, more in zip(table, per_tag, strict=True)]
        columns += PADDED
    pairs = confusion.pairs(dump.probabilities, dump.labels, threshold, counts, CONFUSED)
    worst, confused = with_pictures(dump, threshold, worst_tags(table), pairs, pictures)
    return Report(
        dump,
        rows,
        columns,
        table,
        {
            name: scores.histograms(dump.probabilities, dump.labels, part)
            for name, part in kinds(dump).items()
        },
        calibration.measure(dump.probabilities, dump.labels),
        worst,
        confused,
        padded,
        None if is_leaked is None else leakage.measure(dump, threshold, is_leaked, RESAMPLES),
    )


def kinds(dump):
    """Return the columns of every category as ``{name: columns}``, all tags first."""
    found = {"all": np.arange(len(dump.tags))}
    codes = dump.tags["category"].to_numpy()
    order = figures.ORDER
    for code in [*(code for code in order if code in codes), *sorted(set(codes) - set(order))]:
        found[category_name(code)] = np.flatnonzero(codes == code)
    if len(found) == 2:
        found.popitem()  # the only category is all of it
    return found


def headline(dump):
    """Score model and frequencies per category: a list of dicts, all tags first."""
    wanted = scores.positives(dump.labels)
    frequencies = np.broadcast_to(dump.tags["count"].to_numpy(np.float64), dump.probabilities.shape)
    parts = kinds(dump)
    columns = list(parts.values())
    model, known = (_scored(p, dump.labels, wanted, columns) for p in (dump.probabilities, frequencies))
    return [
        {"category": name, "tags": len(part), "frequencies": known[i], "model": model[i]}
        for i, (name, part) in enumerate(parts.items())
    ]


def _scored(probabilities, labels, wanted, selections):
    """Score every selection of columns at its own P = R threshold, with intervals."""
    asked = [(int(wanted[columns].sum()), columns) for columns in selections]
    cuts = thresholds.p_equals_r_of(probabilities, asked)
    found, images = [], []
    for cut, columns in zip(cuts, selections, strict=True):
        counts = scores.count(probabilities, labels, cut.threshold).select(columns)
        total = counts.total()
        found.append(
            {
                **scores.summary(total, cut.threshold),
                "macro_F1": scores.macro_f1(counts),
                **{name.upper(): value for name, value in dataclasses.asdict(total).items()},
                "ties": cut.ties,
            }
        )
        images.append(scores.count_per_image(probabilities, labels, cut.threshold, columns))
    low, high = scores.bootstrap_f1(np.stack(images, axis=1), RESAMPLES)
    return [
        {**one, "F1_low": float(a), "F1_high": float(b)} for one, a, b in zip(found, low, high, strict=True)
    ]


def _filled(value):
    return None if math.isnan(value) else value


def tag_table(dump, counts):
    """Return one tuple a tag, as COLUMNS names them; a score without a denominator is None."""
    scored = (scores.precision(counts), scores.recall(counts), scores.f_beta(counts))
    columns = (
        dump.tags["name"].to_list(),
        [category_name(code) for code in dump.tags["category"]],
        dump.tags["count"].to_list(),
        *(part.tolist() for part in (counts.positives, counts.predicted, counts.tp, counts.fp, counts.fn)),
        *([_filled(x) for x in part.tolist()] for part in scored),
    )
    return list(zip(*columns, strict=True))


def paddings(dump, black):
    """Score both dumps on the images and tags both have.

    Returns ``(category, white, black, difference in micro F1)`` for every category, and for every tag of the
    first dump its two F1, each at its dump's threshold of all tags; None where the second has no such tag.
    """
    aligned = alignment.align([dump, black])
    drawn = bootstrap.weights(len(aligned.truth), RESAMPLES)
    found = []
    for name, columns in kinds(aligned).items():
        part = aligned.selected(columns)
        white, other = (paired_bootstrap.side(view, part.truth, drawn) for view in part.probabilities)
        found.append((name, white, other, paired_bootstrap.difference(white, other, "micro_F1")))
    both = [[_filled(x) for x in scores.f_beta(side.counts).tolist()] for side in found[0][1:3]]
    place = {name: pair for name, *pair in zip(aligned.tags["name"], *both, strict=True)}
    return found, [place.get(name, (None, None)) for name in dump.tags["name"]]


def worst_tags(table):
    """Return the columns of the tags of lowest F1 among those that are true often enough to say so."""
    fewest = _fewest(table)
    seen = [column for column, row in enumerate(table) if row[3] >= fewest]
    return sorted(seen, key=lambda column: (table[column][10], -table[column][3]))[:WORST]


def _fewest(table):
    """The least of FEWEST and of what the most frequent tag has, but 1."""
    return max(1, min(FEWEST, max((row[3] for row in table), default=0)))


def with_pictures(dump, threshold, worst, pairs, pictures):
    """Return ``(column, shots)`` of the worst tags and ``(*CONFUSIONS, shots)`` of the pairs.

    Shots are ``(address or None, caption)``: images on which the mistake was made, the gravest first.
    """
    chosen = np.unique([*worst, *(column for pair in pairs for column in (pair.predicted, pair.true))])
    if not len(chosen):
        return [], []
    p, y = confusion.columns(dump.probabilities, dump.labels, chosen.astype(np.intp))
    at = {int(column): place for place, column in enumerate(chosen)}
    shots = []
    for column in worst:
        place = at[column]
        missed, wrong = confusion.worst_rows(p[:, place], y[:, place], threshold)
        marked = [(row, "missed") for row in missed] + [(row, "wrong") for row in wrong]
        shots.append([(row, f"{word}, {p[row, place]:.2f}") for row, word in marked])
    for pair in pairs:
        places = [at[pair.predicted], at[pair.true]]
        rows = confusion.pair_rows(p[:, places], y[:, places], threshold)
        shots.append([(row, " / ".join(f"{p[row, place]:.2f}" for place in places)) for row in rows])
    shots = _shown(dump, shots, pictures)
    names = dump.tags["name"]
    listed = [(names[pair.predicted], names[pair.true], pair.images, pair.expected) for pair in pairs]
    return (
        list(zip(worst, shots, strict=False)),
        [(*row, images) for row, images in zip(listed, shots[len(worst) :], strict=True)],
    )


def _shown(dump, shots, pictures):
    """Replace rows by the addresses of small pictures."""
    rows = sorted({row for some in shots for row, _ in some})
    if dump.image_ids is None:
        return [[] for _ in shots]
    ids = {row: int(dump.image_ids[row]) for row in rows}
    found = pictures(sorted(set(ids.values()))) if rows else {}
    addresses = {number: post_images.data_uri(data) for number, data in found.items()}
    return [[(addresses.get(ids[row]), caption) for row, caption in some] for some in shots]
