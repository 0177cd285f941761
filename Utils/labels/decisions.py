"""Decisions of people about labels: decisions.jsonl, one JSON object a line, only ever appended to.

A line is ``{"post_id", "tag", "tag_id", "decision", "time", "reviewer"}``; the decision is yes (the post
shows the tag), no, unsure, or undo, which takes the same reviewer's last one on the same post and tag back.
"""

import collections
import dataclasses
import fcntl
import itertools
import json
import os
import pathlib

from Utils.command.cli import UserError
from Utils.files.atomic import require_file

KINDS = ("yes", "no", "unsure", "undo")
FIELDS = {"post_id": int, "tag": str, "tag_id": int, "decision": str, "time": str, "reviewer": str}
_BEGIN = b'{"'


@dataclasses.dataclass(frozen=True)
class Decision:
    """One line of the file; ``time`` in ISO 8601."""

    post_id: int
    tag: str
    tag_id: int
    decision: str
    time: str
    reviewer: str


def append(file, *decisions):
    """Write lines to a file that is open for appending, and see them on the disk before returning."""
    lines = [json.dumps(dataclasses.asdict(decision), ensure_ascii=False) for decision in decisions]
    file.write("".join(f"{line}\n" for line in lines).encode())
    file.flush()
    os.fsync(file.fileno())


def read(path):
    """Return the decisions of a file in their order; a last line that a crash cut off is left out.

    Raises UserError, with the line's number, on anything else that is no decision.
    """
    data = require_file(path, "decisions (.jsonl, from review_labels.py)").read_bytes()
    lines = data[: _whole(data)].split(b"\n")
    return [_parse(line, f"{path}, line {number}") for number, line in enumerate(lines, 1) if line.strip()]


def _whole(data):
    """Return how many bytes are whole lines; the last may lack its end, but not a part of its object."""
    end = data.rfind(b"\n") + 1
    tail = data[end:].rstrip(b"\0")  # what some file systems leave of a block that was never written
    if not _BEGIN.startswith(tail[: len(_BEGIN)]):
        return len(data)  # no line of ours was cut off here: whoever parses it says so
    try:
        json.loads(tail)
    except ValueError:
        return end
    return len(data)


def _parse(line, where):
    try:
        found = json.loads(line)
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{where} is no JSON: {error}") from error
    if not isinstance(found, dict):
        raise UserError(f"{where}: a decision is a JSON object; got {type(found).__name__}")
    for name, kind in FIELDS.items():
        if type(found.get(name)) is not kind:
            raise UserError(f"{where}: {name} must be {kind.__name__}; got {found.get(name)!r}")
    if found["decision"] not in KINDS:
        raise UserError(f"{where}: a decision is {', '.join(KINDS)}; got {found['decision']!r}")
    return Decision(**{name: found[name] for name in FIELDS})


class Journal:
    """A file of decisions that one process appends to; a context manager.

    A last line that a crash cut off goes when the file is opened; ``cut`` says how many bytes that were. A
    line that cannot be written whole (a full disk) is taken back. Raises UserError where another writes.
    """

    def __init__(self, path):
        path = pathlib.Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("ab", buffering=0)
        try:
            _lock(self._file, path)
            data = path.read_bytes()
            whole = _whole(data)
            self.cut = len(data) - whole
            self.decisions = read(path)
            self._file.truncate(whole)
            if data[:whole] and not data[:whole].endswith(b"\n"):
                self._file.write(b"\n")
        except BaseException:
            self._file.close()
            raise

    def append(self, *decisions):
        """Write decisions; they are on the disk on return, none of them is after an OSError."""
        size = os.fstat(self._file.fileno()).st_size
        try:
            append(self._file, *decisions)
        except OSError:
            self._file.truncate(size)
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._file.close()


def _lock(file, path):
    """Hold the file until it is closed or this process ends, however it ends."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise UserError(f"another review writes {path} now; stop it, or give another file") from None


class DecisionLog:
    """What stands after every undo, as decisions come in."""

    def __init__(self, decisions=()):
        self._histories = collections.defaultdict(lambda: collections.defaultdict(list))
        for decision in decisions:
            self.add(decision)

    def add(self, decision):
        """Take in one decision, in the order of the file."""
        history = self._histories[decision.post_id, decision.tag_id][decision.reviewer]
        if decision.decision != "undo":
            history.append(decision)
        elif history:
            history.pop()

    def of(self, pair):
        """Return ``{reviewer: Decision}``: what stands on a (post id, tag id)."""
        histories = self._histories.get(pair, {})
        return {reviewer: history[-1] for reviewer, history in histories.items() if history}

    def standing(self):
        """Return ``{(post id, tag id): {reviewer: Decision}}`` of the pairs on which something stands."""
        found = {pair: self.of(pair) for pair in self._histories}
        return {pair: by_reviewer for pair, by_reviewer in found.items() if by_reviewer}


def majority(by_reviewer):
    """Return the reviewers' verdict on one pair: "yes" or "no", None where as many say one as the other.

    unsure counts for neither side.
    """
    votes = collections.Counter(decision.decision for decision in by_reviewer.values())
    if votes["yes"] == votes["no"]:
        return None
    return "yes" if votes["yes"] > votes["no"] else "no"


def verdicts(decisions):
    """Return ``({(post id, tag id): (tag name, has it)}, disputed pairs)`` by the majority of the reviewers.

    A pair with as many yes as no is disputed and has no verdict.
    """
    found, disputed = {}, []
    for pair, by_reviewer in DecisionLog(decisions).standing().items():
        verdict = majority(by_reviewer)
        if verdict is not None:
            found[pair] = (next(iter(by_reviewer.values())).tag, verdict == "yes")
        elif any(decision.decision == "yes" for decision in by_reviewer.values()):
            disputed.append(pair)
    return found, disputed


def agreement(standing):
    """Return ``[(reviewer, reviewer, pairs both decided, same answers, Cohen's kappa)]``, unsure left out.

    kappa = (same - chance) / (1 - chance), chance being how often two who answer yes as often as these would
    agree without looking; None where chance is 1. standing: as of `DecisionLog.standing`.
    """
    tables = collections.defaultdict(collections.Counter)
    for by_reviewer in standing.values():
        answers = {who: decision.decision for who, decision in by_reviewer.items()}
        clear = sorted(who for who, answer in answers.items() if answer in ("yes", "no"))
        for pair in itertools.combinations(clear, 2):
            tables[pair][tuple(answers[who] for who in pair)] += 1
    return [(*pair, *_kappa(table)) for pair, table in sorted(tables.items())]


def _kappa(table):
    both, same = table.total(), table["yes", "yes"] + table["no", "no"]
    first, second = (sum(table[pair] for pair in table if pair[side] == "yes") / both for side in (0, 1))
    chance = first * second + (1 - first) * (1 - second)
    return both, same, None if chance == 1 else (same / both - chance) / (1 - chance)
