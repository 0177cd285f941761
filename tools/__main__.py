"""All commands under one name: "swcv tag TAGGER pictures" is "python tools/tag_images.py TAGGER pictures".

An installation brings swcv; in a clone "python -m tools" does the same.
"swcv NAME --help" explains a command.
"""

import Utils.command.interrupt  # noqa: F401  first: imports take long

import ast
import importlib
import importlib.util
import pathlib
import re
import sys
from collections.abc import Sequence

from Utils.command import programs
from Utils.command.cli import Parser, UserError, command, suggest


def parser() -> Parser:
    """Return the argument parser."""
    arguments = Parser(prog=programs.ENTRY, description=__doc__, epilog=contents())
    arguments.add_argument("command", metavar="COMMAND", help="one of those below")
    return arguments


@command
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command that the first word names, with the others."""
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0] in ("-h", "--help"):
        parser().parse_args(["--help"])
    if words[0].startswith("-"):
        raise UserError(f"the first word is a command; got {words[0]} ({programs.ENTRY} --help lists all)")
    stem = programs.stem_of(words[0])
    if stem is None:
        names = [programs.name_of(known) for known in programs.PAGES]
        from Utils.recipe.recipe import recipe_names  # here: --help imports nothing that takes long

        is_recipe = words[0] in recipe_names()
        similar = f"; did you mean train {words[0]}?" if is_recipe else suggest(words[0], names)
        raise UserError(f"no command is named {words[0]!r}{similar} ({programs.ENTRY} --help lists all)")
    if argv is None:
        sys.argv[1:] = words[1:]  # commands that record how they were called read it there
    return importlib.import_module(module_of(stem)).main(words[1:])


def module_of(stem: str) -> str:
    """Return the module of a command."""
    return programs.script(stem).removesuffix(".py").replace("/", ".")


def contents() -> str:
    """Return every command with its one line, read from the files: nothing of them is imported."""
    lines = []
    for title, group in programs.GROUPS.items():
        lines += ["", f"{title}:"]
        lines += [f"  {programs.name_of(stem):<24}{summary(stem)}" for stem in group]
    return "\n".join(lines[1:])


def summary(stem: str) -> str:
    """Return what a command does: the first sentence of its docstring, up to a comma or colon."""
    spec = importlib.util.find_spec(module_of(stem))
    assert spec is not None and spec.origin is not None
    text = ast.get_docstring(ast.parse(pathlib.Path(spec.origin).read_text(encoding="utf-8"))) or ""
    return re.split(r"[:;,]|\.(?=\s|$)| \(arXiv", " ".join(text.split("\n\n")[0].split()))[0]


if __name__ == "__main__":
    sys.exit(main())
