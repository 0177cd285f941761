"""Measure one part of the system beside its limit or a peer, in the same run: figures, and their ratios.

Every file of bench_parts is a part: its docstring's first line says what it measures,
``add_arguments(parser)`` declares its options, ``measure(options)`` gives a dictionary of ``part unit setup
figures ratios``.
"""

import importlib
import pathlib
import re
import sys

from Utils.command.cli import Parser, command, print_json

PARTS = "tools.bench_parts" if __package__ else "bench_parts"


def parser():
    """Return the argument parser: one subcommand a part."""
    made = Parser(prog="bench.py", description=__doc__)
    parts = made.add_subparsers(dest="part", required=True, metavar="PART", parser_class=Parser)
    for path in sorted((pathlib.Path(__file__).parent / "bench_parts").glob("[a-z]*.py")):
        module = importlib.import_module(f"{PARTS}.{path.stem}")
        part = parts.add_parser(
            path.stem, help=re.split("[:.]", module.__doc__)[0], description=module.__doc__
        )
        part.add_argument("--json", action="store_true", help="print one JSON object")
        part.set_defaults(measure=module.measure)
        module.add_arguments(part)
    return made


@command
def main(argv=None):
    """Run the command."""
    options = parser().parse_args(argv)
    result = options.measure(options)
    if options.json:
        print_json(result)
    else:
        _print_table(result)
    return 0


def _print_table(result):
    """Print a part's figures and ratios."""
    print(f"{result['part']}: {', '.join(f'{key} {value}' for key, value in result['setup'].items())}")
    for name, figure in result["figures"].items():
        print(f"{name:<40}{figure:10.1f} {result['unit']}")
    for name, ratio in result["ratios"].items():
        print(f"ratio {name:<34}{ratio:10.2f}")


if __name__ == "__main__":
    sys.exit(main())
