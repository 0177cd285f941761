"""Write the pages of docs/ that are made from the code: reliability.md and data.md.

The rows of reliability.md are the ``reliability(fault, outcome)`` markers of the tests, so it lists what
tests prove. The tables of data.md, on sources of posts and their fields, are those that the readers use.
"""

import Utils.command.interrupt  # noqa: F401  first: imports take long

import ast
import pathlib
import sys
from collections.abc import Iterator, Sequence

from Utils.command.cli import Parser, command
from Utils.command.text import markdown_row
from Utils.data import danbooru_fields
from Utils.data.sources import danbooru_post, detection, sidecar_folders
from Utils.files import compressed
from Utils.files.atomic import ROOT, replacing
from Utils.tags import captions, tag_list

RELIABILITY = """# Reliability

What goes wrong on real machines, and what comes of it. Each row is a test that provokes the fault; slow ones
run by `make test-slow`. `python tools/render_docs.py` makes the table from the tests.

| area | fault | outcome | test |
|:--|:--|:--|:--|
"""


DATA = """# Sources of posts

`select_tags --from PATH` reads posts and their tags from whatever a booru, a downloader or a trainer left
there. The kind of source is told from PATH and said; `--source KIND` names it. Whatever the source, the same
booru gives the same tag list, labels and pictures (`tests/tools/test_eleven_dresses.py`). `python
tools/render_docs.py` makes these tables from the code that reads the fields.

{sources}

Files may be compressed (`{compressions}`), by their first bytes and not their names. Pictures are found at
`--images PLACE`, by default at PATH or beside that file: by the post's id, its MD5, or the name that its
record has.

## Fields

A record is a JSON object, a row of Parquet, of SQLite or of CSV. What is said of a source first is who
writes such records: {layouts}.

{fields}

Of several fields with tags the most detailed counts: by category, then all, then a caption. HTML entities in
names are undone (`&#039;` is `'`). A record without an id is known by its picture: a decimal stem that no
other picture has is its id, else 63 bits of the SHA-256 of the path.

## Captions

`{suffixes}` beside a picture (`x.txt` or `x.jpg.txt`), in UTF-8, or in UTF-16 with its mark; of several the
first with a tag counts. Tags stand between commas or one a line, with spaces or underscores, `\\(` for `(`.
In a text without a comma a third of whose words have underscores (`1girl solo long_hair`), blanks separate
tags; where most texts are such, also in the others of up to {words} words. Both are said with a number;
`--separator comma` or `blank` decides.
A run of more than {words} words without a comma, or a text that ends in a full stop, is a sentence: it is
counted and is no tag. A prefix names the category: {namespaces}. `rating:` gives the rating.

## Ratings and status

{ratings}

`safe` is what boorus said before April 2022; beside `general` or `sensitive` it is refused until
`ratings_map` in the definition says which of them it is. Posts are left out by `exclude_status` in the
definition: {statuses}.

## Categories

{categories}

Where posts have a category that e621 has and Danbooru lacks, all codes are e621's; else they are Danbooru's.
Other names get a code made from the name, other codes stay and are shown as `category 7`; none becomes
general. `categories.json` beside the tag list names them, in datasets, runs, predictions and releases. A
definition takes codes or names: `categories = ["general", "character", "species"]`.

Categories and ids of sources without them come from `--tags`: an export of tags (CSV or JSON: name,
category, id), a folder of e621's exports (`tags-*.csv.gz`, `tag_aliases-*.csv.gz`,
`tag_implications-*.csv.gz`), or a `selected_tags.csv`. `--aliases` and `--implications` take exports with
antecedent_name and consequent_name. A row that cannot be read is counted; a circle of aliases is broken at
its newest alias, and said.
"""


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table whose cells are not padded: they are long."""
    return "\n".join([markdown_row(header), f"|{':--|' * len(header)}", *map(markdown_row, rows)])


def data() -> str:
    """Return the page of sources and their fields as Markdown."""
    fields = [
        (meaning, ", ".join(f"`{name}`" for name in names), text)
        for meaning, (text, names) in danbooru_post.FIELD_MEANINGS.items()
    ]
    codes = {code: name for name, code in tag_list.CATEGORIES.items()}
    numbers = sorted({*codes, *danbooru_fields.E621_CATEGORIES})
    categories = [
        (str(code), codes.get(code, ""), danbooru_fields.E621_CATEGORIES.get(code, "")) for code in numbers
    ]
    spellings: dict[str, list[str]] = {}
    for text, letter in danbooru_fields.RATINGS_READ.items():
        spellings.setdefault(letter, []).append(f"`{text}`")
    return DATA.format(
        sources=_table(
            ("source", "what lies at PATH"),
            [(f"`{kind}`", text) for kind, text in detection.KINDS.items()],
        ),
        compressions=" ".join(compressed.SUFFIXES),
        layouts=", ".join(name for name in danbooru_post.LAYOUTS if name),
        fields=_table(("what it gives", "fields", "how they are read"), fields),
        suffixes=" ".join(sidecar_folders.SUFFIXES),
        words=captions.MOST_WORDS,
        namespaces=", ".join(f"`{name}:`" for name in sidecar_folders.NAMESPACES if name != "rating"),
        ratings=_table(
            ("rating", "written as"),
            [(danbooru_fields.RATING_NAMES.get(k, "safe"), ", ".join(v)) for k, v in spellings.items()],
        ),
        statuses=", ".join(f"`{status}`" for status in danbooru_fields.STATUSES),
        categories=_table(("code", "Danbooru", "e621"), categories),
    )


def parser() -> Parser:
    """Return the argument parser."""
    arguments = Parser(prog="render_docs.py", description=__doc__)
    arguments.add_argument(
        "docs", nargs="?", type=pathlib.Path, default=ROOT / "docs", help="folder to write to (docs)"
    )
    return arguments


def marked(path: pathlib.Path) -> Iterator[tuple[str, str, str, bool]]:
    """Yield ``(test, fault, outcome, slow)`` of the marked tests of a file, in their order."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if not isinstance(node, ast.FunctionDef):
            continue
        slow = any(ast.unparse(decorator) == "pytest.mark.slow" for decorator in node.decorator_list)
        for mark in node.decorator_list:
            if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.reliability":
                fault, outcome = (ast.literal_eval(argument) for argument in mark.args)
                yield node.name, fault, outcome, slow


def reliability(tests: pathlib.Path) -> str:
    """Return the page of faults as Markdown, from the test files below a folder."""
    lines = []
    for path in sorted(tests.rglob("test_*.py")):
        area, file = path.relative_to(tests).parent.as_posix(), path.relative_to(tests.parent).as_posix()
        for test, fault, outcome, slow in marked(path):
            cells = (area, fault, outcome, f"`{file}::{test}`{' (slow)' if slow else ''}")
            lines.append(f"{markdown_row(cells)}\n")
    return RELIABILITY + "".join(lines)


@command
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command."""
    folder = parser().parse_args(argv).docs
    with replacing(folder / "reliability.md") as beside:
        beside.write_text(reliability(ROOT / "tests"), encoding="utf-8")
    with replacing(folder / "data.md") as beside:
        beside.write_text(data(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
