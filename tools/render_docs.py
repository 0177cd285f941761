"""Write the pages of docs/ that are made from the code: reliability.md, the faults that tests provoke.

Its rows are the ``reliability(fault, outcome)`` markers of the tests, so it lists what tests prove.
"""

import Utils.command.interrupt  # noqa: F401  first: imports take long

import ast
import pathlib
import sys
from collections.abc import Iterator, Sequence

from Utils.command.cli import Parser, command
from Utils.command.text import markdown_row
from Utils.files.atomic import ROOT, replacing

RELIABILITY = """# Reliability

What goes wrong on real machines, and what comes of it. Each row is a test that provokes the fault; slow ones
run by `make test-slow`. `python tools/render_docs.py` makes the table from the tests.

| area | fault | outcome | test |
|:--|:--|:--|:--|
"""


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
    return 0


if __name__ == "__main__":
    sys.exit(main())
