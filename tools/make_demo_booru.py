"""Draw a small booru: cartoon characters whose tags are true by construction, with the faults of real boorus.

    python tools/make_demo_booru.py demo/booru --images 3000 --seed 0

Writes danbooru.db (fire-eggs' schema), 512px/0NNN/ID.jpg, original/ (the few pictures that are wide, tall or
transparent), definition.toml, truth.csv (every true tag) and duplicates.csv. The same arguments give the same
bytes, whatever the number of workers. Ratings only say how spooky a picture is: nothing in them is unsafe.
"""

import functools
import multiprocessing
import pathlib
import sys

import cv2

from Utils.command.cli import Parser, UserError, command, print_json, progress
from Utils.command.machine import num_cores
from Utils.demo_booru import archive
from Utils.demo_booru.posts import plan
from Utils.files import csv_tables
from Utils.files.atomic import replacing_folder, require_absent

DEFINITION = """# The dataset of a drawn booru of {images} posts (tools/make_demo_booru.py).
name = "demo"
image_size = 512
jpeg_quality = 95
splits = {{train = [0, 899], test = [900, 949], validation = [950, 999]}}
ratings = ["g", "s"]                 # q and e are the few that are too spooky
ratings_as_labels = false
exclude_status = ["deleted", "banned", "pending", "flagged", "hidden"]
categories = [0, 3, 4]
min_tag_count = {count}
min_tag_images = {kept}
min_tag_share = 0.5
max_tags = 2380
min_tags_per_image = 3
"""


def parser():
    """Return the argument parser."""
    words = Parser(prog="tools/make_demo_booru.py", description=__doc__)
    words.add_argument("output", metavar="OUT", help="folder to make")
    words.add_argument("--images", type=int, default=3000, help="number of posts (default: 3000)")
    words.add_argument("--seed", type=int, default=0, help="another seed, another booru (default: 0)")
    words.add_argument(
        "--missing", type=float, default=0.1, help="share of true tags that it lacks (default: 0.1)"
    )
    words.add_argument("--workers", type=int, help="processes (default: one a core, at most 8)")
    words.add_argument("--overwrite", action="store_true", help="replace OUT where it exists")
    words.add_argument("--json", action="store_true", help="print what was made as JSON")
    return words


@command
def main(argv=None):
    """Run the command; returns the exit code."""
    options = parser().parse_args(argv)
    check(options)
    require_absent(options.output, options.overwrite)
    posts = plan(options.images, options.seed, options.missing)
    with replacing_folder(options.output, options.overwrite) as folder:
        facts = draw(folder, posts, options.seed, options.workers)
        archive.write_database(folder / "danbooru.db", posts, facts, options.seed)
        write_tables(folder, posts)
        text = DEFINITION.format(
            images=len(posts), count=max(1, len(posts) // 50), kept=max(1, len(posts) // 50)
        )
        (folder / "definition.toml").write_text(text, encoding="utf-8")
    report(options.output, posts, options.json)


def check(options):
    """Raise UserError for numbers out of range."""
    if not 1 <= options.images <= 10_000_000:
        raise UserError(f"--images is a whole number from 1 to 10,000,000; got {options.images}")
    if not 0 <= options.missing <= 1:
        raise UserError(f"--missing is a share from 0 to 1; got {options.missing:g}")
    if options.seed < 0:
        raise UserError(f"--seed is a whole number from 0; got {options.seed}")
    if options.workers is not None and options.workers < 1:
        raise UserError(f"--workers is a whole number from 1; got {options.workers}")


def draw(folder, posts, seed, workers=None):
    """Draw and write every picture; returns {index: what the database says of the file}."""
    for kind in ("512px", "original"):
        (folder / kind).mkdir()
    for residue in sorted({archive.folder_of(post.post_id) for post in posts}):
        (folder / "512px" / residue).mkdir()
    for post in posts:
        if post.original:
            (folder / "original" / archive.folder_of(post.post_id)).mkdir(exist_ok=True)
    workers = workers or min(8, num_cores(), 1 + len(posts) // 200)
    task = functools.partial(draw_one, folder=folder, seed=seed)
    bar = functools.partial(progress, total=len(posts), label="drawing", unit="images")
    if workers == 1:
        return dict(bar(map(task, posts)))
    context = multiprocessing.get_context("spawn")  # a fork would copy threads of whoever called
    with context.Pool(workers, initializer=cv2.setNumThreads, initargs=(1,)) as pool:
        return dict(bar(pool.imap_unordered(task, posts, chunksize=16)))


def draw_one(post, folder, seed):
    """Write one post's files below ``folder``; returns (index, facts)."""
    files, facts = archive.picture_files(post, seed)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return post.index, facts


def write_tables(folder, posts):
    """Write truth.csv and duplicates.csv."""
    truth = [(post.post_id, " ".join(post.truth)) for post in posts]
    copies = [(post.post_id, post.source.post_id, post.kind) for post in posts if post.source]
    for name, head, rows in (
        ("truth.csv", ("image_id", "tags"), truth),
        ("duplicates.csv", ("image_id", "source_id", "kind"), copies),
    ):
        csv_tables.write_rows(folder / name, head, rows)


def report(output, posts, as_json):
    """Say what was made."""
    made = {
        "output": str(pathlib.Path(output)),
        "images": len(posts),
        "tags": len({name for post in posts for name in post.labels}),
        "true_tags": sum(len(post.truth) for post in posts),
        "labels": sum(len(post.labels) for post in posts),
        "duplicates": sum(post.source is not None for post in posts),
        "broken": sum(bool(post.broken) for post in posts),
        "originals": sum(bool(post.original) for post in posts),
    }
    if as_json:
        return print_json(made)
    words = ", ".join(f"{value} {name.replace('_', ' ')}" for name, value in made.items() if name != "output")
    print(f"{output}: {words}")
    return None


if __name__ == "__main__":
    sys.exit(main())
