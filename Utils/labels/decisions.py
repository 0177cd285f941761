"""Reviewers' decisions about labels: decisions.jsonl, one JSON object a line, only ever appended to.

A line is ``{"post_id", "tag", "tag_id", "decision", "time", "reviewer"}``. The decision is yes (the post
shows the tag), no, unsure, or undo, which takes back the same reviewer's last one on the same post and tag.
"""

import collections
import dataclasses
import itertools
import json
import os
import pathlib
from collections.abc import Iterable, Mapping
from typing import IO

from Utils.command.cli import UserError
from Utils.files import damage, strict_json
from Utils.files.atomic import naming, require_file
from Utils.files.locking import try_lock

KINDS = ("yes", "no", "unsure", "undo")
FIELDS = {"post_id": int, "tag": str, "tag_id": int, "decision": str, "time": str, "reviewer": str}
_LINE_START = b'{"'

Pair = tuple[int, int]  # post id, tag id


@dataclasses.dataclass(frozen=True)
class Decision:
    """One line of the file."""

    post_id: int
    tag: str
    tag_id: int
    decision: str  # of KINDS
    time: str  # ISO 8601
    reviewer: str


Standing = Mapping[Pair, Mapping[str, Decision]]  # by pair and reviewer


def append(file: IO[bytes], *decisions: Decision) -> None:
    """Write lines to a file that is open for appending; they are on the disk on return."""
    lines = [json.dumps(dataclasses.asdict(decision), ensure_ascii=False) for decision in decisions]
    file.write("".join(f"{line}\n" for line in lines).encode())
    file.flush()
    os.fsync(file.fileno())


def read(path: str | os.PathLike) -> list[Decision]:
    """Return the decisions of a file in their order; a last line that a crash cut off is left out.

    Raises UserError, with the line's number, on anything else that is no decision.
    """
    data = require_file(path, "decisions (.jsonl, from review_labels.py)").read_bytes()
    lines = data[: _complete_size(data)].split(b"\n")
    return [_parse(line, f"{path}, line {number}") for number, line in enumerate(lines, 1) if line.strip()]


def cut_size(path: str | os.PathLike) -> int:
    """Return the bytes of a last line that a crash cut off, which `read` leaves out."""
    data = pathlib.Path(path).read_bytes()
    return len(data) - _complete_size(data)


def _complete_size(data: bytes) -> int:
    """Return how many bytes are complete lines; the last may lack its line end, but no part of its object."""
    end = data.rfind(b"\n") + 1
    tail = data[end:].rstrip(b"\0")  # some file systems leave zeros for a block that was never written
    if not _LINE_START.startswith(tail[: len(_LINE_START)]):
        return len(data)  # this is no line of ours that was cut off: the parser says what it is
    try:
        json.loads(tail)
    except (ValueError, RecursionError):
        return end
    return len(data)


def _parse(line: bytes, where: str) -> Decision:
    with damage.named(where, "is no JSON"):
        entry = strict_json.loads(line)
    if not isinstance(entry, dict):
        raise UserError(f"{where}: a decision is a JSON object; got {type(entry).__name__}")
    for name, kind in FIELDS.items():
        if type(entry.get(name)) is not kind:  # not isinstance: true is no id, although bool is an int
            raise UserError(f"{where}: {name} must be {kind.__name__}; got {entry.get(name)!r}")
    if not 0 <= entry["post_id"] < 2**63:
        raise UserError(f"{where}: a post id is from 0 to 2**63 - 1; got {entry['post_id']}")
    if entry["decision"] not in KINDS:
        raise UserError(f"{where}: a decision is {', '.join(KINDS)}; got {entry['decision']!r}")
    return Decision(**{name: entry[name] for name in FIELDS})


class Journal:
    """A file of decisions that one process appends to; a context manager.

    Opening it removes a last line that a crash cut off; ``num_cut`` says how many bytes that were. A line
    that cannot be written completely (a full disk) is taken back.

    Attributes:
        decisions: what the file held when it was opened, in its order.
        num_cut: bytes of an incomplete last line, 0 if there was none.

    Raises UserError if another process writes the file, or if it holds something else.
    """

    def __init__(self, path: str | os.PathLike) -> None:
        self._path = path = pathlib.Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("ab", buffering=0)
        try:
            _lock(self._file, path)
            data = path.read_bytes()
            size = _complete_size(data)
            self.num_cut = len(data) - size
            self.decisions = read(path)  # before anything is changed: it refuses a file of something else
            self._file.truncate(size)
            if data[:size] and not data[:size].endswith(b"\n"):
                self._file.write(b"\n")
        except BaseException:
            self._file.close()
            raise

    def append(self, *decisions: Decision) -> None:
        """Write decisions; they are on the disk on return, and none of them is after an OSError."""
        size = os.fstat(self._file.fileno()).st_size
        try:
            with naming(self._path, self._path):
                append(self._file, *decisions)
        except OSError:
            self._file.truncate(size)
            raise

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


def _lock(file: IO[bytes], path: pathlib.Path) -> None:
    """Lock the file until it is closed or this process ends, even if it is killed."""
    if not try_lock(file):
        raise UserError(f"another review writes {path} now; stop it, or give another file")


class DecisionLog:
    """The decisions that stand after every undo, updated as decisions come in."""

    def __init__(self, decisions: Iterable[Decision] = ()) -> None:
        # By pair and reviewer all decisions, not the last alone: an undo uncovers the one before.
        self._histories = collections.defaultdict(lambda: collections.defaultdict(list))
        for decision in decisions:
            self.add(decision)

    def add(self, decision: Decision) -> None:
        """Add one decision, in the order of the file."""
        history = self._histories[decision.post_id, decision.tag_id][decision.reviewer]
        if decision.decision != "undo":
            history.append(decision)
        elif history:
            history.pop()

    def decisions_on(self, pair: Pair) -> dict[str, Decision]:
        """Return the decisions that stand on a (post id, tag id), by reviewer."""
        histories = self._histories.get(pair, {})
        return {reviewer: history[-1] for reviewer, history in histories.items() if history}

    def standing(self) -> dict[Pair, dict[str, Decision]]:
        """Return ``{(post id, tag id): {reviewer: Decision}}`` of the pairs on which a decision stands."""
        return {pair: by_reviewer for pair in self._histories if (by_reviewer := self.decisions_on(pair))}


def majority(by_reviewer: Mapping[str, Decision]) -> str | None:
    """Return the reviewers' verdict on one pair: "yes" or "no", None at a tie; unsure is no vote."""
    votes = collections.Counter(decision.decision for decision in by_reviewer.values())
    if votes["yes"] == votes["no"]:
        return None
    return "yes" if votes["yes"] > votes["no"] else "no"


def two_names(decisions: Iterable[Decision]) -> tuple[Decision, Decision] | None:
    """Return decisions on one post in which one tag id has two names, so that one counts as the other's."""
    first_of: dict[Pair, Decision] = {}
    for decision in decisions:
        first = first_of.setdefault((decision.post_id, decision.tag_id), decision)
        if first.tag != decision.tag:
            return first, decision
    return None


def verdicts(decisions: Iterable[Decision]) -> tuple[dict[Pair, tuple[str, bool]], list[Pair]]:
    """Return ``({(post id, tag id): (tag name, has it)}, disputed pairs)`` by the majority of the reviewers.

    A pair with as many yes as no is disputed and has no verdict.
    """
    by_pair, disputed = {}, []
    for pair, by_reviewer in DecisionLog(decisions).standing().items():
        verdict = majority(by_reviewer)
        if verdict is not None:
            by_pair[pair] = (next(iter(by_reviewer.values())).tag, verdict == "yes")
        elif any(decision.decision == "yes" for decision in by_reviewer.values()):
            disputed.append(pair)
    return by_pair, disputed


def agreement(standing: Standing) -> list[tuple[str, str, int, int, float | None]]:
    """Return ``[(reviewer, reviewer, pairs both decided, same answers, Cohen's kappa)]``, unsure left out.

    kappa = (same - chance) / (1 - chance), where chance is how often two who answer yes as often as these
    would agree without looking (Cohen 1960, doi:10.1177/001316446002000104); None if chance is 1.

    Args:
        standing: as `DecisionLog.standing` returns it.
    """
    tables = collections.defaultdict(collections.Counter)
    for by_reviewer in standing.values():
        answers = {who: decision.decision for who, decision in by_reviewer.items()}
        clear = sorted(who for who, answer in answers.items() if answer in ("yes", "no"))
        for first, second in itertools.combinations(clear, 2):
            tables[first, second][answers[first], answers[second]] += 1
    return [(*reviewers, *_kappa(table)) for reviewers, table in sorted(tables.items())]


def _kappa(table: collections.Counter) -> tuple[int, int, float | None]:
    """Return (pairs both decided, same answers, kappa) of counts by the two answers."""
    both, same = table.total(), table["yes", "yes"] + table["no", "no"]
    first_yes, second_yes = (
        sum(table[answers] for answers in table if answers[side] == "yes") / both for side in (0, 1)
    )
    chance = first_yes * second_yes + (1 - first_yes) * (1 - second_yes)
    return both, same, None if chance == 1 else (same / both - chance) / (1 - chance)
