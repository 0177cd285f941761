"""Correct a booru database by what people decided: a copy with labels added and removed, and a patch file.

The database is a fire-eggs SQLite file and stays as it is; the copy Y.db gets a tag where the decision is yes
and loses it where it is no, and counts of tags follow. Y.patch.jsonl says what changed, a line a post:
{"post_id", "add": [names], "remove": [names]}. Applied once more, nothing changes. Then select_tags.py and
write_records.py --labels-only --reuse bring the corrections into the shards.
"""

import collections
import contextlib
import json
import pathlib
import sqlite3
import sys

from Utils.command.cli import Parser, UserError, command, print_json
from Utils.files.atomic import replacing, require_absent, require_file
from Utils.labels import decisions


def parser():
    """Return the argument parser."""
    made = Parser(prog="apply_decisions.py", description=__doc__)
    made.add_argument("decisions", metavar="DECISIONS.jsonl", type=pathlib.Path)
    made.add_argument("--db", metavar="X.db", type=pathlib.Path, required=True, help="fire-eggs database")
    made.add_argument("-o", "--output", metavar="Y.db", type=pathlib.Path, required=True)
    made.add_argument("--overwrite", action="store_true", help="replace a database that is there")
    made.add_argument("--json", action="store_true", help="print one JSON object")
    return made


@command
def main(argv=None):
    """Run the command."""
    options = parser().parse_args(argv)
    require_file(options.db, "a database (.db)")
    if options.output.resolve() == options.db.resolve():
        raise UserError(f"the corrected copy must be another file than {options.db}, which is kept")
    require_absent(options.output, options.overwrite)
    verdicts, disputed = decisions.verdicts(decisions.read(options.decisions))
    with replacing(options.output) as beside:
        with contextlib.closing(_copy(options.db, beside)) as database, database:
            _check(database, options.db, verdicts)
            posts = _known(database, {post for post, _ in verdicts})
            patch = _apply(
                database, {pair: verdict for pair, verdict in verdicts.items() if pair[0] in posts}
            )
        with replacing(options.output.with_suffix(".patch.jsonl")) as patch_file:
            lines = [json.dumps({"post_id": post, **changes}, ensure_ascii=False) for post, changes in patch]
            patch_file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    unknown = sorted({post for post, _ in verdicts} - posts)
    said = {
        "verdicts": len(verdicts),
        "added": sum(len(changes["add"]) for _, changes in patch),
        "removed": sum(len(changes["remove"]) for _, changes in patch),
        "posts_changed": len(patch),
        "disputed": len(disputed),
        "unknown_posts": unknown,
        "output": str(options.output),
    }
    if options.json:
        print_json(said)
    else:
        print(_text(said))
    return 0


def _copy(source, target):
    """Copy a database with SQLite's own backup, which is right even while others write; return it open."""
    copy = sqlite3.connect(target)
    try:
        with contextlib.closing(
            sqlite3.connect(f"{source.resolve().as_uri()}?mode=ro", uri=True)
        ) as original:
            original.backup(copy)
        copy.execute("PRAGMA journal_mode = DELETE")  # one file, whatever the source uses
    except sqlite3.Error as error:
        copy.close()
        raise UserError(f"{source} cannot be read as an SQLite database: {error}") from error
    return copy


def _check(database, path, verdicts):
    """Raise UserError where tables lack, or a decision's tag is not the database's."""
    tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    missing = [name for name in ("images", "tags", "imageTags") if name not in tables]
    if missing:
        raise UserError(f"{path} is no fire-eggs database: it lacks the table {' and '.join(missing)}")
    names = dict(database.execute("SELECT tag_id, name FROM tags"))
    wrong = {(tag, name) for (_, tag), (name, _) in verdicts.items() if names.get(tag) != name}
    if wrong:
        tag, name = min(wrong)
        raise UserError(
            f"{len(wrong)} of the decided tags are not those of {path}: tag {tag} is {names.get(tag)!r} "
            f"there, {name!r} in the decisions"
        )


def _known(database, posts):
    """Return those of some post ids that the database has."""
    found = set()
    ordered = sorted(posts)
    for at in range(0, len(ordered), 500):
        some = ordered[at : at + 500]
        words = f"SELECT image_id FROM images WHERE image_id IN ({','.join('?' * len(some))})"
        found.update(post for (post,) in database.execute(words, some))
    return found


def _apply(database, verdicts):
    """Change the labels; return ``[(post id, {"add": names, "remove": names})]`` of what changed."""
    changes = collections.defaultdict(lambda: {"add": [], "remove": []})
    for (post, tag), (name, has) in sorted(verdicts.items()):
        if has:
            words = "INSERT OR IGNORE INTO imageTags (image_id, tag_id) VALUES (?, ?)"
        else:
            words = "DELETE FROM imageTags WHERE image_id = ? AND tag_id = ?"
        if database.execute(words, (post, tag)).rowcount > 0:
            database.execute("UPDATE tags SET count = count + ? WHERE tag_id = ?", (1 if has else -1, tag))
            changes[post]["add" if has else "remove"].append(name)
    return sorted(changes.items())


def _text(said):
    lines = [
        f"{said['added']:,} labels added and {said['removed']:,} removed, in "
        f"{said['posts_changed']:,} posts: {said['output']}"
    ]
    if said["disputed"]:
        lines.append(f"{said['disputed']:,} pairs of post and tag are disputed and stay as they were")
    if said["unknown_posts"]:
        some = ", ".join(map(str, said["unknown_posts"][:5]))
        lines.append(f"{len(said['unknown_posts']):,} posts are not in the database: {some}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
