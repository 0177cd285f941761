"""Benchmark one part of the system against its limit or a peer, in the same run: figures and their ratios.

Every file of bench_parts is a part. Its docstring starts with what it measures, ``add_arguments(parser)``
declares its options, ``run_benchmark(options)`` returns a dictionary of ``part unit setup figures ratios``
and, where it has more to print, ``lines``.
"""

import Utils.command.interrupt  # noqa: F401  first: imports take long

import importlib
import pathlib
import re
import sys
from typing import Any

from Utils.command import accelerators
from Utils.command.cli import Parser, command, print_json
from Utils.command.machine import require_linux

PARTS = "tools.bench_parts"


def parser() -> Parser:
    """Return the parser of the command line: a subcommand for each part."""
    command_line = Parser(prog="bench.py", description=__doc__)
    parts = command_line.add_subparsers(dest="part", required=True, metavar="PART", parser_class=Parser)
    for path in sorted((pathlib.Path(__file__).parent / "bench_parts").glob("[a-z]*.py")):
        module = importlib.import_module(f"{PARTS}.{path.stem}")
        docstring = str(module.__doc__)
        part = parts.add_parser(path.stem, help=re.split("[:.]", docstring)[0], description=docstring)
        part.add_argument("--json", action="store_true", help="print one JSON object")
        part.add_argument(
            "--device", choices=accelerators.DEVICES, default="auto", help="of the backend (auto)"
        )
        part.set_defaults(run_benchmark=module.run_benchmark)
        module.add_arguments(part)
    return command_line


@command
def main(argv: list[str] | None = None) -> int:
    """Run the command."""
    require_linux("bench.py")
    options = parser().parse_args(argv)
    accelerators.use(options.device)
    result = options.run_benchmark(options)
    if options.json:
        print_json(result)
    else:
        _print_table(result)
    return 0


def _print_table(result: dict[str, Any]) -> None:
    """Print a part's figures and ratios."""
    print(f"{result['part']}: {', '.join(f'{key} {value}' for key, value in result['setup'].items())}")
    for name, figure in result["figures"].items():
        print(f"{name:<40}{figure:10.1f} {result['unit']}")
    for name, ratio in result["ratios"].items():
        print(f"ratio {name:<34}{ratio:10.2f}")
    for line in result.get("lines", ()):  # a table of the part's own
        print(line)


if __name__ == "__main__":
    sys.exit(main())
