"""What a selection of posts and tags kept and left out, as a table for people and as JSON."""

import collections
import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from Utils.command.text import counted, join_names
from Utils.data.dataset_selection import Selection
from Utils.data.dataset_writer import ImagesOfTags
from Utils.data.default_definition import QUALITY_WORDS
from Utils.data.selection import Step
from Utils.tags import captions, tag_categories

SHOWN = 10  # of the most and of the least frequent tags
_WIDTH = 44
# 1girl;long_hair;solo is a caption perhaps; steins;gate, ;d and ;_; are names.
_WITH_SEMICOLONS = re.compile(r"(?:[^;]*[^\W_]{2}[^;]*;){2,}[^;]*[^\W_]{2}[^;]*")
_PROMPT = re.compile(r"\(.*:[\d.]+\)|<.+:.+>")  # (hat:1.2), <lora:x:1>


@dataclasses.dataclass(frozen=True)
class Outcome:
    """A selection that was written, as the report shows it.

    Args:
        dataset: path of the folder.
        selected: what passed.
        splits: ``{split: posts}``.
        images: ``{split: (num_labels,) posts of every tag}``.
        notes: sentences about what was guessed or left aside.
        reasons: of the default definition's values, by field; None where somebody wrote the definition.
        next_command: what to run next.
    """

    dataset: str
    selected: Selection
    splits: Mapping[str, int]
    images: ImagesOfTags
    notes: Sequence[str]
    reasons: Mapping[str, str] | None
    next_command: str


def summary(outcome: Outcome) -> dict[str, Any]:
    """Return what --json prints."""
    selected = outcome.selected
    most, least = _extremes(outcome)
    return {
        "dataset": outcome.dataset,
        "posts": selected.post_steps,
        "tags": selected.tag_steps,
        "splits": dict(outcome.splits),
        "num_labels": len(selected.tags),
        "categories": count_categories(selected.tags),
        "dropped": selected.dropped["rule"].value_counts(sort=False).to_dict(),
        "most_frequent": dict(most),
        "least_frequent": dict(least),
        "not_in": {split: _tags_not_in(outcome, split) for split in outcome.splits},
        "copies": selected.num_copies,
        "notes": list(outcome.notes),
        "definition": None if outcome.reasons is None else dict(outcome.reasons),
        "files": {
            "dropped": "dropped_tags.csv",
            "images of every tag": "tag_splits.csv",
            "left out": "rejected.csv",
        },
        "next": outcome.next_command,
    }


def report(outcome: Outcome) -> str:
    """Return what is printed: how many posts or tags each rule dropped, what is left, the next step."""
    selected, lines = outcome.selected, []
    if outcome.reasons is not None:
        lines += ["no definition was given; these values were chosen, and are in definition.toml:"]
        for field, reason in outcome.reasons.items():
            lines.append(f"  {field:<20}{_value(getattr(selected.definition, field))} ({reason})")
    lines += [_line("posts", selected.post_steps[0]["before"]), *_lines(selected.post_steps)]
    lines += [_line("posts kept", sum(outcome.splits.values()))]
    lines += [_line(f"  {split}", number) for split, number in outcome.splits.items()]
    lines += [_line("tags", selected.tag_steps[0]["before"]), *_lines(selected.tag_steps)]
    lines += [_line("tags kept", len(selected.tags))]
    lines += [_line(f"  {name}", number) for name, number in count_categories(selected.tags).items()]
    most, least = _extremes(outcome)
    lines += [f"most frequent: {_pairs(most)}"]
    if least:
        lines += [f"least frequent: {_pairs(least)}"]
    lines += [*outcome.notes, *_remarks(outcome), f"wrote {outcome.dataset}", f"next: {outcome.next_command}"]
    return "\n".join(lines)


def count_categories(tags: pd.DataFrame) -> dict[str, int]:
    """Return ``{category name: tags}`` in the order of the list."""
    counts = tags["category"].value_counts(sort=False)
    rows = zip(counts.index.tolist(), counts.tolist(), strict=True)
    names = tag_categories.names_of(tags)
    return {tag_categories.name_of(code, names): number for code, number in rows}


def _line(name: str, number: int) -> str:
    return f"{name:<{_WIDTH}}{number:>12,}"


def _lines(steps: Sequence[Step]) -> list[str]:
    changed = [step for step in steps if step["after"] != step["before"]]
    return [_line(f"  {step['rule']}", step["after"] - step["before"]) for step in changed]


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {part}" for name, part in value.items())
    if isinstance(value, tuple):
        return join_names([str(item) for item in value], 4)
    return str(value)


def _extremes(outcome: Outcome) -> tuple[list[tuple[str, int]], list[tuple[str, int]]]:
    """Return ``(name, posts)`` of the most frequent tags, and of the least frequent of the others."""
    counts = np.sum(list(outcome.images.values()), axis=0)
    order = np.argsort(-counts, kind="stable")
    names = outcome.selected.tags["name"].tolist()
    ranked = [(names[row], int(counts[row])) for row in order]
    return ranked[:SHOWN], ranked[SHOWN:][-SHOWN:]


def _pairs(pairs: Sequence[tuple[str, int]]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in pairs)


def _tags_not_in(outcome: Outcome, split: str) -> list[str]:
    names = outcome.selected.tags["name"].to_numpy()
    return names[outcome.images[split] == 0].tolist()


def _remarks(outcome: Outcome) -> list[str]:
    """Return a sentence about everything in the result that its user may not expect."""
    selected, remarks = outcome.selected, []
    num_posts, num_tags = sum(outcome.splits.values()), len(selected.tags)
    for split in outcome.splits:
        if absent := _tags_not_in(outcome, split):
            consequence = "they are not learned" if split == "train" else "their score is not known"
            verb = "has" if len(absent) == 1 else "have"
            remarks.append(
                f"{len(absent):,} of {num_tags:,} tags {verb} no picture in {split}: {consequence} "
                f"({join_names(absent, 5)})"
            )
    everywhere = np.flatnonzero(np.sum(list(outcome.images.values()), axis=0) == num_posts)
    if len(everywhere):
        names = selected.tags["name"].iloc[everywhere].tolist()
        what = "tag is" if len(names) == 1 else "tags are"
        nothing = "; so there is nothing to learn: add pictures without them" * (len(names) == num_tags)
        remarks.append(
            f"{len(names):,} {what} on every picture, nothing to tell apart: {join_names(names, 5)}{nothing}"
        )
    remarks += _rules(selected)
    remarks += _odd_names(selected.tags["name"].tolist())
    if selected.num_copies:
        remarks.append(
            f"{counted(selected.num_copies, 'copy', 'copies')} of other pictures, byte for byte, each in the "
            "split of its original"
        )
    excluded = selected.dropped[selected.dropped["rule"] == "exclude_tags"]
    quality = excluded[excluded["name"].isin(QUALITY_WORDS)]
    if len(quality):
        frame = quality.sort_values(["count", "name"], ascending=[False, True])
        words = [f"{name} {count:,}" for name, count in zip(frame["name"], frame["count"], strict=True)]
        remarks.append(f"words about quality left out by exclude_tags: {join_names(words, 6)}")
    if selected.rejected:
        reasons = collections.Counter(reason for *_, reason in selected.rejected)
        listed = ", ".join(f"{number:,} {reason}" for reason, number in reasons.most_common(5))
        remarks.append(f"left out, in rejected.csv: {counted(len(selected.rejected), 'file')}: {listed}")
    return remarks


def _rules(selected: Selection) -> list[str]:
    """Return sentences on what max_tags counts, and on the rules that include_tags ends."""
    sentences, rare = [], selected.dropped[selected.dropped["rule"] == "max_tags"]
    if len(rare):
        first = rare.sort_values(["images", "count"], ascending=False, kind="stable").iloc[0]
        sentences.append(
            f"max_tags keeps the {counted(selected.definition.max_tags, 'tag')} on the most kept pictures, "
            f"whatever their count in the source: {len(rare):,} are left out, of which {first['name']} is on "
            f"the most, {first['images']:,}"
        )
    if selected.definition.include_tags is not None:
        sentences.append(
            "include_tags names the tags: categories, min_tag_count, min_tag_images, min_tag_share and "
            "max_tags leave out none"
        )
    return sentences


def _odd_names(names: Sequence[str]) -> list[str]:
    """Return sentences about names that are perhaps one tag, several, or none."""
    by_letters: dict[str, list[str]] = {}
    for name in names:
        by_letters.setdefault(name.casefold(), []).append(name)
    pairs = ["/".join(spellings) for spellings in by_letters.values() if len(spellings) > 1]
    prompts = [name for name in names if _PROMPT.fullmatch(name) or captions.has_prompt_brackets(name)]
    sentences = []
    if pairs:
        sentences.append(f"tags that differ in capitals only, each a tag of its own: {join_names(pairs, 5)}")
    if prompts:
        what = counted(len(prompts), "name looks like a prompt, no tag", "names look like prompts, not tags")
        sentences.append(
            f"{what}: {join_names(prompts, 5)}; mend the captions, or name them in exclude_tags of a "
            "definition"
        )
    if joined := [name for name in names if _WITH_SEMICOLONS.fullmatch(name)]:
        what = counted(len(joined), "name has", "names have")
        sentences.append(
            f"{what} semicolons, as if of several tags: {join_names(joined, 5)}; if so, write commas, "
            "or blanks behind the semicolons"
        )
    return sentences
