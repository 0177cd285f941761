"""Questions about labels: what an audit found, as arrays, however many hundred thousand there are.

An audit is tag name -> post ids, the likeliest first (tools/audit_labels.py); the CSV beside it has scores.
"""

import dataclasses
import pathlib

import numpy as np
import pandas as pd

from Utils.command.cli import UserError, suggest
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
    probabilities: np.ndarray  # (Q,) float32, NaN where nobody knows
    carried: np.ndarray  # (Q,) bool: the post carries the tag, likely wrongly; else it likely lacks it

    def __len__(self):
        return len(self.posts)

    def rows_of(self, tag):
        """Return the slice of the rows of tag number ``tag``."""
        return slice(int(self.starts[tag]), int(self.starts[tag + 1]))

    def tag_of(self, row):
        """Return the number of the tag that a row, or an array of rows, asks about."""
        return np.searchsorted(self.starts, row, side="right") - 1

    def find(self, post, tag):
        """Return the row of a post and tag number, None where it is not asked."""
        rows = self.rows_of(tag)
        places = np.flatnonzero(self.posts[rows] == post)
        return rows.start + int(places[0]) if len(places) else None


def read(paths, tags):
    """Return the Questions of audits: audit.json, audit_wrong.json or both.

    A pair of tag and post is asked once. Raises UserError on what is no audit, or of another tag list.
    """
    frame = pd.concat([_frame(pathlib.Path(path)) for path in paths], ignore_index=True)
    frame = frame.drop_duplicates(["tag", "post_id"])
    if not len(frame):
        raise UserError(
            f"{', '.join(map(str, paths))}: the audit found nothing, so there is nothing to decide"
        )
    places = {name: place for place, name in reversed(list(enumerate(tags["name"])))}
    unknown = [name for name in frame["tag"].unique() if name not in places]
    if unknown:
        raise UserError(
            f"the tag list lacks {len(unknown)} tags of the audit, the first is {unknown[0]!r}"
            f"{suggest(unknown[0], places)}; is --tags the list it was made with?"
        )
    numbers, names = pd.factorize(frame["tag"])
    order = np.argsort(numbers, kind="stable")
    starts = np.concatenate([[0], np.cumsum(np.bincount(numbers))])
    columns = (frame[name].to_numpy()[order] for name in ("post_id", "probability", "carried"))
    asked = tags.iloc[[places[name] for name in names]][list(tag_list.COLUMNS)].reset_index(drop=True)
    return Questions(asked, starts, *columns)


def _frame(path):
    """Return the columns tag, post_id, probability, carried of one audit."""
    found = read_json(require_file(path, "an audit (.json, from audit_labels.py)"))
    if not isinstance(found, dict):
        raise UserError(f"{path} must map tags to lists of post ids; got {type(found).__name__}")
    for tag, posts in found.items():
        if not isinstance(posts, list) or not all(map(_is_id, posts)):
            raise UserError(f"{path}: {tag!r} must have a list of post ids; got {str(posts)[:60]}")
    sizes = [len(posts) for posts in found.values()]
    posts = [post for posts in found.values() for post in posts]
    frame = pd.DataFrame(
        {
            "tag": np.repeat(np.array(list(found), object), sizes),
            "post_id": np.array(posts, np.int64),
            "carried": path.stem.endswith(_WRONG),
        }
    )
    return _with_scores(frame, path)


def _is_id(post):
    return type(post) is int and 0 <= post < 2**63


def _with_scores(frame, path):
    """Add the probabilities of the CSV that lies beside an audit, which also knows what a post carries."""
    beside = path.with_name(f"{path.stem.removesuffix(_WRONG)}.csv")
    if not beside.is_file():
        return frame.assign(probability=np.float32(np.nan))
    what = "the scores of an audit (.csv, from audit_labels.py)"
    scores = csv_tables.read(beside, what, list(_SCORES), dtype=_SCORES, keep_default_na=False)
    scores = scores[list(_SCORES)].drop_duplicates(["tag", "post_id"])
    joined = frame.merge(scores, "left", ["tag", "post_id"])
    known = joined["label"].notna()
    joined.loc[known, "carried"] = joined.loc[known, "label"] != 0
    return joined.drop(columns="label")
