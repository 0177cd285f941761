"""Decisions of people about labels: decisions.jsonl, one JSON object a line, only ever appended to.

A line is ``{"post_id", "tag", "tag_id", "decision", "time", "reviewer"}``; the decision is yes (the post
shows the tag), no, unsure, or undo, which takes the same reviewer's last one on the same post and tag back.
"""

import collections
import dataclasses
import json
import os

from Utils.commands import UserError
from Utils.files import replacing, require_file

KINDS = ("yes", "no", "unsure", "undo")
FIELDS = {"post_id": int, "tag": str, "tag_id": int, "decision": str, "time": str, "reviewer": str}


@dataclasses.dataclass(frozen=True)
class Decision:
    """One line of the file; ``time`` in ISO 8601."""

    post_id: int
    tag: str
    tag_id: int
    decision: str
    time: str
    reviewer: str


def append(file, decision):
    """Write one line to a file that is open for appending, and see it on the disk before returning."""
    file.write(_line(decision))
    file.flush()
    os.fsync(file.fileno())


def write(path, decisions):
    """Write a new file of decisions that were all made at once."""
    with replacing(path) as beside:
        beside.write_bytes(b"".join(map(_line, decisions)))


def _line(decision):
    return f"{json.dumps(dataclasses.asdict(decision), ensure_ascii=False)}\n".encode()


def read(path):
    """Return the decisions of a file in their order; a last line that a crash cut off is left out.

    Raises UserError, with the line's number, on anything else that is no decision.
    """
    data = require_file(path, "decisions (.jsonl, from review_labels.py)").read_bytes()
    lines = data.split(b"\n")
    lines.pop()  # empty, or what was cut off: a line is whole where its end is there
    return [_parse(line, f"{path}, line {number}") for number, line in enumerate(lines, 1) if line.strip()]


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


def standing(decisions):
    """Return ``{(post id, tag id): {reviewer: Decision}}``: what stands after every undo."""
    histories = collections.defaultdict(list)
    for decision in decisions:
        history = histories[decision.post_id, decision.tag_id, decision.reviewer]
        if decision.decision != "undo":
            history.append(decision)
        elif history:
            history.pop()
    found = collections.defaultdict(dict)
    for (post, tag, reviewer), history in histories.items():
        if history:
            found[post, tag][reviewer] = history[-1]
    return dict(found)


def verdicts(decisions):
    """Return ``({(post id, tag id): (tag name, has it)}, disputed pairs)`` by the majority of the reviewers.

    unsure counts for neither side; a pair with as many yes as no is disputed and has no verdict.
    """
    found, disputed = {}, []
    for pair, by_reviewer in standing(decisions).items():
        votes = collections.Counter(decision.decision for decision in by_reviewer.values())
        if votes["yes"] == votes["no"]:
            disputed += [pair] * (votes["yes"] > 0)
        else:
            name = next(iter(by_reviewer.values())).tag
            found[pair] = (name, votes["yes"] > votes["no"])
    return found, disputed
