"""Write the tables of results/README.md anew from the CSV files beside it."""

import pathlib
import re
import sys

from Utils import results
from Utils.commands import Parser, UserError, command
from Utils.files import ROOT, replacing

BLOCK = re.compile(
    r"<!-- (?P<kind>tables|rows|grid) of (?P<name>\S+) -->\n.*?<!-- end of (?P=kind) -->", re.DOTALL
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
    ``<!-- rows of X.csv --> ... <!-- end of rows -->`` one table of all rows, ``<!-- grid of X.csv -->`` how
    many seeds train at each learning rate.
    """

    def block(found):
        kind, path = found["kind"], folder / found["name"]
        if kind == "grid":
            shown = results.grid_table(path)
        else:
            rows = results.read(path).to_dict("records")
            shown = results.flat_table(rows) if kind == "rows" else results.seed_tables(rows, PUBLISHED_TAGS)
        return f"<!-- {kind} of {found['name']} -->\n\n{shown}\n\n<!-- end of {kind} -->"

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
