"""What an audit of labels found: AUDIT.json, tag name -> post ids, the likeliest first."""

import json

from Utils.commands import UserError
from Utils.files import read_json, replacing, require_file


def write(path, found):
    """Write ``{tag name: post ids}``, a tag a line."""
    lines = (f"{json.dumps(name, ensure_ascii=False)}: {json.dumps(posts)}" for name, posts in found.items())
    with replacing(path) as beside:
        beside.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def read(path):
    """Return ``{tag name: post ids}`` of a file; UserError where it is no such thing."""
    found = read_json(require_file(path, "an audit (.json, from audit_labels.py)"))
    if not isinstance(found, dict):
        raise UserError(f"{path}: an audit is one JSON object, tag -> post ids; got {type(found).__name__}")
    for name, posts in found.items():
        if not isinstance(posts, list) or any(type(post) is not int for post in posts):
            raise UserError(f"{path}: the finds of {name!r} must be a list of post ids; got {posts!r:.60}")
    return found
