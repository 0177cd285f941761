"""Which tags a picture gets: a threshold for every tag, the likeliest rating, limits that users set.

A tag is chosen where its probability is greater than its threshold, compared in the dtype of the probability,
as everywhere in this repository.
"""

import dataclasses
import pathlib

import numpy as np
import pandas as pd

from Utils.command.cli import UserError, suggest
from Utils.evaluation import threshold_table
from Utils.tags import tag_list

THRESHOLD, CHARACTER_THRESHOLD = 0.35, 0.85  # of most clients of WD's taggers
MCUT_FLOOR = 0.15  # characters are not chosen below, wherever the gap is
SHOWN = 5  # of the names that a model does not know
RATING, CHARACTER = tag_list.CATEGORIES["rating"], tag_list.CATEGORIES["character"]


@dataclasses.dataclass(frozen=True)
class Tag:
    """A tag of a picture."""

    tag_id: int
    name: str
    category: int
    probability: float


@dataclasses.dataclass(frozen=True)
class Chosen:
    """What a picture got: the ratings in the order of the list, and tags, the likeliest first."""

    ratings: tuple
    tags: tuple

    @property
    def rating(self):
        """The likeliest rating, a Tag; None where the model has no ratings."""
        return max(self.ratings, key=lambda tag: tag.probability, default=None)


def add_arguments(parser, mcut=True):
    """Add the options that `of_options` reads to a command's parser; --mcut where it is offered."""
    parser.set_defaults(mcut=False)
    parser.add_argument(
        "--threshold", type=float, metavar="X",
        help=f"for all tags; without it the release's own thresholds, or {THRESHOLD:g}, characters "
        f"{CHARACTER_THRESHOLD:g}",
    )  # fmt: skip
    parser.add_argument(
        "--character-threshold", type=float, metavar="X", help="for characters (as --threshold, if given)"
    )
    parser.add_argument(
        "--thresholds",
        type=pathlib.Path,
        metavar="CSV",
        help="a threshold for each tag, of find_thresholds.py",
    )
    if mcut:
        parser.add_argument(
            "--mcut", action="store_true", help="no thresholds: cut at the largest gap between probabilities"
        )
    parser.add_argument("--max-tags", type=int, metavar="N", help="the N likeliest tags at most")
    parser.add_argument(
        "--only", nargs="+", default=[], metavar="TAG", help="these tags only; @FILE has one a line"
    )
    parser.add_argument(
        "--exclude", nargs="+", default=[], metavar="TAG", help="never these tags; @FILE has one a line"
    )
    parser.add_argument(
        "--categories", nargs="+", default=[], metavar="CATEGORY", help="only general, character, ..."
    )


def of_options(options, tagger, warn):
    """Return ``(Chooser, where its thresholds come from)`` for options of `add_arguments` and a tagger.

    ``warn`` is called with a sentence on names that the tagger does not know. Raises UserError.
    """
    if options.mcut and (options.threshold, options.character_threshold, options.thresholds) != (None,) * 3:
        raise UserError("--mcut cuts without thresholds; leave it or the thresholds out")
    thresholds, source = of_release(tagger.folder, tagger.tags)
    if options.thresholds is not None:
        thresholds, source = _of_table(options.thresholds, tagger.tags), str(options.thresholds)
    given = {"--threshold": options.threshold, "--character-threshold": options.character_threshold}
    for flag, value in given.items():
        if value is not None:
            thresholds = with_threshold(thresholds, tagger.tags, value, flag == "--character-threshold")
            source = f"{source}, {flag} {value:g}" if flag != "--threshold" else f"{flag} {value:g}"
    chooser = Chooser(
        tagger.tags,
        thresholds,
        allowed=_allowed(tagger.tags, options, warn),
        max_tags=options.max_tags,
        mcut=options.mcut,
    )
    return chooser, "the largest gap" if options.mcut else source


def defaults(tags):
    """Return the thresholds that most clients begin with: float64 (L,)."""
    characters = tags["category"].to_numpy() == CHARACTER
    return np.where(characters, CHARACTER_THRESHOLD, THRESHOLD)


def of_release(folder, tags):
    """Return ``(thresholds (L,), their source)``: extra/thresholds.csv, best_threshold, or defaults."""
    table = pathlib.Path(folder) / "extra" / "thresholds.csv"
    if table.is_file():
        return _of_table(table, tags), str(table)
    if "best_threshold" in tags:
        numbers = pd.to_numeric(tags["best_threshold"], errors="coerce").to_numpy(np.float64)
        return _filled(numbers, tags), "the column best_threshold"
    return defaults(tags), f"{THRESHOLD:g}, characters {CHARACTER_THRESHOLD:g}"


def _of_table(path, tags):
    found = threshold_table.per_tag(threshold_table.read(path), tags)
    if not np.isfinite(found).any():
        raise UserError(f"{path} has no threshold for any of the {len(tags)} tags")
    return _filled(found, tags)


def _filled(numbers, tags):
    return np.where(np.isfinite(numbers), numbers, defaults(tags))


def with_threshold(thresholds, tags, value, characters_only=False):
    """Return thresholds (L,) with ``value`` for all tags or for characters only; UserError outside 0 to 1."""
    if not 0 <= value <= 1:
        raise UserError(f"a threshold lies between 0 and 1; got {value:g}")
    chosen = tags["category"].to_numpy() == CHARACTER if characters_only else True
    return np.where(chosen, value, thresholds)


def _allowed(tags, options, warn):
    """Return which tags may be chosen, bool (L,)."""
    allowed = np.ones(len(tags), bool)
    if options.only:
        allowed &= _named(tags, options.only, "--only", warn)
    if options.exclude:
        allowed &= ~_named(tags, options.exclude, "--exclude", warn)
    if options.categories:
        codes = [tag_list.category_code(name) for name in options.categories]
        allowed &= tags["category"].isin(codes).to_numpy()
    if not (allowed & (tags["category"].to_numpy() != RATING)).any():
        raise UserError("--only, --exclude and --categories leave no tag of this model")
    return allowed


def _named(tags, words, flag, warn):
    """Return the rows that words name, underscores or spaces, commas between, @FILE for a list: bool (L,)."""
    known = {name: row for row, name in enumerate(tags["name"])}
    names = list(_names(words, known, flag))
    unknown = [name for name in names if name not in known]
    if unknown:
        more = f" and {len(unknown) - SHOWN} more" if len(unknown) > SHOWN else ""
        hint = suggest(unknown[0], known) if len(unknown) == 1 else ""  # slow among very many tags
        warn(f"{flag}: the model has no tag {', '.join(unknown[:SHOWN])}{more}{hint}")
    found = np.zeros(len(tags), bool)
    found[[known[name] for name in names if name in known]] = True
    return found


def _names(words, known, flag):
    for word in words:
        if word.startswith("@") and word not in known:
            yield from (name for line in _lines(word[1:], flag) for name in _spelled(line, known))
        else:
            yield from _spelled(word, known)


def _lines(path, flag):
    try:
        return pathlib.Path(path).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{flag} @{path}: no list of tags can be read there: {error}") from error


def _spelled(text, known):
    for part in [text] if text in known else text.split(","):
        name = "_".join(part.split())
        if name:
            yield name


class Chooser:
    """Chooses the tags of a picture.

    Args:
        tag_list: DataFrame, row i is output i.
        thresholds: float64 (L,).
        allowed: bool (L,), the tags that may be chosen; None for all.
        max_tags: the most that a picture gets, None for any number.
        mcut: cut at the largest gap between the sorted probabilities of a category instead.
    """

    def __init__(self, tags, thresholds, allowed=None, max_tags=None, mcut=False):
        if max_tags is not None and max_tags < 1:
            raise UserError(f"the most tags of a picture are 1 or more; got {max_tags}")
        self.tags, self.thresholds, self.max_tags, self.mcut = tags, thresholds, max_tags, mcut
        self._ids, self._names = tags["tag_id"].tolist(), tags["name"].tolist()
        self._codes = tags["category"].to_numpy()
        self._ratings = np.flatnonzero(self._codes == RATING)
        self.allowed = np.ones(len(tags), bool) if allowed is None else allowed
        self._groups = [
            np.flatnonzero(self.allowed & (self._codes == code))
            for code in np.unique(self._codes)
            if code != RATING
        ]

    def choose(self, probabilities, thresholds=None):
        """Return what a picture gets, `Chosen`, by its probabilities (L,), and other thresholds if given."""
        limits = (self.thresholds if thresholds is None else thresholds).astype(probabilities.dtype)
        rows = [
            group[probabilities[group] > self._limit(probabilities, group, limits)] for group in self._groups
        ]
        rows = np.concatenate([*rows, np.zeros(0, np.int64)])
        rows = rows[np.lexsort((rows, -probabilities[rows]))][: self.max_tags]
        return Chosen(self._tags(probabilities, self._ratings), self._tags(probabilities, rows))

    def _limit(self, probabilities, group, limits):
        if not self.mcut:
            return limits[group]
        floor = MCUT_FLOOR if len(group) and self._codes[group[0]] == CHARACTER else 0
        return max(largest_gap(probabilities[group]), floor)

    def _tags(self, probabilities, rows):
        return tuple(
            Tag(self._ids[row], self._names[row], int(self._codes[row]), float(probabilities[row]))
            for row in rows.tolist()
        )


def largest_gap(values):
    """Return the middle of the largest gap between sorted values, the cut of MCut; 1 for less than two."""
    if len(values) < 2:
        return 1.0
    falling = np.sort(values.astype(np.float64))[::-1]
    at = int(np.argmax(falling[:-1] - falling[1:]))
    return (falling[at] + falling[at + 1]) / 2
