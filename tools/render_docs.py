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
from Utils.tags import captions, tag_categories

RELIABILITY = """# Reliability

What goes wrong on real machines, and what then happens. Each row is a test that provokes the fault; those
that are marked slow run by `make test-slow`. `python tools/render_docs.py` makes the table from the tests.

| area | fault | outcome | test |
|:--|:--|:--|:--|
"""


DATA = """# Sources of posts

`select_tags --from PATH` reads posts and their tags from the files of a booru, a downloader or a trainer.
It recognizes the kind of source by what lies at PATH, and says which it is; `--source KIND` names it
instead. Whatever the source, the same booru gives the same tag list, labels and pictures
(`tests/tools/test_eleven_dresses.py`). `python tools/render_docs.py` makes these tables from the code that
reads the fields.

{sources}

Files may be compressed (`{compressions}`); that is recognized by their first bytes, not by their names.
A table of `tag_images --format json` or `csv` is read where PATH names the file: in a folder of captions it
is none of them.
Pictures are looked for at `--images PLACE` ([places of pictures](places-of-pictures.md)), by default at
PATH or beside that file, by the file name or MD5 in the post's record, or by its id.

## Fields

A record is a JSON object, or a row of Parquet, SQLite or CSV, with the fields below. The output names who
writes such records: {layouts}.

{fields}

Of several fields with tags the most detailed counts: by category, then all, then a caption. HTML entities in
names are undone (`&#039;` is `'`). A record without an id gets that of its picture
([post ids](places-of-pictures.md#post-ids)).

## Captions

`{suffixes}` beside a picture (`x.txt` or `x.jpg.txt`), in UTF-8, or in UTF-16 with a byte-order mark; of
several the first with a tag counts (`--extension` names other endings, the preferred first). Tags stand
between commas (also `\uff0c` and `\u3001`), semicolons or bars with spaces, or tabs, or one a line, with
spaces or underscores, `\\(` for `(`. A list of names in JSON has them as a text has.

- **Blanks between tags.** If a text has no comma and a third of its words have underscores (`1girl solo
  long_hair`), blanks separate its tags. If most texts are like this, blanks also separate tags in the
  others of up to {words} words. The output says how many texts were split; `--separator comma` or `blank`
  decides instead.
- **Sentences.** More than {words} words without a comma, or a text that ends in a full stop, are a
  sentence: it is counted and is no tag.
- **Prompts.** Of what programs for generating pictures save as captions, `(smile:1.2)` is the tag `smile`;
  `<lora:x:1>` and `BREAK` are none, nor are a negative prompt and the settings, which count as sentences.
  Other brackets, as of `((smile))` or `{{smile|grin}}`, stay in the names; the output says how many tags have
  such.
- **Categories.** A prefix names the category: {namespaces}. `rating:` gives the rating.

## Ratings and status

{ratings}

`safe` is a rating of boorus before April 2022. A source that has it and also `general` or `sensitive` is
refused until `ratings_map` in the definition says which of the two it means, for instance `ratings_map =
{{safe = "general"}}`. `exclude_status` in the definition leaves out posts by their status:
{statuses}.

## Categories

{categories}

If any post has a category that e621 has and Danbooru lacks, all codes are e621's; else they are Danbooru's.
Other names get a code that is computed from the name; a code without a name is kept and shown as `category
7`. None becomes general. `categories.json` beside the tag list names them, in datasets, runs, predictions
and releases. A definition takes codes or names: `categories = ["general", "character", "species"]`.

For sources without categories and ids of tags, `--tags` gives them: an export of tags (CSV or JSON: name,
category, id), a folder of e621's exports (`tags-*.csv.gz`, `tag_aliases-*.csv.gz`,
`tag_implications-*.csv.gz`), or a `selected_tags.csv`. `--aliases` and `--implications` take exports with
antecedent_name and consequent_name, `--deprecated` one that says which tags are dropped. Rows that cannot be
read are counted; a circle of aliases is broken at its newest alias, and the output says so.
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
    codes = {code: name for name, code in tag_categories.CODES.items()}
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
        layouts="; ".join(name for name in danbooru_post.LAYOUTS if name),
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
