"""What a comparison of taggers writes: tables, JSON, the text on the terminal."""

import itertools
import math
import pathlib
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from Utils.command import text as text_of
from Utils.command.text import counted
from Utils.comparison import tagger_predictions, tagger_scores
from Utils.comparison.comparison import Comparison
from Utils.comparison.tagger_scores import METRICS, TaggerScores
from Utils.evaluation import predictions, scores
from Utils.files import csv_tables
from Utils.files.atomic import provenance, write_json
from Utils.files.output_folders import FolderKind
from Utils.serving import tag_selection
from Utils.tags import tag_categories

COMPARISON = FolderKind(
    "a comparison of taggers",
    ("comparison.json", "comparison.csv", "report.html"),
    inventory="comparison.json",
)
COLUMNS = (
    "tagger", "tags", "threshold", "micro_F1", "micro_F1_low", "micro_F1_high", "precision", "recall",
    "macro_F1", "macro_F1_low", "macro_F1_high", "macro_AP", "macro_AP_low", "macro_AP_high", "micro_AP",
    "published_micro_F1", "published_precision", "published_recall", "published_macro_F1",
    "published_thresholds", "ECE", "ECE_above_first_bin", "temperature", "images_per_second",
    "model_images_per_second", "peak_megabytes",
)  # fmt: skip
PART_COLUMNS = (
    "tagger", "kind", "part", "tags", "positives", "threshold", "micro_F1", "macro_F1", "macro_AP",
)  # fmt: skip
DIFFERENCE_COLUMNS = ("first", "second", "metric", "difference", "low", "high", "distinguishable")


def file_names(names: Iterable[str]) -> dict[str, str]:
    """Return taggers' names as those of folders, no two the same, whatever their case: ``{name: folder}``."""
    folders: dict[str, str] = {}
    taken: set[str] = set()
    for name in names:
        stem = re.sub(r"[^\w.-]+", "_", name).strip(".") or "tagger"
        free = (f"{stem}{end}" for end in itertools.chain([""], (f"-{n}" for n in itertools.count(2))))
        folders[name] = next(folder for folder in free if folder.lower() not in taken)
        taken.add(folders[name].lower())
    return folders


def facts(
    result: Comparison, dumps: Sequence[predictions.Dump], after_id: int | None, seed: int
) -> dict[str, Any]:
    """Return all numbers of a comparison, ready for JSON: taggers in the order of the command line."""
    aligned, first = result.shared.aligned, result.shared.first_tagger
    in_all = aligned.in_all(range(first, first + len(result.contestants)))
    never = int((~result.labels.any(axis=0)).sum())
    return {
        "posts": len(result.posts),
        "tags": len(result.shared.judged),
        "shared_tags": int(in_all.sum()),
        "never_true": never,
        "absent_categories": result.shared.absent,
        "positives": int(result.labels.sum()),
        "after_id": after_id,
        "left_out": result.posts.left_out,
        "resamples": result.resamples,
        "seed": seed,
        "ranking": result.ranking,
        "taggers": [_tagger_facts(result, number, dump) for number, dump in enumerate(dumps)],
        "differences": list(_differences(result)),
    }


def _tagger_facts(result: Comparison, number: int, dump: predictions.Dump) -> dict[str, Any]:
    contestant = result.contestants[number]
    scored, shared = result.scored[contestant.name], result.shared
    totals = scored.at_equality.counts.total()
    content: dict[str, Any] = {
        "name": contestant.name,
        "source": contestant.source,
        "tags": len(contestant.tags),
        "tags_not_judged": len(contestant.tags) - len(shared.judged),
        "double_tags": len(shared.aligned.doubled(shared.first_tagger + number)),
        "threshold": float(scored.at_equality.threshold),
        "precision": float(scores.precision(totals)),
        "recall": float(scores.recall(totals)),
        "micro_AP": scored.micro_ap,
    }
    for metric in METRICS:
        content |= {metric: scored.value(metric), f"{metric}_interval": list(scored.interval(metric))}
    content |= {
        "published": _published_facts(scored),
        "ECE": scored.reliability.expected_calibration_error(),
        "ECE_above_first_bin": scored.reliability.expected_calibration_error(first_bin=1),
        "temperature": scored.temperature.value,
        "categories": {part.name: _part_facts(part) for part in scored.categories},
        "frequencies": {part.name: _part_facts(part) for part in scored.frequencies},
        **_speed_facts(dump),
    }
    leak = result.leaks.get(contestant.name)
    if leak is not None:
        content["leaked_posts"] = leak.posts
        if leak.scores is not None:
            content["leak_inflation"] = leak.scores.inflation
            content["leak_inflation_interval"] = list(leak.scores.interval)
    return content


def _published_facts(scored: TaggerScores) -> dict[str, Any]:
    totals = scored.published.counts.total()
    return {
        "thresholds": scored.published_source or tag_selection.DEFAULTS,
        "are_defaults": scored.published_source is None,
        **{metric: scored.published.values[metric] for metric in ("micro_F1", "macro_F1")},
        "precision": float(scores.precision(totals)),
        "recall": float(scores.recall(totals)),
    }


def _part_facts(part: tagger_scores.PartScores) -> dict[str, Any]:
    values = (part.tags, part.positives, part.threshold, part.micro_f1, part.macro_f1, part.macro_ap)
    return dict(zip(PART_COLUMNS[3:], values, strict=True))


def _speed_facts(dump: predictions.Dump) -> dict[str, float | None]:
    speed = tagger_predictions.speed_of(dump)
    return {
        "images_per_second": speed and speed.images_per_second,
        "model_images_per_second": speed and speed.model_images_per_second,
        "peak_megabytes": speed and speed.peak_megabytes,
    }


def _differences(result: Comparison) -> Iterator[dict[str, Any]]:
    """Yield second - first of every pair and score; the better one by macro AP is the second."""
    ranking = result.ranking
    for place, second in enumerate(ranking):
        for first in ranking[place + 1 :]:
            for metric in METRICS:
                gain = tagger_scores.difference(result.scored[first], result.scored[second], metric)
                values = (first, second, metric, gain.value, gain.low, gain.high, gain.distinguishable)
                yield dict(zip(DIFFERENCE_COLUMNS, values, strict=True))


def write(folder: pathlib.Path, result: Comparison, content: dict[str, Any]) -> None:
    """Write the tables of a comparison and its JSON."""
    csv_tables.write_rows(folder / "comparison.csv", COLUMNS, map(_headline_row, content["taggers"]))
    differences = [[_cell(row[name]) for name in DIFFERENCE_COLUMNS] for row in content["differences"]]
    csv_tables.write_rows(folder / "differences.csv", DIFFERENCE_COLUMNS, differences)
    csv_tables.write_rows(folder / "parts.csv", PART_COLUMNS, _part_rows(content["taggers"]))
    header, rows = tag_table(result)
    csv_tables.write_rows(folder / "tags.csv", header, [[_cell(value) for value in row] for row in rows])
    write_json(folder / "comparison.json", _without_nan(content) | provenance())


def _headline_row(tagger: dict[str, Any]) -> list[Any]:
    cells = dict(tagger) | {"tagger": tagger["name"]}
    for metric in METRICS:
        cells[f"{metric}_low"], cells[f"{metric}_high"] = tagger[f"{metric}_interval"]
    published = tagger["published"]
    cells |= {f"published_{name}": value for name, value in published.items()}
    return [_cell(cells[name]) for name in COLUMNS]


def _part_rows(taggers: Iterable[dict[str, Any]]) -> list[list[Any]]:
    kinds = (("category", "categories"), ("frequency", "frequencies"))
    return [
        [tagger["name"], kind, part, *(_cell(values[name]) for name in PART_COLUMNS[3:])]
        for tagger in taggers
        for kind, key in kinds
        for part, values in tagger[key].items()
    ]


def _cell(value: Any) -> Any:
    """Return a cell of a CSV: empty for None and NaN, numbers in full precision."""
    is_missing = value is None or (isinstance(value, float) and math.isnan(value))
    return "" if is_missing else float(value) if isinstance(value, np.floating) else value


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_nan(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def tag_table(result: Comparison) -> tuple[list[str], Iterator[list[Any]]]:
    """Return header and rows of tags.csv: every tag of any tagger or of the labels, and who has it.

    ``judged`` says whether the tag is compared; a column of each tagger has the name under which it has the
    tag, then come F1 (where precision equals recall) and AP of the judged tags.
    """
    names = [contestant.name for contestant in result.contestants]
    header = ["tag_id", "name", "category", "judged", "taggers", "in_labels", "positives", *names]
    header += [f"{name} F1" for name in names] + [f"{name} AP" for name in names]
    return header, _tag_rows(result)


def _tag_rows(result: Comparison) -> Iterator[list[Any]]:
    aligned, first = result.shared.aligned, result.shared.first_tagger
    lists = [contestant.tags["name"].tolist() for contestant in result.contestants]
    columns = aligned.columns[first : first + len(lists)].T.tolist()
    in_labels = (aligned.columns[result.shared.label_list] >= 0).tolist()
    place_of = {int(tag): place for place, tag in enumerate(result.shared.judged)}
    positives = result.labels.sum(axis=0, dtype=np.int64).tolist()
    scored = [result.scored[contestant.name] for contestant in result.contestants]
    values = [
        *(each.f1_of_tags().tolist() for each in scored),
        *(each.precisions.tolist() for each in scored),
    ]
    category_names = tag_categories.names_of(aligned.tags)
    described = aligned.tags[["tag_id", "name", "category"]].itertuples(index=False)
    for tag, (tag_id, name, code) in enumerate(described):
        place = place_of.get(tag)
        own = ["" if row < 0 else lists[number][row] for number, row in enumerate(columns[tag])]
        cells = [None] * len(values) if place is None else [column[place] for column in values]
        count = None if place is None else positives[place]
        yield [
            int(tag_id), name, tag_categories.name_of(code, category_names), int(place is not None),
            sum(row >= 0 for row in columns[tag]), int(in_labels[tag]), count, *own, *cells,
        ]  # fmt: skip


# The text on the terminal


def text(content: dict[str, Any]) -> str:
    """Return the comparison as lines: what was judged, a table, differences, what was left out."""
    lines = [
        f"{counted(content['posts'], 'post')}, {counted(content['tags'], 'tag')} that all have; each tagger "
        "at its own P = R threshold, and at its published ones; 95% in brackets",
        "",
    ]
    head = ("", "micro F1", "macro F1", "macro AP", "P = R at", "published F1", "P", "R", "macro", "ECE",
            "images/s", "MB")  # fmt: skip
    by_name = {tagger["name"]: tagger for tagger in content["taggers"]}
    rows = [head, *(_text_row(by_name[name]) for name in content["ranking"])]
    lines += ["  ".join(row).rstrip() for row in text_of.pad_columns(rows)]
    lines += ["", *_verdicts(content)]
    return "\n".join([*lines, *remarks(content)])


def _text_row(tagger: dict[str, Any]) -> tuple[str, ...]:
    published = tagger["published"]
    intervals = [f"{_score(tagger[name])} ({_range(tagger[f'{name}_interval'])})" for name in METRICS]
    others = [published[name] for name in ("micro_F1", "precision", "recall", "macro_F1")]
    speed, memory = tagger["images_per_second"], tagger["peak_megabytes"]
    return (
        tagger["name"], *intervals, f"{tagger['threshold']:.4f}", *map(_score, others), _score(tagger["ECE"]),
        "-" if speed is None else f"{speed:.1f}", "-" if memory is None else f"{memory:.0f}",
    )  # fmt: skip


def _score(value: float | None) -> str:
    return "-" if value is None or math.isnan(value) else f"{value:.4f}"


def _range(interval: Sequence[float]) -> str:
    return f"{_score(interval[0])} to {_score(interval[1])}"


def _verdicts(content: dict[str, Any]) -> Iterator[str]:
    """Yield a line on every tagger and the next one by macro AP."""
    differences = {(row["first"], row["second"], row["metric"]): row for row in content["differences"]}
    ranking = content["ranking"]
    for second, first in zip(ranking, ranking[1:], strict=False):
        parts = []
        for metric in METRICS:
            row = differences[first, second, metric]
            verdict = "" if row["distinguishable"] else ", not distinguishable"
            ends = f"{row['low']:+.4f} to {row['high']:+.4f}"
            parts.append(f"{metric.replace('_', ' ')} {row['difference']:+.4f} ({ends}{verdict})")
        yield f"{second} - {first}: {'; '.join(parts)}"


def remarks(content: dict[str, Any]) -> Iterator[str]:
    """Yield lines on what was not judged, and on thresholds that are not the taggers' own."""
    for tagger in content["taggers"]:
        double = f", {tagger['double_tags']} of them another spelling" if tagger["double_tags"] else ""
        others = f"{tagger['tags_not_judged']:,} of {tagger['tags']:,} tags are not judged"
        yield f"{tagger['name']}: {others}{double}"
        if tagger["published"]["are_defaults"]:
            yield f"{tagger['name']}: no thresholds are published with it; {tag_selection.DEFAULTS} are taken"
        if "leaked_posts" in tagger:
            yield _leak_text(tagger)
    for category, count in content["absent_categories"].items():
        yield f"{category}: the labels have no such tag; {counted(count, 'tag is', 'tags are')} not judged"
    if content["never_true"]:
        yield (
            f"{content['never_true']:,} of the {content['tags']:,} tags are true on no post: whatever is "
            "predicted of them is wrong"
        )
    for reason, count in content["left_out"].items():
        yield f"{counted(count, 'post')} left out: {reason}"


def _leak_text(tagger: dict[str, Any]) -> str:
    text = f"{tagger['name']}: trained on {tagger['leaked_posts']:,} of the posts, or on near-duplicates"
    if "leak_inflation" in tagger:
        low, high = tagger["leak_inflation_interval"]
        text += f"; with them its micro F1 is {tagger['leak_inflation']:+.4f} ({low:+.4f} to {high:+.4f})"
    return text
