"""Write the tables of results/README.md anew from the CSV files beside it."""

import pathlib
import re
import sys

from Utils.command.cli import Parser, UserError, command
from Utils.evaluation import results_table
from Utils.files.atomic import ROOT, replacing

BLOCK = re.compile(
    r"<!-- (?P<kind>tables|rows) of (?P<name>\S+) -->\n.*?<!-- end of (?P=kind) -->", re.DOTALL
)
PUBLISHED_TAGS = 5500


def parser():
    """Return the argument parser."""
    made = Parser(prog="render_results.py", description=__doc__)
    made.add_argument("readme", nargs="?", default=ROOT / "results" / "README.md", type=pathlib.Path)
    return made


def rendered(text, folder):
    """Return the text with every block between markers made anew.

    ``<!-- tables of X.csv --> ... <!-- end of tables -->`` holds the original project's four tables,
    ``<!-- rows of X.csv --> ... <!-- end of rows -->`` one table of all rows.
    """

    def block(match):
        kind, rows = match["kind"], results_table.read(folder / match["name"]).to_dict("records")
        table = (
            results_table.flat_table(rows)
            if kind == "rows"
            else results_table.seed_tables(rows, PUBLISHED_TAGS)
        )
        return f"<!-- {kind} of {match['name']} -->\n\n{table}\n\n<!-- end of {kind} -->"

    return BLOCK.sub(block, text)


@command
def main(argv=None):
    """Run the command."""
    path = parser().parse_args(argv).readme
    if not path.is_file():
        raise UserError(f"a README with table markers was expected at {path}; found nothing")
    text = rendered(path.read_text(encoding="utf-8"), path.parent)
    with replacing(path) as beside:
        beside.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
