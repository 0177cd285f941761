"""Questions about labels, made from an audit's findings; arrays, as there may be hundreds of thousands.

An audit is tag name -> post ids, the likeliest first (tools/audit_labels.py); the CSV beside it has scores.
"""

import dataclasses
import os
import pathlib
from collections.abc import Sequence
from typing import overload

import numpy as np
import pandas as pd

from Utils.command.cli import UserError, suggest
from Utils.command.text import counted
from Utils.files import csv_tables
from Utils.files.atomic import read_json, require_file
from Utils.tags import tag_list

_WRONG = "_wrong"
_SCORES = {"tag": str, "post_id": np.int64, "probability": np.float32, "label": np.float32}


@dataclasses.dataclass(frozen=True)
class Questions:
    """One question a row: does this post show this tag? Rows of one tag follow one another."""

    tags: pd.DataFrame  # T rows of a tag list: the tags that are asked about, in the audit's order
    starts: np.ndarray  # (T + 1,) int64: tag t has the rows from starts[t] to before starts[t + 1]
    posts: np.ndarray  # (Q,) int64
    probabilities: np.ndarray  # (Q,) float32, NaN if unknown
    carried: np.ndarray  # (Q,) bool: the post carries the tag, likely wrongly; else it likely lacks it

    def __len__(self) -> int:
        return len(self.posts)

    def rows_of(self, tag: int) -> slice:
        """Return the rows of tag number ``tag``."""
        return slice(int(self.starts[tag]), int(self.starts[tag + 1]))

    @overload
    def tag_of(self, row: int) -> int: ...

    @overload
    def tag_of(self, row: np.ndarray) -> np.ndarray: ...

    def tag_of(self, row: int | np.ndarray) -> int | np.ndarray:
        """Return the number of the tag that a row, or an array of rows, asks about."""
        tags = np.searchsorted(self.starts, row, side="right") - 1
        return tags if isinstance(row, np.ndarray) else int(tags)

    def find(self, post: int, tag: int) -> int | None:
        """Return the row of a post and tag number, None if it is not asked."""
        rows = self.rows_of(tag)
        places = np.flatnonzero(self.posts[rows] == post)
        return rows.start + int(places[0]) if len(places) else None


def read(paths: Sequence[str | os.PathLike], tags: pd.DataFrame) -> Questions:
    """Return the Questions of audits: audit.json, audit_wrong.json or both.

    A pair of tag and post is asked once. Raises UserError on a file that is no audit, and on an audit of
    another tag list than ``tags``.
    """
    findings = pd.concat([_findings(pathlib.Path(path)) for path in paths], ignore_index=True)
    findings = findings.drop_duplicates(["tag", "post_id"])
    if not len(findings):
        raise UserError(
            f"{', '.join(map(str, paths))}: the audit found nothing, so there is nothing to decide"
        )
    # Backwards, so that of two tags with one name the first is asked about.
    places = {name: place for place, name in reversed(list(enumerate(tags["name"])))}
    unknown = [name for name in findings["tag"].unique() if name not in places]
    if unknown:
        raise UserError(
            f"the tag list lacks {counted(len(unknown), 'tag')} of the audit, the first is {unknown[0]!r}"
            f"{suggest(unknown[0], places)}; is --tags the list it was made with?"
        )
    numbers, names = pd.factorize(findings["tag"])
    order = np.argsort(numbers, kind="stable")
    starts = np.concatenate([[0], np.cumsum(np.bincount(numbers))])
    columns = (findings[name].to_numpy()[order] for name in ("post_id", "probability", "carried"))
    asked_tags = tags.iloc[[places[name] for name in names]][list(tag_list.COLUMNS)].reset_index(drop=True)
    return Questions(asked_tags, starts, *columns)


def _findings(path: pathlib.Path) -> pd.DataFrame:
    """Return the columns tag, post_id, probability, carried of one audit."""
    audit = read_json(require_file(path, "an audit (.json, from audit_labels.py)"))
    if not isinstance(audit, dict):
        raise UserError(f"{path} must map tags to lists of post ids; got {type(audit).__name__}")
    for tag, posts in audit.items():
        if not isinstance(posts, list) or not all(map(_is_id, posts)):
            raise UserError(f"{path}: {tag!r} must have a list of post ids; got {str(posts)[:60]}")
    sizes = [len(posts) for posts in audit.values()]
    posts = [post for posts in audit.values() for post in posts]
    findings = pd.DataFrame(
        {
            "tag": np.repeat(np.array(list(audit), object), sizes),
            "post_id": np.array(posts, np.int64),
            "carried": path.stem.endswith(_WRONG),
        }
    )
    return _with_scores(findings, path)


def _is_id(post: object) -> bool:
    return type(post) is int and 0 <= post < 2**63  # not isinstance: true is no id, although bool is an int


def _with_scores(findings: pd.DataFrame, path: pathlib.Path) -> pd.DataFrame:
    """Add the probabilities of the CSV beside an audit; its labels also say what a post carries."""
    scores_path = path.with_name(f"{path.stem.removesuffix(_WRONG)}.csv")
    if not scores_path.is_file():
        return findings.assign(probability=np.float32(np.nan))
    what = "the scores of an audit (.csv, from audit_labels.py)"
    scores = csv_tables.read(scores_path, what, list(_SCORES), dtype=_SCORES, keep_default_na=False)
    scores = scores.loc[:, list(_SCORES)].drop_duplicates(["tag", "post_id"])
    joined = findings.merge(scores, "left", ["tag", "post_id"])
    is_scored = joined["label"].notna()
    joined.loc[is_scored, "carried"] = joined.loc[is_scored, "label"] != 0
    return joined.drop(columns="label")
