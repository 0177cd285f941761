"""Write constraints.txt: the exact versions of all packages of the project that this environment has.

    python tools/render_versions.py            (in the environment whose suite has passed)
    PIP_CONSTRAINT=constraints.txt make demo   (installs these versions elsewhere)

The packages are those that pyproject.toml names, all extras included, and what they need in turn; what is not
installed here is left out and named. Ranges stay in pyproject.toml: `make test` takes the newest allowed.
"""

import Utils.command.interrupt  # noqa: F401  first: imports take long

import importlib.metadata
import pathlib
import platform
import sys
import tomllib
from collections.abc import Iterable, Sequence

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from Utils.command.cli import Parser, command
from Utils.command.text import join_names
from Utils.files.atomic import ROOT, replacing
from Utils.files.output_files import FileKind, begins_with, require_replaceable_file

OUTPUT = ROOT / "constraints.txt"
FIRST = "# Every package that the suite was seen with"
KIND = FileKind("a list of versions", begins_with(FIRST.encode()))


def parser() -> Parser:
    """Return the argument parser."""
    arguments = Parser(prog="render_versions.py", description=__doc__)
    arguments.add_argument(
        "output",
        nargs="?",
        type=pathlib.Path,
        default=OUTPUT,
        help="file (constraints.txt of the repository)",
    )
    return arguments


@command
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command."""
    output = parser().parse_args(argv).output
    require_replaceable_file(output, KIND, overwrite=True)
    versions, missing = installed(direct_requirements())
    system = f"Python {platform.python_version()} on {platform.system()} {platform.machine()}"
    head = [
        f"{FIRST}, {system}. Install them with",
        "# PIP_CONSTRAINT=constraints.txt make test. Made by tools/render_versions.py.",
    ]
    lines = [*head, *(f"{name}=={version}" for name, version in sorted(versions.items()))]
    with replacing(output) as beside:
        beside.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(f"{output}: {len(versions)} packages; not installed here: {join_names(sorted(missing), None)}")
    return 0


def direct_requirements(pyproject: pathlib.Path = ROOT / "pyproject.toml") -> list[Requirement]:
    """Return the requirements that pyproject.toml states, those of every extra included."""
    project = tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]
    lists = [project["dependencies"], *project.get("optional-dependencies", {}).values()]
    requirements = [Requirement(line) for part in lists for line in part]
    return [each for each in requirements if name_of(each) != canonicalize_name(project["name"])]


def installed(requirements: Iterable[Requirement]) -> tuple[dict[str, str], set[str]]:
    """Return ``{name: version}`` of requirements and all that they need, and the names that are not here.

    Requirements of an extra count where that extra is asked for, those of other systems do not.
    """
    versions: dict[str, str] = {}
    waiting = list(requirements)
    named, missing, seen = {name_of(each) for each in waiting}, set(), set()
    while waiting:
        requirement = waiting.pop()
        name, extras = name_of(requirement), frozenset(requirement.extras)
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        try:
            distribution = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            missing.add(name)
            continue
        versions[name] = distribution.version
        needed = map(Requirement, distribution.requires or ())
        waiting += [each for each in needed if _counts(each, extras)]
    return versions, missing & named


def _counts(requirement: Requirement, extras: Iterable[str]) -> bool:
    """Tell whether a package needs a requirement on this system, with these of its extras."""
    marker = requirement.marker
    return marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *extras))


def name_of(requirement: Requirement) -> str:
    """Return the normalized name of a requirement: of "Jinja2[i18n]>=3" it is jinja2."""
    return canonicalize_name(requirement.name)


if __name__ == "__main__":
    sys.exit(main())
