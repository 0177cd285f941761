"""Render the tables of pages from CSV files: results/README.md and docs/what-trains-where.md."""

import Utils.command.interrupt  # noqa: F401  first: imports take long

import pathlib
import re
import sys
from collections.abc import Sequence

from Utils.bench import compiled_steps, feeding
from Utils.command.cli import Parser, UserError, command
from Utils.evaluation import results_table
from Utils.files.atomic import ROOT, replacing

BLOCK = re.compile(
    r"<!-- (?P<kind>tables|rows|overview|details|feeding) of (?P<name>\S+) -->\n.*?<!-- end of (?P=kind) -->",
    re.DOTALL,
)
PUBLISHED_TAGS = 5500
HOST = "host.csv"  # beside the compiled steps: the images that a core prepares
PAGES = (ROOT / "results" / "README.md", ROOT / "docs" / "what-trains-where.md")


def parser() -> Parser:
    """Return the argument parser."""
    arguments = Parser(prog="render_results.py", description=__doc__)
    arguments.add_argument("pages", nargs="*", default=PAGES, type=pathlib.Path)
    return arguments


def render(text: str, folder: pathlib.Path) -> str:
    """Return the text with every block between markers rendered again from a CSV of the folder.

    ``<!-- tables of X.csv --> ... <!-- end of tables -->`` holds the original project's four tables,
    ``<!-- rows of X.csv --> ... <!-- end of rows -->`` one table of all rows; ``overview`` and ``details``
    are the two tables of training steps compiled for TPUs (tools/bench.py compile), ``feeding`` is that of
    the cores that feed a device.
    """

    def block(match: re.Match) -> str:
        kind, path = match["kind"], folder / match["name"]
        if kind in ("overview", "details"):
            table = getattr(compiled_steps, kind)(compiled_steps.read(path))
        elif kind == "feeding":
            table = feeding.table(compiled_steps.read(path), feeding.read_rates(path.parent / HOST))
        elif kind == "rows":
            table = results_table.flat_table(results_table.read(path).to_dict("records"))
        else:
            table = results_table.seed_tables(results_table.read(path).to_dict("records"), PUBLISHED_TAGS)
        return f"<!-- {kind} of {match['name']} -->\n\n{table}\n\n<!-- end of {kind} -->"

    return BLOCK.sub(block, text)


@command
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command."""
    pages = parser().parse_args(argv).pages
    for path in pages:
        if not path.is_file():
            raise UserError(f"a page with table markers was expected at {path}; found nothing")
    for path in pages:
        text = render(path.read_text(encoding="utf-8"), path.parent)
        with replacing(path) as beside:
            beside.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
