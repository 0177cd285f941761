"""The worked example of docs/own-pictures.md: 600 pictures as people have them, and a tagger to start from.

    python tools/studies/own_pictures.py OUT

The tagger is the base of the world `faces` in tools/studies/finetune.py: it knows 118 of the tags, and lacks
20. Of the pictures one is broken, one has no text, one is there twice; every third text begins with words
about quality, a dozen have a sentence. The page's three commands run in OUT, then the last one with --probe,
and what they print is printed. Pictures and a base that are there are not made again.
"""

import Utils.command.interrupt  # noqa: F401  first: imports take long

import pathlib
import shutil
import subprocess
import sys
from collections.abc import Sequence

from Utils.bench import finetune_worlds, scripts
from Utils.bench.finetune_worlds import World
from Utils.command.cli import Parser, UserError, command
from Utils.command.machine import require_linux
from Utils.files.atomic import ROOT

PICTURES, NEW_TAGS = 600, 20
QUALITY = "masterpiece, best quality, "
SENTENCE = "A picture that somebody has drawn with great care and many colors.\n"
COMMANDS = (
    "tools/select_tags.py --from pictures -o my/dataset",
    "tools/write_records.py my/dataset",
    "train.py finetune --dataset my/dataset --init-from runs/base --run-dir runs/mine",
    "train.py finetune --dataset my/dataset --init-from runs/base --probe --run-dir runs/probe",
)


def write_pictures(world: World, folder: pathlib.Path) -> None:
    """Write the pictures and their texts; a folder that is there is whole, and kept."""
    if folder.exists():
        return
    work = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(work, ignore_errors=True)
    world.write_pictures(work, world.own_posts(PICTURES, NEW_TAGS, seed=0), world.columns(NEW_TAGS))
    texts = sorted(path for path in work.rglob("*") if path.suffix in finetune_worlds.CAPTIONS)
    for number, path in enumerate(texts):
        text = path.read_text(encoding="utf-8")
        text = f"{'' if number % 3 else QUALITY}{text}{'' if number % 50 else SENTENCE}"
        path.write_text(text, encoding="utf-8")
    texts[-1].unlink()
    broken = work / "first" / "1.jpg"
    broken.write_bytes(broken.read_bytes()[:700])
    for path in sorted((work / "first").glob("2.*")):
        shutil.copyfile(path, path.with_stem("2 (copy)"))
    work.rename(folder)


def parser() -> Parser:
    """Return the argument parser."""
    parser = Parser(prog="tools/studies/own_pictures.py", description=__doc__)
    parser.add_argument("output", metavar="OUT", type=pathlib.Path, help="folder of the example")
    return parser


@command
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    require_linux("tools/studies/own_pictures.py")
    folder = parser().parse_args(argv).output.resolve()
    for name in ("my", "runs"):
        if (folder / name).exists():
            raise UserError(f"{folder / name} is there; remove it to make the example anew")
    world = finetune_worlds.load(folder / "faces", "faces")
    base = finetune_worlds.base_of(world, folder / "faces", folder / "faces" / "base.log")
    write_pictures(world, folder / "pictures")
    (folder / "runs").mkdir()
    (folder / "runs" / "base").symlink_to(base, target_is_directory=True)
    for words in COMMANDS:
        print(f"$ python {words}", flush=True)
        script, *rest = words.split()
        line = [sys.executable, str(ROOT / script), *rest]
        subprocess.run(line, cwd=folder, env=scripts.environment(), check=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
