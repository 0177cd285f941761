"""A review: which questions are open, what was decided, who agrees. Nothing is asked twice."""

import datetime
import threading

import numpy as np

from Utils.command.cli import UserError
from Utils.labels import decisions
from Utils.labels.decisions import Decision, DecisionLog

DECISIONS = decisions.KINDS
VERDICTS = ("open", "yes", "no", "unsure")  # unsure also where the reviewers disagree


class NotAskedError(LookupError):
    """A tag or a post that no question is about."""


class Review:
    """Questions, the file of their decisions, and one reviewer; safe to use from several threads.

    Args:
        questions: `Utils.labels.questions.Questions`.
        journal: `Utils.labels.decisions.Journal`; what it holds already is decided.
        reviewer: the name that new decisions carry.
        second_opinion: ask what others decided too, instead of only what nobody has.
    """

    def __init__(self, questions, journal, reviewer, second_opinion=False):
        self.questions, self.reviewer, self.second_opinion = questions, reviewer, second_opinion
        self.verdicts = np.zeros(len(questions), np.int8)  # of all reviewers: a place in VERDICTS
        self.open = np.ones(len(questions), bool)
        self.counts = np.zeros((len(questions.tags), len(VERDICTS)), np.int64)
        self.counts[:, 0] = np.diff(questions.starts)
        self.open_counts = self.counts[:, 0].copy()
        self._journal, self._log, self._lock = journal, DecisionLog(), threading.RLock()
        self._numbers = {int(tag_id): number for number, tag_id in enumerate(questions.tags["tag_id"])}
        self._mine = {}  # row -> this reviewer's Decision, the latest last
        self._last = ""
        self._posts = _by_post(questions)
        for decision in journal.decisions:
            self._take(decision)

    def number_of(self, tag_id):
        """Return the number of a tag among the questions; NotAskedError where it has none."""
        if tag_id not in self._numbers:
            raise NotAskedError(f"nothing is asked about tag {tag_id}")
        return self._numbers[tag_id]

    # ---- deciding

    def decide(self, answers):
        """Record ``[(post id, tag id, decision)]``; return what stands on each: ``[(recorded, decision)]``.

        A question that is decided already keeps its decision, an undo of nothing is nothing: sent twice,
        an answer counts once. All lines are on the disk on return. Raises NotAskedError.
        """
        rows = [self._row(post, tag_id) for post, tag_id, _ in answers]
        with self._lock:
            time, new, seen = self._now(), [], set()
            for row, (_, _, kind) in zip(rows, answers, strict=True):
                if row not in seen and (row in self._mine if kind == "undo" else self.open[row]):
                    seen.add(row)
                    new.append(self._decision(row, kind, time))
            if new:
                self._journal.append(*new)
            for decision in new:
                self._take(decision)
            return [(row in seen, self.stands(row)) for row in rows]

    def stands(self, row):
        """Return what stands on a question: this reviewer's decision, else the verdict, None where open."""
        if row in self._mine:
            return self._mine[row].decision
        return None if self.open[row] else VERDICTS[self.verdicts[row]]

    def last(self):
        """Return the rows that this reviewer decided last, at once: those to undo."""
        with self._lock:
            rows = []
            for row in reversed(self._mine):
                if rows and self._mine[row].time != self._mine[rows[0]].time:
                    break
                rows.append(row)
            return rows[::-1]

    def _row(self, post, tag_id):
        row = self.questions.find(post, self.number_of(tag_id))
        if row is None:
            raise NotAskedError(f"tag {tag_id} of post {post} is not asked")
        return row

    def _now(self):
        """Return the time, later than any before: what has one time was decided at once."""
        now = datetime.datetime.now(datetime.UTC)
        text = _iso(now)
        while text <= self._last:
            now += datetime.timedelta(microseconds=1)
            text = _iso(now)
        self._last = text
        return text

    def _decision(self, row, kind, time):
        tag = self.questions.tags.iloc[int(self.questions.tag_of(row))]
        post, tag_id = int(self.questions.posts[row]), int(tag["tag_id"])
        return Decision(post, tag["name"], tag_id, kind, time, self.reviewer)

    def _take(self, decision):
        """Take in one line of the file; those about other questions only count for agreement."""
        self._log.add(decision)
        number = self._numbers.get(decision.tag_id)
        row = None if number is None else self.questions.find(decision.post_id, number)
        if row is None:
            return
        standing = self._log.of((decision.post_id, decision.tag_id))
        if decision.reviewer == self.reviewer:
            self._mine.pop(row, None)
            if self.reviewer in standing:
                self._mine[row] = standing[self.reviewer]
        verdict = VERDICTS.index(decisions.majority(standing) or "unsure") if standing else 0
        self.counts[number, self.verdicts[row]] -= 1
        self.counts[number, verdict] += 1
        self.verdicts[row] = verdict
        is_open = self.reviewer not in standing if self.second_opinion else not standing
        self.open_counts[number] += int(is_open) - int(self.open[row])
        self.open[row] = is_open

    # ---- what is open

    def open_of(self, number, limit):
        """Return the first open rows of a tag, in the audit's order."""
        rows = self.questions.rows_of(number)
        return (rows.start + np.flatnonzero(self.open[rows])[:limit]).tolist()

    def next_tag(self, number, step=1):
        """Return the number of the next (step -1: previous) tag with an open question, None where none is.

        After the last tag comes the first; the tag itself counts only where no other is open.
        """
        places = np.flatnonzero(self.open_counts)
        if not len(places):
            return None
        if step > 0:
            return int(places[np.searchsorted(places, number, side="right") % len(places)])
        return int(places[np.searchsorted(places, number, side="left") - 1])

    def open_posts(self, offset, limit):
        """Return some of the posts with open questions, those with the most questions first."""
        order, starts = self._posts
        has = np.add.reduceat(self.open[order], starts[:-1])
        return self.questions.posts[order[starts[np.flatnonzero(has)[offset : offset + limit]]]].tolist()

    def rows_of_post(self, post):
        """Return all rows that ask about a post."""
        return np.flatnonzero(self.questions.posts == post).tolist()

    # ---- how far it is

    def progress(self):
        """Return ``{"questions", "decided", "yes", "no", "unsure", "tags", "tags_done"}``."""
        counts = dict(zip(VERDICTS, self.counts.sum(axis=0).tolist(), strict=True))
        del counts["open"]
        decided = int(len(self.open) - self.open_counts.sum())
        done = int(np.count_nonzero(self.open_counts == 0))
        return {"questions": len(self.open), "decided": decided, **counts,
                "tags": len(self.open_counts), "tags_done": done}  # fmt: skip

    def agreement(self):
        """Return what `Utils.labels.decisions.agreement` says about the decisions of the file."""
        with self._lock:
            return decisions.agreement(self._log.standing())

    def confirmed(self, number):
        """Return the posts on which the reviewers say that they show a tag."""
        rows = self.questions.rows_of(number)
        return self.questions.posts[rows][self.verdicts[rows] == VERDICTS.index("yes")]


def _by_post(questions):
    """Return ``(rows, starts)``: rows post by post, the posts with the most questions first."""
    _, numbers, sizes = np.unique(questions.posts, return_inverse=True, return_counts=True)
    order = np.lexsort((numbers, -sizes[numbers]))
    starts = np.flatnonzero(np.diff(numbers[order], prepend=-1, append=-1))
    return order, starts


def _iso(time):
    return time.isoformat(timespec="microseconds").replace("+00:00", "Z")


def check_reviewer(name):
    """Return a reviewer's name; UserError where it is empty or longer than a line should hold."""
    if not name.strip() or len(name) > 100 or not name.isprintable():
        raise UserError(f"a reviewer's name has 1 to 100 letters; got {name!r}")
    return name.strip()


def agreement_rows(found):
    """Return rows of `Utils.labels.decisions.agreement` as dicts, for JSON."""
    keys = ("first", "second", "both", "same", "kappa")
    return [dict(zip(keys, row, strict=True)) for row in found]
