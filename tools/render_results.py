"""Render the tables of results/README.md from the CSV files beside it."""

import Utils.command.interrupt  # noqa: F401  first: imports take long

import pathlib
import re
import sys
from collections.abc import Sequence

from Utils.command.cli import Parser, UserError, command
from Utils.evaluation import results_table
from Utils.files.atomic import ROOT, replacing

BLOCK = re.compile(
    r"<!-- (?P<kind>tables|rows) of (?P<name>\S+) -->\n.*?<!-- end of (?P=kind) -->", re.DOTALL
)
PUBLISHED_TAGS = 5500


def parser() -> Parser:
    """Return the argument parser."""
    arguments = Parser(prog="render_results.py", description=__doc__)
    arguments.add_argument("readme", nargs="?", default=ROOT / "results" / "README.md", type=pathlib.Path)
    return arguments


def render(text: str, folder: pathlib.Path) -> str:
    """Return the text with every block between markers rendered again from a CSV of the folder.

    ``<!-- tables of X.csv --> ... <!-- end of tables -->`` holds the original project's four tables,
    ``<!-- rows of X.csv --> ... <!-- end of rows -->`` one table of all rows.
    """

    def block(match: re.Match) -> str:
        kind, rows = match["kind"], results_table.read(folder / match["name"]).to_dict("records")
        if kind == "rows":
            table = results_table.flat_table(rows)
        else:
            table = results_table.seed_tables(rows, PUBLISHED_TAGS)
        return f"<!-- {kind} of {match['name']} -->\n\n{table}\n\n<!-- end of {kind} -->"

    return BLOCK.sub(block, text)


@command
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command."""
    path = parser().parse_args(argv).readme
    if not path.is_file():
        raise UserError(f"a README with table markers was expected at {path}; found nothing")
    text = render(path.read_text(encoding="utf-8"), path.parent)
    with replacing(path) as beside:
        beside.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
