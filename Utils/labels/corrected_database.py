"""Writes decisions into a copy of a fire-eggs database."""

import collections
import contextlib
import pathlib
import sqlite3

from Utils.command.cli import UserError
from Utils.data.danbooru_fields import plain_name
from Utils.files import sqlite_files
from Utils.labels.corrected_sidecars import Verdicts

Patch = list[tuple[int, dict[str, list[str]]]]  # post id, {"add": names, "remove": names}


def correct(
    source: pathlib.Path, target: pathlib.Path, verdicts: Verdicts, output: pathlib.Path | None = None
) -> tuple[Patch, set[int]]:
    """Write a corrected copy of a database; the counts of the tags follow.

    ``output`` is how errors name the copy, where ``target`` is a temporary place.

    Returns ``(what changed by post id, posts that are there)``. Raises UserError where it is no fire-eggs
    database, or a decided tag has another name in it.
    """
    with sqlite_files.named(source, written=output or target):
        copy = contextlib.closing(_copy(source, target))
    with sqlite_files.named(source, written=output or target), copy as database, database:
        _check(database, source, verdicts)
        posts = _posts_in(database, {post for post, _ in verdicts})
        of_posts = {pair: verdict for pair, verdict in verdicts.items() if pair[0] in posts}
        return _apply(database, of_posts), posts


def _copy(source: pathlib.Path, target: pathlib.Path) -> sqlite3.Connection:
    """Copy a database and return the copy open.

    By SQLite's own backup, not as a file: it is consistent even while another process writes.
    """
    target.touch()  # here the system says why, and which file, where it refuses
    copy = sqlite3.connect(target)
    copy.text_factory = sqlite_files.decoded
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
