"""Taggers compared: the tags that all share, the posts that none has trained on, scores and differences."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from Utils.command.cli import UserError
from Utils.command.text import join_names
from Utils.comparison import tag_alignment, tagger_scores
from Utils.comparison.judged_posts import JudgedPosts
from Utils.comparison.tag_alignment import AlignedTags
from Utils.comparison.tagger_scores import TaggerScores
from Utils.evaluation import alignment, bootstrap, leakage, predictions, same_pictures
from Utils.evaluation.alignment import MatrixView
from Utils.evaluation.chunked_matrix import Matrix
from Utils.tags import tag_categories


@dataclasses.dataclass(frozen=True)
class Contestant:
    """A tagger, or a dump of one's predictions, as it takes part."""

    name: str  # no other has it
    source: str  # as the user named it
    tags: pd.DataFrame  # L rows
    published: tuple[np.ndarray, str | None]  # thresholds (L,), and where they are from; None: defaults


@dataclasses.dataclass(frozen=True)
class SharedTags:
    """Which tags are judged, by the row of each in every list."""

    aligned: AlignedTags
    judged: np.ndarray  # (K,) tags of `aligned`
    label_list: int  # which list of `aligned` is that of the labels
    first_tagger: int  # which list is the first tagger's
    absent: dict[str, int]  # category that the labels do not have -> shared tags of it, which are not judged

    def columns(self, number: int) -> np.ndarray:
        """Return the judged tags' columns in the predictions of a tagger: (K,)."""
        return self.aligned.columns[self.first_tagger + number][self.judged]

    @property
    def tags(self) -> pd.DataFrame:
        """The judged tags: K rows of a tag list."""
        frame = self.aligned.tags.iloc[self.judged].reset_index(drop=True).assign(count=0)
        return tag_categories.with_names(frame, tag_categories.names_of(self.aligned.tags))


def share_tags(
    contestants: Sequence[Contestant],
    posts: JudgedPosts,
    aliases: Mapping[str, str] | None = None,
    only_labeled: bool = False,
) -> SharedTags:
    """Return the tags that all taggers have and the labels may have.

    Where the labels come with a list of tags, those it lacks are unknown and not judged. Else a tag without a
    label is one that nobody gave to any post, but a category without any label among the shared tags is one
    that these labels do not have.

    Args:
        contestants: the taggers.
        posts: with labels.
        aliases: ``{name: its present name}``.
        only_labeled: whether tags that no label names are not judged in any case.

    Raises UserError where no tag is left.
    """
    lists = [contestant.tags for contestant in contestants]
    # The labels describe the tags first only if they know more than names.
    frames = [posts.tags, *lists] if posts.is_closed else [*lists, posts.tags]
    aligned = tag_alignment.align(frames, aliases)
    label_list, first = (0, 1) if posts.is_closed else (len(lists), 0)
    taggers = range(first, first + len(lists))
    shared = aligned.in_all(taggers)
    if not shared.any():
        firsts = "; ".join(f"{each.name} has {join_names(each.tags['name'])}" for each in contestants)
        raise UserError(f"the taggers have no tag in common: {firsts}; --aliases may name what is the same")
    is_labeled = aligned.columns[label_list] >= 0
    absent: dict[str, int] = {}
    if posts.is_closed or only_labeled:
        judged = shared & is_labeled
    else:
        codes, names = aligned.tags["category"].to_numpy(), tag_categories.names_of(aligned.tags)
        judged = shared & np.isin(codes, codes[shared & is_labeled])
        for code in dict.fromkeys(codes[shared & ~judged].tolist()):
            absent[tag_categories.name_of(code, names)] = int((shared & (codes == code)).sum())
    if not judged.any():
        raise UserError(
            f"none of the {int(shared.sum())} tags that all taggers have is among the {len(posts.tags)} of "
            f"the labels, which begin with {join_names(posts.tags['name'])}"
        )
    return SharedTags(aligned, np.flatnonzero(judged), label_list, first, absent)


@dataclasses.dataclass(frozen=True)
class Leak:
    """Posts that one tagger has trained on, or near-duplicates of them, and what they do to its score."""

    posts: int
    scores: leakage.Leakage | None  # None where no post is


@dataclasses.dataclass(frozen=True)
class Comparison:
    """The result of a comparison of T taggers on N posts and K tags."""

    contestants: list[Contestant]
    posts: JudgedPosts  # N
    shared: SharedTags
    labels: np.ndarray  # (N, K) uint8
    probabilities: list[MatrixView]  # of every tagger: (N, K)
    scored: dict[str, TaggerScores]  # by name
    leaks: dict[str, Leak]  # by name, of taggers whose training posts are known
    resamples: int

    @property
    def ranking(self) -> list[str]:
        """The names of the taggers, the best first."""
        return tagger_scores.ranking(self.scored)


def compare(
    contestants: Sequence[Contestant],
    dumps: Sequence[predictions.Dump],
    posts: JudgedPosts,
    shared: SharedTags,
    trained: Mapping[str, np.ndarray] | None = None,
    groups: pd.DataFrame | None = None,
    resamples: int = 1000,
    seed: int = 0,
) -> Comparison:
    """Return the `Comparison` of taggers, on the posts that all have predictions of and none has trained on.

    Args:
        contestants: T taggers.
        dumps: their predictions, with image ids.
        posts: with labels.
        shared: from `share_tags`.
        trained: ids of the posts that taggers have trained on, by their name.
        groups: near-duplicates (`Utils.evaluation.duplicate_groups.read`).
        resamples: of the posts.
        seed: of the resamples.

    Raises UserError where no post is left, nothing is true on those that are, or a dump is of other pictures
    (`Utils.evaluation.same_pictures` has the rule).
    """
    posts = _with_predictions(posts, contestants, dumps)
    views = [
        _view(dump, dump.probabilities, posts, shared.columns(number)) for number, dump in enumerate(dumps)
    ]
    labels = posts.matrix(shared.aligned.tag_of[shared.label_list], shared.judged)
    for number, (contestant, dump) in enumerate(zip(contestants, dumps, strict=True)):
        if dump.labels is not None:
            own = _view(dump, dump.labels, posts, shared.columns(number))
            same_pictures.compare(own, labels).require(contestant.source, "the posts that are judged")
    none = pd.DataFrame({"group": [], "post_id": []}, dtype=np.int64)
    leaked = {
        name: leakage.find_leaked(none if groups is None else groups, posts.ids, ids)
        for name, ids in (trained or {}).items()
    }
    clean = ~np.logical_or.reduce(list(leaked.values())) if leaked else np.ones(len(posts), bool)
    if not clean.any():
        raise UserError("every post was trained on by a tagger, or resembles one that was; none is left")
    if not labels[clean].any():
        raise UserError(f"no judged tag is true on any of the {int(clean.sum())} posts")
    rows = np.flatnonzero(clean)
    judged_views = [view.select_rows(rows) for view in views]
    drawn = bootstrap.resample_counts(len(rows), resamples, seed)
    scored = {
        contestant.name: tagger_scores.score(
            view,
            labels[rows],
            shared.tags,
            (contestant.published[0][shared.columns(number)], contestant.published[1]),
            drawn,
        )
        for number, (contestant, view) in enumerate(zip(contestants, judged_views, strict=True))
    }
    leaks = {
        contestant.name: _leak(view, labels, scored[contestant.name], leaked[contestant.name], resamples)
        for contestant, view in zip(contestants, views, strict=True)
        if contestant.name in leaked
    }
    reason = "trained on by one of the taggers, or a near-duplicate of such a post"
    judged_posts = posts.select(rows, reason)
    return Comparison(
        list(contestants), judged_posts, shared, labels[rows], judged_views, scored, leaks, resamples
    )


def _with_predictions(
    posts: JudgedPosts, contestants: Sequence[Contestant], dumps: Sequence[predictions.Dump]
) -> JudgedPosts:
    for contestant, dump in zip(contestants, dumps, strict=True):
        rows = np.flatnonzero(np.isin(posts.ids, alignment.unique_ids(dump)))
        if not len(rows):
            raise UserError(f"{contestant.source} has predictions of none of the {len(posts)} posts")
        posts = posts.select(rows, f"a picture that cannot be read, or that {contestant.name} lacks")
    return posts


def _view(dump: predictions.Dump, matrix: Matrix, posts: JudgedPosts, columns: np.ndarray) -> MatrixView:
    return MatrixView(matrix, alignment.rows_of(np.asarray(dump.image_ids), posts.ids), columns)


def _leak(
    view: MatrixView, labels: np.ndarray, scored: TaggerScores, leaked: np.ndarray, resamples: int
) -> Leak:
    count = int(leaked.sum())
    threshold = scored.at_equality.threshold
    return Leak(count, leakage.score(view, labels, threshold, leaked, resamples) if count else None)
