"""A review of labels: which questions are open, what was decided, who agrees. Nothing is asked twice."""

import datetime
import threading
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from Utils.command.cli import UserError
from Utils.labels import decisions
from Utils.labels.decisions import Decision, DecisionLog, Journal
from Utils.labels.questions import Questions

VERDICTS = ("open", "yes", "no", "unsure")  # unsure also if the reviewers disagree


class NotAskedError(LookupError):
    """A tag or a post that no question is about."""


class Review:
    """Questions, the file of their decisions, and one reviewer; safe to use from several threads.

    Args:
        questions: what is asked; Q questions about T tags.
        journal: the file of decisions; what it holds already is decided.
        reviewer: the name that new decisions carry.
        second_opinion: ask also what others have decided, not only what nobody has.

    Attributes:
        verdicts: (Q,) of all reviewers, places in VERDICTS.
        open: (Q,) bool, the questions that this reviewer is still asked.
        counts: (T, len(VERDICTS)) questions of each tag by verdict.
        open_counts: (T,) open questions of each tag.
    """

    def __init__(
        self, questions: Questions, journal: Journal, reviewer: str, second_opinion: bool = False
    ) -> None:
        self.questions, self.reviewer, self.second_opinion = questions, reviewer, second_opinion
        self.verdicts = np.zeros(len(questions), np.int8)
        self.open = np.ones(len(questions), bool)
        # The counts are kept up to date, not counted when asked: the page asks after every decision.
        self.counts = np.zeros((len(questions.tags), len(VERDICTS)), np.int64)
        self.counts[:, 0] = np.diff(questions.starts)
        self.open_counts = self.counts[:, 0].copy()
        self._journal, self._log, self._lock = journal, DecisionLog(), threading.RLock()
        self._numbers = {int(tag_id): number for number, tag_id in enumerate(questions.tags["tag_id"])}
        self._own: dict[int, Decision] = {}  # row -> this reviewer's decision, the latest last
        self._last_time = ""
        self._rows_by_post = _rows_by_post(questions)
        for decision in journal.decisions:
            self._take_in(decision)

    def number_of(self, tag_id: int) -> int:
        """Return the number of a tag among the questions. Raises NotAskedError."""
        if tag_id not in self._numbers:
            raise NotAskedError(f"nothing is asked about tag {tag_id}")
        return self._numbers[tag_id]

    # ---- deciding

    def decide(self, answers: Sequence[tuple[int, int, str]]) -> list[tuple[bool, str | None]]:
        """Record ``[(post id, tag id, decision)]``; return what stands on each: ``[(recorded, decision)]``.

        A question that is decided already keeps its decision, and an undo of nothing changes nothing, so
        an answer that is sent twice counts once. All lines are on the disk on return. Raises NotAskedError.
        """
        rows = [self._row(post, tag_id) for post, tag_id, _ in answers]
        with self._lock:
            time, new, recorded = self._next_time(), [], set()
            for row, (_, _, kind) in zip(rows, answers, strict=True):
                if row not in recorded and (row in self._own if kind == "undo" else self.open[row]):
                    recorded.add(row)
                    new.append(self._decision(row, kind, time))
            if new:  # first to the disk: if that is full, nothing has changed here
                self._journal.append(*new)
            for decision in new:
                self._take_in(decision)
            return [(row in recorded, self.stands(row)) for row in rows]

    def standing_on(self, answers: Sequence[tuple[int, int, str]]) -> list[tuple[bool, str | None]]:
        """Return what `decide` would, of answers that are not recorded. Raises NotAskedError."""
        return [(False, self.stands(self._row(post, tag_id))) for post, tag_id, _ in answers]

    def stands(self, row: int) -> str | None:
        """Return the answer to a question: this reviewer's decision, else the verdict, None if open."""
        own = self._own.get(row)  # asked once: another thread may take it back meanwhile
        if own is not None:
            return own.decision
        return None if self.open[row] else VERDICTS[self.verdicts[row]]

    def last(self) -> list[int]:
        """Return the rows that this reviewer decided last, all at one time: an undo takes these back."""
        with self._lock:
            rows = []
            for row in reversed(self._own):
                if rows and self._own[row].time != self._own[rows[0]].time:
                    break
                rows.append(row)
            return rows[::-1]

    def _row(self, post: int, tag_id: int) -> int:
        row = self.questions.find(post, self.number_of(tag_id))
        if row is None:
            raise NotAskedError(f"tag {tag_id} of post {post} is not asked")
        return row

    def _next_time(self) -> str:
        """Return the time, later than any before: an undo takes back all decisions of one time."""
        now = datetime.datetime.now(datetime.UTC)
        text = _iso(now)
        while text <= self._last_time:  # clocks stand still, and are set back
            now += datetime.timedelta(microseconds=1)
            text = _iso(now)
        self._last_time = text
        return text

    def _decision(self, row: int, kind: str, time: str) -> Decision:
        tag = self.questions.tags.iloc[self.questions.tag_of(row)]
        post, tag_id = int(self.questions.posts[row]), int(tag["tag_id"])
        return Decision(post, tag["name"], tag_id, kind, time, self.reviewer)

    def _take_in(self, decision: Decision) -> None:
        """Add one line of the file; a line about other questions counts only for the agreement."""
        self._log.add(decision)
        number = self._numbers.get(decision.tag_id)
        row = None if number is None else self.questions.find(decision.post_id, number)
        if row is None:
            return
        standing = self._log.decisions_on((decision.post_id, decision.tag_id))
        if decision.reviewer == self.reviewer:
            self._own.pop(row, None)  # so that it comes last when it is set again
            if self.reviewer in standing:
                self._own[row] = standing[self.reviewer]
        verdict = VERDICTS.index(decisions.majority(standing) or "unsure") if standing else 0
        self.counts[number, self.verdicts[row]] -= 1
        self.counts[number, verdict] += 1
        self.verdicts[row] = verdict
        is_open = self.reviewer not in standing if self.second_opinion else not standing
        self.open_counts[number] += int(is_open) - int(self.open[row])
        self.open[row] = is_open

    # ---- what is open

    def open_of(self, number: int, limit: int) -> list[int]:
        """Return the first open rows of a tag, in the audit's order."""
        rows = self.questions.rows_of(number)
        return (rows.start + np.flatnonzero(self.open[rows])[:limit]).tolist()

    def next_tag(self, number: int, step: int = 1) -> int | None:
        """Return the number of the next (step -1: previous) tag with an open question, None without any.

        After the last tag comes the first; the tag itself is returned only if no other is open.
        """
        open_tags = np.flatnonzero(self.open_counts)
        if not len(open_tags):
            return None
        if step > 0:
            return int(open_tags[np.searchsorted(open_tags, number, side="right") % len(open_tags)])
        return int(open_tags[np.searchsorted(open_tags, number, side="left") - 1])

    def open_posts(self, offset: int, limit: int) -> list[int]:
        """Return some of the posts with open questions, those with the most questions first."""
        rows, starts = self._rows_by_post
        has_open = np.add.reduceat(self.open[rows], starts[:-1])
        places = np.flatnonzero(has_open)[offset : offset + limit]
        return self.questions.posts[rows[starts[places]]].tolist()

    def rows_of_post(self, post: int) -> list[int]:
        """Return all rows that ask about a post."""
        return np.flatnonzero(self.questions.posts == post).tolist()

    # ---- how far it is

    def progress(self) -> dict[str, int]:
        """Return ``{"questions", "decided", "yes", "no", "unsure", "tags", "tags_done"}``."""
        with self._lock:  # not between two counts of one decision
            counts = dict(zip(VERDICTS, self.counts.sum(axis=0).tolist(), strict=True))
            num_decided = int(len(self.open) - self.open_counts.sum())
            num_done = int(np.count_nonzero(self.open_counts == 0))
        del counts["open"]
        return {"questions": len(self.open), "decided": num_decided, **counts,
                "tags": len(self.open_counts), "tags_done": num_done}  # fmt: skip

    def agreement(self) -> list[tuple[str, str, int, int, float | None]]:
        """Return the `Utils.labels.decisions.agreement` of the decisions in the file."""
        with self._lock:
            return decisions.agreement(self._log.standing())

    def confirmed(self, number: int) -> np.ndarray:
        """Return the posts (int64 ids) that show the tag of this ``number`` according to the reviewers."""
        rows = self.questions.rows_of(number)
        return self.questions.posts[rows][self.verdicts[rows] == VERDICTS.index("yes")]


def _rows_by_post(questions: Questions) -> tuple[np.ndarray, np.ndarray]:
    """Return ``(rows, starts)``: rows post by post, the posts with the most questions first.

    starts has one number more than there are posts: where the rows of each post begin, and the end.
    """
    _, numbers, sizes = np.unique(questions.posts, return_inverse=True, return_counts=True)
    rows = np.lexsort((numbers, -sizes[numbers]))
    starts = np.flatnonzero(np.diff(numbers[rows], prepend=-1, append=-1))
    return rows, starts


def _iso(time: datetime.datetime) -> str:
    return time.isoformat(timespec="microseconds").replace("+00:00", "Z")


def check_reviewer(name: str) -> str:
    """Return a reviewer's name without spaces around it; UserError unless it has 1 to 100 letters."""
    if not name.strip() or len(name) > 100 or not name.isprintable():
        raise UserError(f"a reviewer's name has 1 to 100 letters; got {name!r}")
    return name.strip()


def agreement_rows(agreement: Iterable[tuple]) -> list[dict[str, Any]]:
    """Return rows of `Utils.labels.decisions.agreement` as dicts, for JSON."""
    keys = ("first", "second", "both", "same", "kappa")
    return [dict(zip(keys, row, strict=True)) for row in agreement]
