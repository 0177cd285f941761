"""Upload a release to the Hugging Face hub, model card and all, once it passes verification.

The release is verified first, as verify_release.py does it; one that breaks a rule is not uploaded. The token
is that of `hf auth login` or HF_TOKEN, the hub that of HF_ENDPOINT. The repository is made where it does not
exist (--private), the branch too (--revision). What is there already and is the same is not sent again;
nothing on the hub is deleted.
"""

import Utils.command.interrupt  # noqa: F401  first: imports take long

import argparse
import fnmatch
import pathlib
import re
import sys
from typing import Any

from Utils.command import programs
from Utils.command.backend import prepare_backend
from Utils.command.cli import Parser, UserError, WorkError, command, print_json
from Utils.command.text import counted, join_names
from Utils.files import hub
from Utils.files.model_files import RELEASE, RELEASED_MODEL


def parser() -> Parser:
    """Return the command's parser."""
    command_line = Parser(prog="tools/push_release.py", description=__doc__)
    add = command_line.add_argument
    add("release", metavar="RELEASE", type=pathlib.Path, help="a folder of export_model.py")
    add("repository", metavar="owner/name", help="on the hub; it is made where it does not exist")
    add("--private", action="store_true", help="make a private repository; a public one is refused")
    add(
        "--revision",
        metavar="BRANCH",
        type=_branch,
        help="branch to upload to (main); it is made where it does not exist",
    )
    add("--dry-run", action="store_true", help="verify, and list what would be uploaded")
    add("--json", action="store_true", help="print one JSON object")
    return command_line


def _branch(text: str) -> str:
    """Return the name of a branch; an empty one, as of a variable that is not set, would mean main."""
    if not re.fullmatch(r"\w[\w./-]*", text) or ".." in text:
        raise argparse.ArgumentTypeError(
            f"a branch's name has letters, digits, and . / - _ behind the first; got {text!r}"
        )
    return text


@command
def main(argv: list[str] | None = None) -> int:
    """Verify and upload; return 1 where a rule is broken or the upload fails."""
    options = parser().parse_args(argv)
    repository = hub.repository(options.repository)
    files = _files(options.release)
    failures = _verify(options.release)
    if failures:
        for failure in failures:
            _say(f"{failure.rule}: {failure.wrong}: allowed {failure.allowed}; came {failure.came}")
        raise WorkError(
            f"{options.release} breaks {len(failures)} rules and is not uploaded; "
            f"{programs.line('verify_release', options.release)} shows all"
        )
    size = sum(path.stat().st_size for path in files)
    _say(f"{options.release} passes: {counted(len(files), 'file')}, {size / 1e6:.1f} MB")
    result: dict[str, Any] = {
        "repository": repository,
        "files": [path.relative_to(options.release).as_posix() for path in files],
        "bytes": size,
        "url": None,
    }
    if not options.dry_run:
        names = result["files"]
        result["url"] = hub.upload(options.release, names, repository, options.revision, options.private)
    if options.json:
        print_json(result)
    else:
        _print(result, options)
    return 0


def _print(result: dict[str, Any], options: argparse.Namespace) -> None:
    """Print the files that would be sent, or where they are now, and the next command."""
    if options.dry_run:
        print("\n".join(result["files"]))
        flags = ["--private"] * options.private
        flags += ["--revision", options.revision] if options.revision else []
        _say(programs.next_line("push_release", options.release, result["repository"], *flags))
    else:
        print(result["url"])
        revision = f"@{options.revision}" if options.revision else ""
        _say(programs.next_line("tag_images", f"{result['repository']}{revision}", "PICTURES"))


def _say(text: str) -> None:
    print(text, file=sys.stderr)


def _files(release: pathlib.Path) -> list[pathlib.Path]:
    """Return the files of a release, sorted; what is no file of a release is left out, and said.

    Raises UserError where it is none of ours.
    """
    missing = [name for name in (*RELEASE.markers, "README.md") if not (release / name).is_file()]
    if missing:
        raise UserError(
            f"{release} has no {' and no '.join(missing)}; tools/export_model.py makes releases with a card"
        )
    patterns = (*RELEASE.markers, *RELEASE.files)
    files, others = [], []
    for path in sorted(path for path in release.rglob("*") if path.is_file()):
        name = path.relative_to(release).as_posix()
        (files if any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns) else others).append(path)
    if others:
        _say(f"not of a release and left out: {join_names(path.name for path in others)}")
    return files


def _verify(release: pathlib.Path) -> list[Any]:
    prepare_backend()
    import Models
    from Utils.release.verification.release import ReferenceModel, Verification

    reference = ReferenceModel()
    if (release / RELEASED_MODEL).is_file():
        try:
            tagger = Models.load(release)
            reference = ReferenceModel(tagger.model, tagger.tags)
        except UserError as error:
            reference = ReferenceModel(load_error=str(error))
    return Verification(release, reference).run().findings.failures


if __name__ == "__main__":
    sys.exit(main())
