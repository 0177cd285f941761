"""Apply reviewers' decisions to where the tags came from: files beside pictures, JSON, Parquet, a database.

    python tools/apply_decisions.py decisions.jsonl --images pictures
    python tools/apply_decisions.py decisions.jsonl --jsonl posts.jsonl -o corrected.jsonl
    python tools/apply_decisions.py decisions.jsonl --parquet posts.parquet -o corrected.parquet
    python tools/apply_decisions.py decisions.jsonl --db danbooru.db -o corrected.db

A post gets a tag if the decision is yes and loses it if it is no. With --images the sidecars are written
where they lie, each in its own format, order and spelling; the first old one stays beside it as NAME.bak. The
others write a copy and leave the original as it is; with --db the counts of the tags follow, and
Y.patch.jsonl lists what changed, a line a post: {"post_id", "add": [names], "remove": [names]}. Applied once
more, nothing changes. Then select_tags.py and write_records.py --labels-only --reuse bring the corrections
into the shards.
"""

import Utils.command.interrupt  # noqa: F401  first: imports take long

import argparse
import json
import pathlib
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from Utils.command import programs
from Utils.command.cli import Parser, UserError, command, print_json
from Utils.command.text import counted, join_names
from Utils.data import sources
from Utils.data.selection import FIRST_RATING_ID
from Utils.data.sources import json_lines, parquet_files
from Utils.files.atomic import replacing, require_file
from Utils.files.output_files import (
    FileKind,
    begins_with,
    first_line_has,
    require_replaceable_file,
    require_replaceable_still,
)
from Utils.labels import corrected_database, corrected_files, corrected_sidecars, decisions
from Utils.labels.corrected_sidecars import Corrections, Verdicts
from Utils.tags import captions, tag_list

PATCH = FileKind("a patch of decisions", first_line_has("post_id", "add", "remove"))
_is_database = begins_with(b"SQLite format 3\0")
# Every copy has its patch beside it. Without one it may be the booru's own database, or any other.
DATABASE = FileKind(
    "a corrected copy of a database with its .patch.jsonl beside it",
    lambda path: _is_database(path) and _patch_of(path).is_file(),
)


def parser() -> Parser:
    """Return the argument parser."""
    arguments = Parser(prog="apply_decisions.py", description=__doc__)
    arguments.add_argument("decisions", metavar="DECISIONS.jsonl", type=pathlib.Path)
    source = arguments.add_mutually_exclusive_group(required=True)
    source.add_argument("--images", metavar="DIR", type=pathlib.Path, help="pictures with sidecars")
    source.add_argument("--jsonl", metavar="X.jsonl", type=pathlib.Path, help="posts as JSON, or a folder")
    source.add_argument("--parquet", metavar="X.parquet", type=pathlib.Path, help="posts, or a folder")
    source.add_argument("--db", metavar="X.db", type=pathlib.Path, help="fire-eggs database")
    arguments.add_argument(
        "--separator",
        choices=captions.SEPARATORS,
        help="of the tags in texts without JSON, as select_tags took it (default: told from them)",
    )
    arguments.add_argument("-o", "--output", metavar="Y", type=pathlib.Path, help="the corrected copy")
    arguments.add_argument("--overwrite", action="store_true", help="replace an existing database")
    arguments.add_argument("--json", action="store_true", help="print one JSON object")
    return arguments


@command
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command."""
    options = parser().parse_args(argv)
    _check(options)
    given = decisions.read(options.decisions)
    verdicts, disputed = decisions.verdicts(given)
    if pair := decisions.two_names(given):
        print(
            f"warning: {options.decisions}: on post {pair[0].post_id} the tag id {pair[0].tag_id} is "
            f"{pair[0].tag} and {pair[1].tag}, and the later decision counts; decisions from two tag lists "
            "belong in two files",
            file=sys.stderr,
        )
    if cut := decisions.cut_size(options.decisions):
        print(f"a last line of {cut} bytes, cut off by a crash, is left out", file=sys.stderr)
    rating_ids = {FIRST_RATING_ID - place: name for place, name in enumerate(tag_list.RATINGS)}
    ratings = [pair for pair, (name, _) in verdicts.items() if rating_ids.get(pair[1]) == name]
    for pair in ratings:
        del verdicts[pair]
    apply = _to_images if options.images else _to_database if options.db else _to_files
    corrections = apply(options, verdicts)
    summary = {
        "verdicts": len(verdicts),
        "added": corrections.added,
        "removed": corrections.removed,
        "posts_changed": len(corrections.changed),
        "disputed": len(disputed),
        "ratings": len(ratings),
        "unknown_posts": sorted({post for post, _ in verdicts} - corrections.posts),
        "output": str(options.images or options.output),  # where the corrected tags are
    }
    if options.images:
        summary |= {
            "sidecars_changed": corrections.changed,
            "without_sidecar": corrections.without_sidecar,
            "unreadable": corrections.unreadable,
            "divided": corrections.divided,
        }
    if corrections.copied:
        summary["copied"] = corrections.copied
    if options.json:
        print_json(summary)
    else:
        print(_text(summary))
    return 0


def _check(options: argparse.Namespace) -> None:
    """Raise UserError for an output that is missing, is not needed, or would replace its source."""
    source = options.jsonl or options.parquet or options.db
    if options.overwrite and not options.db:
        raise UserError("--overwrite is for --db: sidecars are always replaced, copies of other files never")
    if options.separator and not options.images:
        raise UserError("--separator belongs to --images: the texts beside pictures")
    if options.images:
        if options.output:
            raise UserError(
                "--images writes the sidecars where they lie and takes no -o; the old stay as .bak"
            )
        return
    if not options.output:
        raise UserError(f"-o is needed: where the corrected copy of {source} goes")
    if options.db:
        require_file(source, "a database (.db)")
    if options.output.resolve() == source.resolve():
        raise UserError(f"-o must be another place: the corrected copy does not replace {source}")


def _to_images(options: argparse.Namespace, verdicts: Verdicts) -> Corrections:
    return corrected_sidecars.correct(options.images, verdicts, options.separator)


def _to_files(options: argparse.Namespace, verdicts: Verdicts) -> Corrections:
    """Write corrected copies of a file, or of all files of a folder."""
    source = options.jsonl or options.parquet
    find = json_lines.find_files if options.jsonl else parquet_files.find_files
    files = find(source)
    if options.output.is_file() or (options.output.is_dir() and any(options.output.iterdir())):
        raise UserError(
            f"{options.output} exists already and is kept: nothing tells a copy from a file that a person "
            "needs; give another place"
        )
    if source.is_dir() and options.output.resolve().is_relative_to(source.resolve()):
        raise UserError(f"-o {options.output} lies in {source}, whose files are read; give another place")
    write = corrected_files.correct_json if options.jsonl else corrected_files.correct_parquet
    return corrected_files.correct_files(files, source, options.output, verdicts, write, _pictures_of(source))


def _pictures_of(source: pathlib.Path) -> corrected_files.Pictures | None:
    """Return the pictures beside files of posts, where `select_tags` looks, too; None without any."""
    try:
        return corrected_files.Pictures(sources.default_pictures("jsonl", source))
    except UserError:
        return None


def _to_database(options: argparse.Namespace, verdicts: Verdicts) -> Corrections:
    """Write a corrected database and its patch."""
    require_replaceable_file(options.output, DATABASE, options.overwrite)
    # One without its database is left where this command was killed between the two.
    require_replaceable_file(_patch_of(options.output), PATCH, overwrite=True)
    with replacing(options.output) as temporary:
        patch, posts = corrected_database.correct(options.db, temporary, verdicts, options.output)
        require_replaceable_still(options.output, DATABASE, options.overwrite)  # before its patch is replaced
        with replacing(_patch_of(options.output)) as patch_file:
            lines = [json.dumps({"post_id": post, **changes}, ensure_ascii=False) for post, changes in patch]
            patch_file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return Corrections(
        added=sum(len(changes["add"]) for _, changes in patch),
        removed=sum(len(changes["remove"]) for _, changes in patch),
        changed=[str(post) for post, _ in patch],
        posts=posts,
    )


def _patch_of(database: pathlib.Path) -> pathlib.Path:
    return database.with_suffix(".patch.jsonl")


def _text(summary: Mapping[str, Any]) -> str:
    lines = [
        f"{counted(summary['added'], 'label')} added and {summary['removed']:,} removed, in "
        f"{counted(summary['posts_changed'], 'post')}: {summary['output']}"
    ]
    if not summary["verdicts"]:
        lines.append("no decision stands there, yes or no")
    if summary["disputed"]:
        lines.append(f"disputed, left as before: {counted(summary['disputed'], 'pair')} of post and tag")
    if summary["ratings"]:
        lines.append(
            f"left out: {counted(summary['ratings'], 'decision')} about ratings, which are no tags of the "
            "source"
        )
    if summary["unknown_posts"]:
        first = ", ".join(map(str, summary["unknown_posts"][:5]))
        lines.append(f"{counted(len(summary['unknown_posts']), 'post is', 'posts are')} not there: {first}")
    if copied := summary.get("copied"):
        lines.append(
            f"copied as before: {counted(len(copied), 'file')} without posts: {join_names(copied, 3)}"
        )
    if summary.get("without_sidecar"):
        without = summary["without_sidecar"]
        lines.append(
            f"{counted(len(without), 'picture')} without a sidecar to correct: {join_names(without, 3)}"
        )
    if divided := summary.get("divided"):
        lines.append(
            f"{counted(len(divided), 'picture')} shared a sidecar with another one and has its own now: "
            f"{join_names(divided, 3)}"
        )
    if unreadable := summary.get("unreadable"):
        lines.append(f"{counted(len(unreadable), 'sidecar is', 'sidecars are')} not corrected:")
        lines += [f"  {name}: {reason}" for name, reason in list(unreadable.items())[:5]]
    if summary.get("sidecars_changed"):
        lines.append("the old sidecars are beside the new ones as .bak")
    if summary["posts_changed"]:
        again = programs.line("write_records", "NEWER", "--labels-only", "--reuse", "DATASET")
        selection = "DATASET/definition.toml", "--from", summary["output"], "-o", "NEWER"
        lines.append(programs.next_line("select_tags", *selection))
        lines.append(f"then: {again}, which does not process the pictures again")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
