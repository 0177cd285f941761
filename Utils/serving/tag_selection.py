"""Which tags an image gets: a threshold for every tag, the most probable rating, limits that users set.

A tag is selected where its probability is greater than its threshold, compared in the dtype of the
probability, as everywhere in this repository.
"""

import argparse
import dataclasses
import pathlib
from collections.abc import Callable, Container, Iterable, Iterator

import numpy as np
import pandas as pd

from Utils.command.cli import UserError, suggest
from Utils.command.text import composed
from Utils.evaluation import threshold_table
from Utils.files import text_files
from Utils.files.atomic import AnyPath
from Utils.serving import tag_edits
from Utils.serving.dump_predictions import DumpPredictions
from Utils.serving.onnx_tagger import ServingTagger
from Utils.tags import tag_categories, tag_list

THRESHOLD, CHARACTER_THRESHOLD = 0.35, 0.85  # of most clients of WD taggers
DEFAULTS = f"{THRESHOLD:g}, characters {CHARACTER_THRESHOLD:g}"  # these two in words
MCUT_CHARACTER_FLOOR = 0.15  # no character below it, wherever the gap is: most images show none that is known
SHOWN_NAMES = 5  # of the names that a model does not know
RATING, CHARACTER = tag_categories.CODES["rating"], tag_categories.CODES["character"]


@dataclasses.dataclass(frozen=True)
class ScoredTag:
    """A tag of an image with its probability."""

    tag_id: int
    name: str
    category: int
    probability: float
    category_name: str = dataclasses.field(default="", compare=False)  # as the tag list names it


@dataclasses.dataclass(frozen=True)
class Selection:
    """The result for an image: all ratings in the order of the tag list, and tags, most probable first."""

    ratings: tuple[ScoredTag, ...]
    tags: tuple[ScoredTag, ...]

    @property
    def rating(self) -> ScoredTag | None:
        """The most probable rating; None where the model has no ratings."""
        return max(self.ratings, key=lambda tag: tag.probability, default=None)


def add_arguments(parser: argparse.ArgumentParser, mcut: bool = True) -> None:
    """Add the options that `selector_from_options` reads to a command's parser; --mcut where offered."""
    parser.set_defaults(mcut=False)
    parser.add_argument(
        "--threshold", type=float, metavar="X",
        help=f"for all tags; without it the release's own thresholds, or {DEFAULTS}",
    )  # fmt: skip
    parser.add_argument(
        "--character-threshold", type=float, metavar="X", help="for characters (as --threshold, if given)"
    )
    parser.add_argument(
        "--thresholds",
        type=pathlib.Path,
        metavar="CSV",
        help="a threshold for each tag, from find_thresholds.py",
    )
    if mcut:
        parser.add_argument(
            "--mcut", action="store_true", help="no thresholds: cut at the largest gap between probabilities"
        )
    parser.add_argument("--max-tags", type=int, metavar="N", help="at most the N most probable tags")
    parser.add_argument(
        "--only", nargs="+", default=[], metavar="TAG", help="only these tags; @FILE has one a line"
    )
    parser.add_argument(
        "--exclude", nargs="+", default=[], metavar="TAG", help="never these tags; @FILE has one a line"
    )
    tag_edits.add_arguments(parser)
    parser.add_argument(
        "--categories", nargs="+", default=[], metavar="CATEGORY", help="only general, character, ..."
    )


def selector_from_options(
    options: argparse.Namespace, tagger: ServingTagger | DumpPredictions, warn: Callable[[str], object]
) -> tuple["TagSelector", str]:
    """Return ``(selector, where its thresholds come from)`` for options of `add_arguments` and a tagger.

    ``warn`` is called with a sentence on names that the tagger does not know. Raises UserError for options
    that exclude one another, thresholds outside 0 to 1, and files that cannot be read.
    """
    if options.mcut and (options.threshold, options.character_threshold, options.thresholds) != (None,) * 3:
        raise UserError("--mcut cuts without thresholds; leave it or the thresholds out")
    thresholds, source = thresholds_of(tagger)
    if options.thresholds is not None:
        cutoffs = _table_thresholds(options.thresholds, tagger.tags)
        instead = f"get {DEFAULTS}"
        if said := threshold_table.describe_missing(options.thresholds, cutoffs, tagger.tags, instead):
            warn(said)
        thresholds, source = _filled(cutoffs, tagger.tags), str(options.thresholds)
    if options.threshold is not None:
        thresholds = override_threshold(thresholds, tagger.tags, options.threshold)
        source = f"--threshold {options.threshold:g}"
    if options.character_threshold is not None:
        thresholds = override_threshold(thresholds, tagger.tags, options.character_threshold, True)
        source = f"{source}, --character-threshold {options.character_threshold:g}"
    allowed = _allowed_tags(tagger.tags, options, warn)
    edits = tag_edits.from_options(options, tagger.tags, allowed.tolist(), warn)
    selector = TagSelector(tagger.tags, thresholds, allowed, options.max_tags, options.mcut, edits)
    return selector, "the largest gap" if options.mcut else source


def thresholds_of(tagger: ServingTagger | DumpPredictions) -> tuple[np.ndarray, str]:
    """Return ``(thresholds float64 (L,), their source)`` of a tagger: its own, else `release_thresholds`."""
    if tagger.published is None:
        thresholds, source = release_thresholds(tagger.folder, tagger.tags)
        return thresholds, source or DEFAULTS
    return _filled(tagger.published[0], tagger.tags), tagger.published[1]


def default_thresholds(tags: pd.DataFrame) -> np.ndarray:
    """Return the thresholds that most clients begin with: float64 (L,)."""
    return np.where(tags["category"].to_numpy() == CHARACTER, CHARACTER_THRESHOLD, THRESHOLD)


def release_thresholds(folder: AnyPath, tags: pd.DataFrame) -> tuple[np.ndarray, str | None]:
    """Return ``(thresholds float64 (L,), their source)`` of a release; the defaults have no source.

    extra/thresholds.csv comes first, then the column best_threshold of the tag list, then the defaults; the
    defaults also fill in for tags without a number.
    """
    table = pathlib.Path(folder) / "extra" / "thresholds.csv"
    if table.is_file():
        return _filled(_table_thresholds(table, tags), tags), str(table)
    if "best_threshold" in tags:
        tag_file = pathlib.Path(folder) / tag_list.FILE
        numbers = threshold_table.numbers_of(tag_file, tags["best_threshold"])
        return _filled(numbers, tags), "the column best_threshold"
    return default_thresholds(tags), None


def _table_thresholds(path: pathlib.Path, tags: pd.DataFrame) -> np.ndarray:
    thresholds = threshold_table.per_tag(threshold_table.read(path), tags)
    if not np.isfinite(thresholds).any():
        raise UserError(f"{path} has no threshold for any of the {len(tags)} tags")
    return thresholds


def _filled(thresholds: np.ndarray, tags: pd.DataFrame) -> np.ndarray:
    return np.where(np.isfinite(thresholds), thresholds, default_thresholds(tags))


def override_threshold(
    thresholds: np.ndarray, tags: pd.DataFrame, value: float, characters_only: bool = False
) -> np.ndarray:
    """Return thresholds (L,) with ``value`` for all tags or for characters only; UserError outside 0 to 1."""
    if not 0 <= value <= 1:
        raise UserError(f"a threshold lies between 0 and 1; got {value:g}")
    rows = tags["category"].to_numpy() == CHARACTER if characters_only else True
    return np.where(rows, value, thresholds)


def _allowed_tags(
    tags: pd.DataFrame, options: argparse.Namespace, warn: Callable[[str], object]
) -> np.ndarray:
    """Return which tags may be selected, bool (L,)."""
    allowed = np.ones(len(tags), bool)
    if options.only:
        allowed &= _named_tags(tags, options.only, "--only", warn)
    if options.exclude:
        allowed &= ~_named_tags(tags, options.exclude, "--exclude", warn)
    if options.categories:
        names = tag_categories.names_of(tags)
        codes = [tag_categories.code_of(name, names) for name in options.categories]
        allowed &= tags["category"].isin(codes).to_numpy()
    if not (allowed & (tags["category"].to_numpy() != RATING)).any():
        raise UserError("--only, --exclude and --categories leave no tag of this model")
    return allowed


def _named_tags(
    tags: pd.DataFrame, words: Iterable[str], flag: str, warn: Callable[[str], object]
) -> np.ndarray:
    """Return the rows that words name, bool (L,).

    A word is a name, with spaces or underscores, several with commas between, or @FILE for a list of them.
    """
    row_of = {name: row for row, name in enumerate(tags["name"])}
    names = list(_names(words, row_of, flag))
    unknown = [name for name in names if name not in row_of]
    if unknown:
        more = f" and {len(unknown) - SHOWN_NAMES} more" if len(unknown) > SHOWN_NAMES else ""
        hint = suggest(unknown[0], row_of) if len(unknown) == 1 else ""  # slow for many names and tags
        warn(f"{flag}: the model has no tag {', '.join(unknown[:SHOWN_NAMES])}{more}{hint}")
    mask = np.zeros(len(tags), bool)
    mask[[row_of[name] for name in names if name in row_of]] = True
    return mask


def _names(words: Iterable[str], tag_names: Container[str], flag: str) -> Iterator[str]:
    for word in words:
        if word.startswith("@") and word not in tag_names:  # a tag may begin with @, too
            yield from (name for line in _lines(word[1:], flag) for name in _split_names(line, tag_names))
        else:
            yield from _split_names(word, tag_names)


def _lines(path: str, flag: str) -> list[str]:
    try:
        return text_files.read_lines(path)
    except (OSError, ValueError) as error:
        raise UserError(f"{flag} @{path}: no list of tags can be read there: {error}") from error


def _split_names(text: str, tag_names: Container[str]) -> Iterator[str]:
    for part in [text] if text in tag_names else text.split(","):  # a tag may hold a comma, too
        name = composed("_".join(part.split()))
        if name:
            yield name


class TagSelector:
    """Selects the tags of an image.

    Args:
        tags: DataFrame of a tag list; row i is output i, L rows.
        thresholds: float64 (L,).
        allowed: bool (L,), the tags that may be selected; None for all.
        max_tags: the most that an image gets; None for any number.
        mcut: instead of the thresholds, cut at the largest gap between the probabilities of a category.
        edits: of the selected tags.
    """

    def __init__(
        self,
        tags: pd.DataFrame,
        thresholds: np.ndarray,
        allowed: np.ndarray | None = None,
        max_tags: int | None = None,
        mcut: bool = False,
        edits: tag_edits.TagEdits | None = None,
    ) -> None:
        if max_tags is not None and max_tags < 1:
            raise UserError(f"the most tags of a picture are 1 or more; got {max_tags}")
        self.tags, self.thresholds, self.max_tags, self.mcut = tags, thresholds, max_tags, mcut
        self.edits = edits
        self._ids, self._names = tags["tag_id"].tolist(), tags["name"].tolist()
        self._codes = tags["category"].to_numpy()
        names = tag_categories.names_of(tags)
        self._category_names = {
            code: tag_categories.name_of(code, names) for code in np.unique(self._codes).tolist()
        }
        self._ratings = np.flatnonzero(self._codes == RATING)
        self.allowed = np.ones(len(tags), bool) if allowed is None else allowed
        self._selectable = self.allowed & (self._codes != RATING)
        self._rows_by_category = [
            np.flatnonzero(self._selectable & (self._codes == code)) for code in np.unique(self._codes)
        ]

    def select(
        self, probabilities: np.ndarray, thresholds: np.ndarray | None = None, raw: bool = False
    ) -> Selection:
        """Return the Selection for probabilities (L,).

        Args:
            probabilities: of one image, in the order of the tag list.
            thresholds: (L,), instead of the selector's.
            raw: without the edits and the limit to ``max_tags``.
        """
        # The dtype matters: a float32 probability of 0.1 is greater than the float64 number 0.1.
        limits = self._limits(probabilities, self.thresholds if thresholds is None else thresholds)
        rows = np.flatnonzero(probabilities > limits.astype(probabilities.dtype))
        rows = rows[np.argsort(-probabilities[rows], kind="stable")]  # ties in the list's order
        tags = self._scored(probabilities, rows if raw else rows[: self.max_tags])
        tags = tags if raw or self.edits is None else self.edits.apply(tags)
        return Selection(self._scored(probabilities, self._ratings), tags)

    def _limits(self, probabilities: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
        """Return float64 (L,), above which a tag is selected; infinity for those that may not be."""
        limits = np.where(self._selectable, thresholds, np.inf)
        for rows in self._rows_by_category if self.mcut else ():
            floor = MCUT_CHARACTER_FLOOR if len(rows) and self._codes[rows[0]] == CHARACTER else 0
            limits[rows] = max(mcut_threshold(probabilities[rows]), floor)
        return limits

    def _scored(self, probabilities: np.ndarray, rows: np.ndarray) -> tuple[ScoredTag, ...]:
        return tuple(
            ScoredTag(
                self._ids[row],
                self._names[row],
                int(self._codes[row]),
                float(probabilities[row]),
                self._category_names[int(self._codes[row])],
            )
            for row in rows.tolist()
        )


def mcut_threshold(values: np.ndarray) -> float:
    """Return the middle of the largest gap between the values (N,), sorted; 1 for fewer than two values.

    MCut (Maximum Cut Thresholding): Largeron, Moulin, Géry, "MCut: A Thresholding Strategy for Multi-label
    Classification", IDA 2012.
    """
    if len(values) < 2:
        return 1.0
    falling = np.sort(values.astype(np.float64))[::-1]
    place = int(np.argmax(falling[:-1] - falling[1:]))
    return (falling[place] + falling[place + 1]) / 2
