"""Apply reviewers' decisions to a booru database: a copy with labels added and removed, and a patch file.

The database is a fire-eggs SQLite file and stays as it is. In the copy Y.db a post gets a tag if the decision
is yes and loses it if it is no, and the counts of the tags follow. Y.patch.jsonl lists what changed, a line a
post: {"post_id", "add": [names], "remove": [names]}. Applied once more, nothing changes. Then select_tags.py
and write_records.py --labels-only --reuse bring the corrections into the shards.
"""

import Utils.command.interrupt  # noqa: F401  first: imports take long

import collections
import contextlib
import json
import pathlib
import sqlite3
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from Utils.command.cli import Parser, UserError, command, print_json
from Utils.data.danbooru_fields import plain_name
from Utils.files import sqlite_files
from Utils.files.atomic import replacing, require_file
from Utils.files.outputs import FileKind, begins_with, first_line_has, require_replaceable_file
from Utils.labels import decisions

PATCH = FileKind("a patch of decisions", first_line_has("post_id", "add", "remove"))
_is_database = begins_with(b"SQLite format 3\0")
# Every copy has its patch beside it. Without one it may be the booru's own database, or any other.
DATABASE = FileKind(
    "a corrected copy of a database with its .patch.jsonl beside it",
    lambda path: _is_database(path) and _patch_of(path).is_file(),
)

Verdicts = Mapping[decisions.Pair, tuple[str, bool]]  # by post id and tag id: tag name, whether it has it
Patch = list[tuple[int, dict[str, list[str]]]]  # post id, {"add": names, "remove": names}


def parser() -> Parser:
    """Return the argument parser."""
    arguments = Parser(prog="apply_decisions.py", description=__doc__)
    arguments.add_argument("decisions", metavar="DECISIONS.jsonl", type=pathlib.Path)
    arguments.add_argument(
        "--db", metavar="X.db", type=pathlib.Path, required=True, help="fire-eggs database"
    )
    arguments.add_argument("-o", "--output", metavar="Y.db", type=pathlib.Path, required=True)
    arguments.add_argument("--overwrite", action="store_true", help="replace an existing database")
    arguments.add_argument("--json", action="store_true", help="print one JSON object")
    return arguments


@command
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command."""
    options = parser().parse_args(argv)
    require_file(options.db, "a database (.db)")
    if options.output.resolve() == options.db.resolve():
        raise UserError(
            f"-o must be another file than --db: the corrected copy does not replace {options.db}"
        )
    require_replaceable_file(options.output, DATABASE, options.overwrite)
    # One without its database is left where this command was killed between the two.
    require_replaceable_file(_patch_of(options.output), PATCH, overwrite=True)
    verdicts, disputed = decisions.verdicts(decisions.read(options.decisions))
    with replacing(options.output) as temporary:
        with sqlite_files.named(options.db, written=options.output):
            copy = contextlib.closing(_copy(options.db, temporary))
        with sqlite_files.named(options.db, written=options.output), copy as database, database:
            _check(database, options.db, verdicts)
            posts = _posts_in(database, {post for post, _ in verdicts})
            patch = _apply(
                database, {pair: verdict for pair, verdict in verdicts.items() if pair[0] in posts}
            )
        with replacing(_patch_of(options.output)) as patch_file:
            lines = [json.dumps({"post_id": post, **changes}, ensure_ascii=False) for post, changes in patch]
            patch_file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    summary = {
        "verdicts": len(verdicts),
        "added": sum(len(changes["add"]) for _, changes in patch),
        "removed": sum(len(changes["remove"]) for _, changes in patch),
        "posts_changed": len(patch),
        "disputed": len(disputed),
        "unknown_posts": sorted({post for post, _ in verdicts} - posts),
        "output": str(options.output),
    }
    if options.json:
        print_json(summary)
    else:
        print(_text(summary))
    return 0


def _patch_of(database: pathlib.Path) -> pathlib.Path:
    return database.with_suffix(".patch.jsonl")


def _copy(source: pathlib.Path, target: pathlib.Path) -> sqlite3.Connection:
    """Copy a database and return the copy open.

    By SQLite's own backup, not as a file: it is consistent even while another process writes.
    """
    copy = sqlite3.connect(target)
    try:
        with contextlib.closing(sqlite_files.open_read_only(source)) as original:
            original.backup(copy)
            copy.execute("PRAGMA journal_mode = DELETE")  # one file, whatever the source uses
    except BaseException:
        copy.close()
        raise
    return copy


def _check(database: sqlite3.Connection, path: pathlib.Path, verdicts: Verdicts) -> None:
    """Raise UserError if tables are missing, or a decided tag has another name in the database."""
    tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    missing = [name for name in ("images", "tags", "imageTags") if name not in tables]
    if missing:
        raise UserError(f"{path} is no fire-eggs database: it lacks the table {' and '.join(missing)}")
    rows = database.execute("SELECT tag_id, name FROM tags")
    names = {tag: plain_name(str(name)) for tag, name in rows}
    wrong = {(tag, name) for (_, tag), (name, _) in verdicts.items() if names.get(tag) != name}
    if wrong:
        tag, name = min(wrong)
        raise UserError(
            f"{len(wrong)} of the decided tags are not those of {path}: tag {tag} is {names.get(tag)!r} "
            f"there, {name!r} in the decisions"
        )


def _posts_in(database: sqlite3.Connection, posts: set[int]) -> set[int]:
    """Return those of some post ids that are in the database."""
    present = set()
    ordered = sorted(posts)
    for first in range(0, len(ordered), 500):  # old versions of SQLite take 999 parameters at most
        batch = ordered[first : first + 500]
        query = f"SELECT image_id FROM images WHERE image_id IN ({','.join('?' * len(batch))})"
        present.update(post for (post,) in database.execute(query, batch))
    return present


def _apply(database: sqlite3.Connection, verdicts: Verdicts) -> Patch:
    """Change the labels; return what changed, by post id."""
    changes = collections.defaultdict(lambda: {"add": [], "remove": []})
    for (post, tag), (name, has_tag) in sorted(verdicts.items()):
        if has_tag:
            statement = "INSERT OR IGNORE INTO imageTags (image_id, tag_id) VALUES (?, ?)"
        else:
            statement = "DELETE FROM imageTags WHERE image_id = ? AND tag_id = ?"
        if database.execute(statement, (post, tag)).rowcount > 0:  # 0: it was so already
            change = 1 if has_tag else -1
            database.execute("UPDATE tags SET count = count + ? WHERE tag_id = ?", (change, tag))
            changes[post]["add" if has_tag else "remove"].append(name)
    return sorted(changes.items())


def _text(summary: Mapping[str, Any]) -> str:
    lines = [
        "{added:,} labels added and {removed:,} removed, in {posts_changed:,} posts: {output}".format(
            **summary
        )
    ]
    if summary["disputed"]:
        lines.append(f"{summary['disputed']:,} pairs of post and tag are disputed and stay as they were")
    if summary["unknown_posts"]:
        first = ", ".join(map(str, summary["unknown_posts"][:5]))
        lines.append(f"{len(summary['unknown_posts']):,} posts are not in the database: {first}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
