"""The model card of a release: its README.md, made from the run, its dataset and its dumps.

The same facts give the same text: there is no date in it.
"""

import dataclasses
import math
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from Utils.command.text import counted, markdown_row
from Utils.evaluation import predictions
from Utils.files import csv_tables
from Utils.report import client_instructions, report
from Utils.report.client_instructions import CLIENTS_SIDE
from Utils.tags import tag_categories

RARE = 100  # posts; a tag with fewer is called rare


Headline = tuple[str, int, list[dict[str, Any]]]  # split, images, rows of `Utils.report.report.headline`


@dataclasses.dataclass(frozen=True)
class Facts:
    """The facts on a card; where a field is None or empty, the card says that it is not known."""

    name: str  # of the release
    layout: str  # wd or full
    image_size: int  # pixels
    parameters: int
    tags: pd.DataFrame  # tags of the release in order
    other_tags: pd.DataFrame  # tags that only the model with all tags has
    model: str = ""  # Family/Variant
    timm: str = ""  # name of timm's architecture, if its files are written
    recipe: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    history: Mapping[str, Any] = dataclasses.field(default_factory=dict)  # the epoch's row of history.csv
    manifest: Mapping[str, Any] = dataclasses.field(default_factory=dict)  # dataset.json
    formats: Mapping[str, dict[str, Any]] = dataclasses.field(default_factory=dict)  # as in release.json
    headlines: Sequence[Headline] = ()
    thresholds: pd.DataFrame | None = None  # thresholds.csv
    license: str = ""
    embedding: bool = False  # the ONNX model has a second output, the features


def history_until(path: pathlib.Path, best_by: tuple[str, bool] | None) -> pd.DataFrame:
    """Return history.csv up to the epoch of the best model; no rows without a file.

    ``best_by`` is the column that has selected it, and whether its lowest value is the best; None is for the
    last model, which all rows belong to.
    """
    if not path.is_file():
        return pd.DataFrame()
    rows = csv_tables.read(path, "the epochs of a run", ())
    column, lowest = best_by or ("", False)
    if column not in rows:
        return rows
    values = pd.to_numeric(rows[column], errors="coerce")
    values = values[values.abs() < math.inf]
    return rows.loc[: values.idxmin() if lowest else values.idxmax()] if len(values) else rows


def headline_of(dump: predictions.Dump) -> Headline:
    """Return split, images and scores of a dump with labels, as `Facts.headlines` has them."""
    return dump.info.get("split") or dump.name, len(dump.probabilities), report.headline(dump)


def render(facts: Facts) -> str:
    """Return the card as Markdown with a front matter that model hubs read."""
    parts = (_front, _title, _files, _data, _training, _scores, _thresholds, _preprocessing, _usage, _limits)
    return "\n\n".join("\n".join(part(facts)) for part in parts) + "\n"


def _front(facts: Facts) -> list[str]:
    lines = ["---", f"license: {facts.license}"] if facts.license else ["---"]
    words = ["multi-label", "image-tagging", "booru", "onnx", "keras"]
    lines += ["pipeline_tag: image-classification", f"library_name: {'timm' if facts.timm else 'onnx'}"]
    return [*lines, "tags:", *(f"- {word}" for word in words), "---"]


def _title(facts: Facts) -> list[str]:
    model = f"{facts.model}, " if facts.model else ""
    counts = _joined([f"{len(part):,} {name}" for name, part in _by_category(facts.tags)])
    terms = f"License: {facts.license}." if facts.license else (
        "No license is stated: ask who made the model before you use it or pass it on."
    )  # fmt: skip
    return [
        f"# {facts.name}",
        "",
        f"Says which of {counted(len(facts.tags), 'tag')} ({counts}) an illustration carries: {model}"
        f"{facts.parameters:,} parameters, {facts.image_size} x {facts.image_size} pixels. {terms}",
    ]


def _files(facts: Facts) -> list[str]:
    rows = [("model.onnx", "the model, float32, any batch size"),
            ("selected_tags.csv", "row i is output i"),
            ("preprocess.json, categories.json", "the same facts for programs")]  # fmt: skip
    if facts.timm:
        rows.append(("config.json, model.safetensors", f"timm's {facts.timm}"))
    rows.append(("extra/keras/", "the Keras model with all outputs, to load and to train from"))
    if len(facts.other_tags):
        rows.append(("extra/full/", f"the flavor with {len(facts.other_tags):,} more tags"))
    if facts.thresholds is not None:
        rows.append(("extra/thresholds.csv", "thresholds, also in the column `best_threshold`"))
    rows += [(entry["path"], measured_text(entry)) for name, entry in facts.formats.items()
             if entry["written"] and name != "onnx"]  # fmt: skip
    lines = ["## Files", "", *_table(("file", "what"), rows)]
    for name, entry in facts.formats.items():
        if not entry["written"]:
            lines += ["", f"{name} was asked for and left out: {entry['why']}."]
    return lines


def measured_text(entry: Mapping[str, Any]) -> str:
    """Return the measurements of a format, an entry of release.json, in words."""
    if entry.get("maximum") is None or entry.get("p999") is None:
        return "nothing was measured"
    words = (
        f"differs from Keras by {entry['maximum']:.2g} at most, by less than {entry['p999']:.2g} in 99.9% of "
        "the values"
    )
    if entry.get("f1_difference") is not None:
        words += f", F1 by {entry['f1_difference']:+.4f}"
    if entry.get("speed"):
        words += f"; {entry['speed']:.2f} times as fast as float32 on the CPU that made it"
    return words


def _data(facts: Facts) -> list[str]:
    manifest, lines = facts.manifest, ["## Data", ""]
    if not manifest:
        return [*lines, "Nothing is known of the data that the model was trained on."]
    records = {split: entry for split, entry in (manifest.get("records") or {}).items() if entry}
    counts = [(split, _count(entry.get("records"))) for split, entry in records.items()]
    source = (manifest.get("source") or {}).get("kind", "unknown")
    lines += [
        f"Dataset `{manifest.get('name', '')}`, from {source}.",
        "",
        *_table(("split", "images"), counts),
    ]
    all_tags = pd.concat([facts.tags, facts.other_tags])
    rows = [(name, f"{len(part):,}", f"{part['count'].median():,.0f}", f"{part['count'].min():,}")
            for name, part in _by_category(all_tags)]  # fmt: skip
    lines += ["", *_table(("category", "tags", "posts of the median tag", "of the rarest"), rows)]
    return lines + _selection(manifest)


def _selection(manifest: Mapping[str, Any]) -> list[str]:
    """Return what the definition of the dataset selects; other datasets have no such keys."""
    rules = manifest.get("definition") or {}
    needed = ("splits", "ratings", "exclude_status", "min_tags_per_image", "min_tag_count", "min_tag_images")
    if not set(needed) | {"max_tags"} <= set(rules):
        return []
    splits = _splits(rules)
    source = manifest.get("source") or {}
    # Datasets that were made before "keeps_unrated" was recorded: posts in folders rarely say a rating.
    keeps_unrated = source.get("keeps_unrated", source.get("kind") == "sidecars")
    unrated = " or without a rating" if keeps_unrated else ""
    sentences = (
        f"Images rated {_joined(rules['ratings'], 'or')}{unrated}, with at least "
        f"{rules['min_tags_per_image']} tags; "
        f"without posts that are {_joined(rules['exclude_status'], 'or') or 'anything'}; "
        f"{splits}.",
        f"Tags with at least {rules['min_tag_count']:,} posts and {rules['min_tag_images']:,} images, "
        f"{rules['max_tags']:,} at most.",
    )
    return ["", " ".join(sentences)]


def _splits(rules: Mapping[str, Any]) -> str:
    """Return how a definition divides its posts."""
    if rules.get("split_file"):
        return "splits listed post by post"
    parts = rules["splits"].items()
    if any(isinstance(part, float) for _, part in parts):
        return f"splits drawn by content: {_joined([f'{part:.4g} {name}' for name, part in parts])}"
    ranges = [f"{name} {low} to {high}" for name, (low, high) in parts]
    return f"splits by post id modulo 1000: {_joined(ranges)}"


def _training(facts: Facts) -> list[str]:
    recipe, history, lines = facts.recipe, facts.history, ["## Training", ""]
    if not recipe:
        return [*lines, "The release was made from a model file: how it was trained is not known."]
    named = ("recipe", "model", "model_options", "init_from", "loss", "optimizer", "learning_rate",
             "weight_decay", "schedule", "epochs", "mixup_alpha", "ema", "dtype_policy", "seed")  # fmt: skip
    rows = [(f"`{name}`", _setting(recipe[name])) for name in named if _setting(recipe.get(name))]
    if history.get("images"):
        rows.append(("images seen", f"{int(history['images']):,}"))
        rows.append(("epoch of this model", f"{int(history['epoch'])}"))
    return [*lines, *_table(("field", "value"), rows), "",
            "The whole recipe is `extra/keras/recipe.json`."]  # fmt: skip


def _setting(value: Any) -> str:
    """Return a setting as text, an empty one where it is off or the default."""
    if isinstance(value, (list, tuple)):
        return " ".join(map(str, value))
    return "" if value in (None, "", 0, 0.0, "default") else str(value)


def _scores(facts: Facts) -> list[str]:
    lines = ["## Scores", ""]
    if not facts.headlines:
        if not {"val_f1", "val_threshold"} <= set(facts.history):
            return [*lines, "None were measured."]
        return [
            *lines,
            f"On the validation split: micro F1 {facts.history['val_f1']:.4f} at the threshold "
            f"{facts.history['val_threshold']:.4f}, where precision equals recall (history.csv of the run; "
            "intervals and scores by category need a dump: `export_model.py --dump`).",
        ]
    lines.append(
        "Micro F1 where precision equals recall, with 95% intervals over images drawn anew "
        f"{report.NUM_RESAMPLES:,} times; macro F1 is the mean over tags."
    )
    head = ("category", "tags", "F1", "95%", "macro F1", "MCC", "threshold")
    for split, images, rows in facts.headlines:
        cells = [(row["category"], f"{row['tags']:,}", *_scored(row["model"])) for row in rows]
        lines += ["", f"{split}, {counted(images, 'image')}:", "", *_table(head, cells)]
    return lines


def _scored(row: Mapping[str, float]) -> tuple[str, ...]:
    interval = f"{_score(row['F1_low'])} to {_score(row['F1_high'])}"
    return _score(row["F1"]), interval, _score(row["macro_F1"]), _score(row["MCC"]), _score(row["thres"])


def _score(value: float | None) -> str:
    return "" if value is None or math.isnan(value) else f"{value:.4f}"


def _thresholds(facts: Facts) -> list[str]:
    lines = ["## Thresholds", "", "A tag is predicted where its probability is greater than the threshold."]
    if facts.headlines:
        split, _, rows = facts.headlines[0]
        by_category = _joined([f"{row['category']} {_score(row['model']['thres'])}" for row in rows])
        lines.append(f"Precision equals recall on the split {split} at: {by_category}.")
    elif "val_threshold" in facts.history:
        lines.append(f"Precision equals recall over all tags at {facts.history['val_threshold']:.4f}.")
    if facts.thresholds is not None:
        lines.append(_about_thresholds(facts.thresholds))
    elif not facts.headlines and "val_threshold" not in facts.history:
        lines.append("None was measured; the 0.35 that most programs begin with is a guess.")
    return lines


def _about_thresholds(table: pd.DataFrame) -> str:
    rules = _joined(sorted(set(table["rule"]))) if "rule" in table else "given"
    scopes = _joined([f"{count:,} of scope {scope}" for scope, count in
                      table["scope"].value_counts(sort=False).items()])  # fmt: skip
    return (f"`extra/thresholds.csv` has {scopes} (rule {rules}), from {table['threshold'].min():.4f} to "
            f"{table['threshold'].max():.4f}; programs that read `best_threshold` use them.")  # fmt: skip


def _preprocessing(facts: Facts) -> list[str]:
    side = facts.image_size
    return [
        "## Preprocessing",
        "",
        "1. Decode; composite transparency on white.",
        "2. Pad to a square with white (255, 255, 255), the picture in the middle.",
        f"3. Resize to {side} x {side} by pixel-area averaging.",
        f"4. float32, NHWC `(batch, {side}, {side}, 3)`, values 0 to 255 as they are, channels **BGR**.",
        "",
        "The normalization is inside the model. The output `prediction` is `(batch, "
        f"{len(facts.tags)})` probabilities, a sigmoid for each tag.",
    ]


def _usage(facts: Facts) -> list[str]:
    lines = [
        "## How to use it",
        "",
        "With the tools of the repository that made it:",
        "",
        "```bash",
        f"python tools/tag_images.py {facts.name} pictures --format txt",
        f"python tools/tag_images.py {facts.name} pictures --format hydrus  # sidecars for Hydrus",
        f"python tools/serve.py {facts.name}",
        "```",
        "",
        "Anywhere:",
        "",
        *client_instructions.python_lines(facts.name, facts.image_size),
        "",
    ]
    if facts.layout != "wd":
        return [
            *lines,
            "This is the layout `full`: programs for WD's taggers cut the tags by position and need the "
            "layout `wd`, with the four ratings first.",
        ]
    programs = client_instructions.programs(
        facts.name, facts.image_size, has_timm=bool(facts.timm), has_features=facts.embedding
    )
    return [*lines, "In other programs, from this folder as it lies on disk:", "",
            *_table(("program", "how", "run"), client_instructions.rows(programs)), "",
            client_instructions.WHAT_WAS_RUN]  # fmt: skip


def _limits(facts: Facts) -> list[str]:
    rare = int((facts.tags["count"] < RARE).sum())
    lines = [
        "## Limits",
        "",
        "- Labels of boorus are incomplete: people tag what strikes them. A prediction that counts as wrong "
        "above may be right, and tags that people often forget come out with too low a probability.",
        "- It knows pictures of the kind it was trained on. Photographs, other styles and other ratings are "
        "outside of what was measured.",
        "- Probabilities are of tags, one by one: nothing keeps two that exclude each other apart.",
        "- A character that is not in the list is not recognized, at most taken for one that is.",
    ]
    if rare:
        lines.append(
            f"- {counted(rare, 'tag has', 'tags have')} fewer than {RARE} posts; expect little of them."
        )
    if facts.image_size != CLIENTS_SIDE:
        lines.append(f"- The side is {facts.image_size}, not {CLIENTS_SIDE}: programs that take "
                     f"{CLIENTS_SIDE} for granted do not run it.")  # fmt: skip
    return lines


# Words and tables


def _by_category(tags: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """Return (name, rows) of every category in the order of the list."""
    order = dict.fromkeys(tags["category"].tolist())
    names = tag_categories.names_of(tags)
    return [(tag_categories.name_of(code, names), tags.loc[tags["category"] == code]) for code in order]


def _count(value: int | None) -> str:
    return "not counted" if value is None else f"{value:,}"


def _joined(words: Iterable[object], last: str = "and") -> str:
    """Return ``"a, b and c"``."""
    words = [str(word) for word in words]
    return f" {last} ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    return [markdown_row(line) for line in (head, (":--",) * len(head), *rows)]
