"""Write the pages of the documentation site, which mkdocs then makes into HTML: `make docs`.

    python tools/render_site.py build/pages && mkdocs build --strict

README, docs/ and results/ keep their places, so that their links hold. To them come a page for every command,
with its ``--help`` and the examples that other pages have of it, and the public Python interface, which
mkdocstrings reads from the docstrings.
"""

import Utils.command.interrupt  # noqa: F401  first: imports take long

import importlib
import io
import os
import pathlib
import re
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import redirect_stdout

from Utils.command import programs
from Utils.command.cli import Parser, UserError, command
from Utils.files.atomic import ROOT

COPIED = (
    "*.md",
    "docs/**/*.md",
    "results/**/*.md",
    "results/**/*.svg",
    "results/**/*.png",
    "results/**/*.csv",
)
# Linked by pages, and readable as they are.
LINKED = ("2021_0000_0899", "tools/sweeps", "notebooks", "pyproject.toml", "constraints.txt")
INTERFACE = {
    "Models": ["Models", "Models.loading"],
    "Generators": ["Generators.pipeline"],
    "Losses": ["Utils.training.losses", "Utils.training.missing_positive_losses"],
    "Evaluation": ["Utils.evaluation.predictions", "Utils.evaluation.thresholds", "Utils.evaluation.scores"],
}
MARK = ".rendered"  # in a folder that this command made


def parser() -> Parser:
    """Return the argument parser."""
    arguments = Parser(prog="render_site.py", description=__doc__)
    arguments.add_argument(
        "output", nargs="?", type=pathlib.Path, default=ROOT / "build" / "pages", help="folder (build/pages)"
    )
    return arguments


@command
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command."""
    output = parser().parse_args(argv).output
    if output.exists() and not (output / MARK).exists():
        raise UserError(f"{output} exists and was not made by this command; name another folder")
    shutil.rmtree(output, ignore_errors=True)
    output.mkdir(parents=True)
    (output / MARK).touch()
    _copy(output)
    pages = {name: command_page(name) for name in commands()}
    _write(output / "docs" / "commands", pages | {"README": _contents("Commands", pages, _summary)})
    pages = {name: interface_page(name) for name in INTERFACE}
    _write(output / "docs" / "interface", pages | {"README": _contents("Python", pages, INTERFACE.get)})
    print(f"{output}: {len(list(output.rglob('*.md')))} pages")
    return 0


def commands() -> list[str]:
    """Return the scripts that users run, ``train.py`` first."""
    tools = sorted(path.name for path in (ROOT / "tools").glob("*.py") if not path.name.startswith("__"))
    return ["train.py", *(f"tools/{name}" for name in tools)]


def command_page(script: str) -> str:
    """Return the page of a command: what its ``--help`` prints, and the examples of other pages."""
    name = programs.name_of(pathlib.PurePosixPath(script).stem)
    shown = [f"# {script}", "", f"Also `{programs.ENTRY} {name}`.", "", "```text"]
    shown += [help_of(script, ["--help"]), "```"]
    if script == "train.py":
        shown += ["", "## Fields of a recipe", "", "```text", help_of(script, ["small", "--help"]), "```"]
    examples = list(_examples(script))
    if examples:
        shown += ["", "## Examples"]
    for page, title, lines, output in examples:
        link = os.path.relpath(page, "docs/commands").replace(os.sep, "/")
        shown += ["", f"From [{title}]({link}):", "", "```bash", *lines, "```"]
        shown += ["", "It printed:", "", "```text", output, "```"] if output else []
    return "\n".join(shown) + "\n"


def help_of(script: str, words: Sequence[str]) -> str:
    """Return what a command prints for words such as ``--help``."""
    text = io.StringIO()
    module = importlib.import_module(script.removesuffix(".py").replace("/", "."))
    with redirect_stdout(text):
        module.main(list(words))
    return text.getvalue().rstrip()


def interface_page(name: str) -> str:
    """Return the page of public functions and classes, for mkdocstrings."""
    return "\n".join([f"# {name}", *(f"\n::: {module}" for module in INTERFACE[name])]) + "\n"


def _summary(script: str) -> str:
    """Return the first paragraph of a command's docstring."""
    module = importlib.import_module(script.removesuffix(".py").replace("/", "."))
    return " ".join((module.__doc__ or "").strip().split("\n\n")[0].split())


def _contents(title: str, pages: Iterable[str], about: Callable[[str], str | list[str] | None]) -> str:
    """Return a page that leads to others, a line on each."""
    lines = []
    for name in pages:
        words = about(name) or ""
        text = words if isinstance(words, str) else ", ".join(f"`{module}`" for module in words)
        lines.append(f"- [{name}]({pathlib.PurePosixPath(name).stem}.md): {text}")
    return "\n".join([f"# {title}", "", *lines]) + "\n"


# A block of commands, and a block of plain text right after it: what the last of them printed.
_BLOCKS = re.compile(r"```bash\n(.*?)```(?:\n\n```\n(.*?)```)?", flags=re.DOTALL)

_SESSIONS = re.compile(r"```\n\$ ([^\n]*)\n(.*?)```", flags=re.DOTALL)  # a command with what it printed


def _examples(script: str) -> Iterator[tuple[str, str, list[str], str]]:
    """Yield ``(page, its title, lines, output)`` for every page whose bash blocks run a script."""
    for path in [
        ROOT / "README.md",
        *sorted(ROOT.glob("docs/*.md")),
        *sorted(ROOT.glob("docs/tutorials/*.md")),
    ]:
        text = path.read_text(encoding="utf-8")
        title, lines, output = text.splitlines()[0].removeprefix("# "), [], ""
        for block, printed in _BLOCKS.findall(text):
            entries = re.split(r"(?<!\\)\n", block.rstrip())
            lines += [entry for entry in entries if entry.startswith(f"python {script}")]
            if entries[-1].startswith(f"python {script}"):
                output = output or printed.rstrip()
        for entry, printed in _SESSIONS.findall(text):
            if entry.startswith(f"python {script}"):
                lines, output = [*lines, entry], output or printed.rstrip()
        if lines:
            yield path.relative_to(ROOT).as_posix(), title, list(dict.fromkeys(lines)), output


def _copy(output: pathlib.Path) -> None:
    for pattern in COPIED:
        for path in ROOT.glob(pattern):
            place = output / path.relative_to(ROOT)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, place)
    for name in LINKED:
        if (ROOT / name).is_dir():
            shutil.copytree(
                ROOT / name, output / name, ignore=shutil.ignore_patterns("*.py", "__*"), dirs_exist_ok=True
            )
        else:
            shutil.copyfile(ROOT / name, output / name)


def _write(folder: pathlib.Path, pages: dict[str, str]) -> None:
    folder.mkdir(parents=True)
    for name, text in pages.items():
        stem = pathlib.PurePosixPath(name).stem
        (folder / f"{stem}.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
