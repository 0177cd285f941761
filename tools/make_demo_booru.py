"""Draw a small booru: cartoon characters whose tags are true by construction, with the faults of real boorus.

    python tools/make_demo_booru.py demo/booru --images 3000 --seed 0

Writes danbooru.db (fire-eggs' schema), 512px/0NNN/ID.jpg, original/ (the few pictures that are wide, tall or
transparent), definition.toml, truth.csv (every true tag) and duplicates.csv. The same arguments give the same
bytes, whatever the number of workers. Ratings only say how spooky a picture is: all pictures are safe.
"""

import Utils.command.interrupt  # noqa: F401  first: imports take long

import functools
import multiprocessing
import pathlib
import sys
from collections.abc import Mapping, Sequence

import cv2

from Utils.command import interrupt, programs
from Utils.command.cli import Parser, command, number, print_json, progress
from Utils.command.machine import num_cores
from Utils.demo_booru import archive
from Utils.demo_booru.archive import Facts
from Utils.demo_booru.boxes import Box
from Utils.demo_booru.posts import Post, plan_posts
from Utils.demo_booru.styles import STYLES, Style
from Utils.files import csv_tables
from Utils.files.output_folders import FolderKind, replacing_folder, require_replaceable_folder
from Utils.images.image_folder import bucket_path

Drawn = tuple[Facts, list[Box]]


def _pictures_of(folder: pathlib.Path) -> set[str]:
    """Return the paths that pictures of the posts of truth.csv may have."""
    path = folder / "truth.csv"
    if not path.is_file():
        return set()
    ids = [row["image_id"] for row in csv_tables.read_texts(path, "true tags (truth.csv)", ("image_id",))]
    squares = {bucket_path(int(post)) for post in ids if post.isdecimal()}
    originals = {name.replace(".jpg", suffix) for name in squares for suffix in (".jpg", ".png")}
    return {f"512px/{name}" for name in squares} | {f"original/{name}" for name in originals}


BOORU = FolderKind(
    "a drawn booru", ("definition.toml", "danbooru.db"),
    ("truth.csv", "truth_boxes.csv", "duplicates.csv"), names_in=_pictures_of,
)  # fmt: skip

DEFINITION = """# The dataset of a drawn booru of {images} posts (tools/make_demo_booru.py).
name = "demo"
image_size = 512
jpeg_quality = 95
splits = {{train = [0, 899], test = [900, 949], validation = [950, 999]}}
ratings = ["g", "s"]                 # q and e are the few that are too spooky
ratings_as_labels = false
exclude_status = ["deleted", "banned", "pending", "flagged", "hidden"]
categories = [0, 3, 4]
min_tag_count = {least}
min_tag_images = {least}
min_tag_share = 0.5
max_tags = 2380
min_tags_per_image = 3
"""


def parser() -> Parser:
    """Return the argument parser."""
    parser = Parser(prog="tools/make_demo_booru.py", description=__doc__)
    parser.add_argument("output", metavar="OUT", help="folder to make")
    parser.add_argument(
        "--images",
        type=number(least=1, most=10_000_000),
        default=3000,
        help="number of posts (default: 3000)",
    )
    parser.add_argument(
        "--seed", type=number(least=0), default=0, help="another seed gives another booru (default: 0)"
    )
    parser.add_argument(
        "--missing",
        type=number(float, least=0.0, most=1.0),
        default=0.1,
        help="share of true tags missing in the booru (default: 0.1)",
    )
    parser.add_argument(
        "--style",
        choices=tuple(STYLES),
        default="faces",
        help="faces: one to three large figures; scenes: places with many small things, crowds and writing "
        "(default: faces)",
    )
    parser.add_argument("--workers", type=number(least=1), help="processes (default: one a core, at most 8)")
    parser.add_argument("--overwrite", action="store_true", help="replace OUT where it exists")
    parser.add_argument("--json", action="store_true", help="print the summary as JSON")
    return parser


@command
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    options = parser().parse_args(argv)
    require_replaceable_folder(options.output, BOORU, options.overwrite)
    style = STYLES[options.style]
    posts = plan_posts(options.images, options.seed, options.missing, style)
    with replacing_folder(options.output, BOORU, options.overwrite) as folder:
        drawn = draw(folder, posts, options.seed, style, options.workers)
        facts = {index: facts for index, (facts, _) in drawn.items()}
        archive.write_database(folder / "danbooru.db", posts, facts, options.seed, style)
        write_tables(folder, posts, {index: boxes for index, (_, boxes) in drawn.items()})
        text = DEFINITION.format(images=len(posts), least=max(1, len(posts) // 50))
        (folder / "definition.toml").write_text(text, encoding="utf-8")
    report(options.output, posts, options.json)
    return 0


def draw(
    folder: pathlib.Path, posts: list[Post], seed: int, style: Style, workers: int | None = None
) -> dict[int, Drawn]:
    """Draw and write every picture; returns {index: (what the database says about the file, boxes)}."""
    for post in posts:
        for kind in ("512px", "original") if post.original else ("512px",):
            (folder / kind / bucket_path(post.post_id)).parent.mkdir(parents=True, exist_ok=True)
    # A process needs seconds to start: one for every 200 pictures.
    workers = workers or min(8, num_cores(), 1 + len(posts) // 200)
    task = functools.partial(draw_one, folder=folder, seed=seed, style=style)
    bar = functools.partial(progress, total=len(posts), label="drawing", unit="images")
    if workers == 1:
        return dict(bar(map(task, posts)))
    context = multiprocessing.get_context("spawn")  # a fork would copy threads of whoever called
    with interrupt.held_back():
        pool = context.Pool(workers, initializer=cv2.setNumThreads, initargs=(1,))
    with pool:
        return dict(bar(pool.imap_unordered(task, posts, chunksize=16)))


def draw_one(post: Post, folder: pathlib.Path, seed: int, style: Style) -> tuple[int, Drawn]:
    """Write one post's files below ``folder``; returns (index, (facts, boxes))."""
    files, facts, boxes = archive.picture_files(post, seed, style)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return post.index, (facts, boxes)


def write_tables(folder: pathlib.Path, posts: list[Post], boxes: Mapping[int, list[Box]]) -> None:
    """Write truth.csv, truth_boxes.csv and duplicates.csv."""
    truth = [(post.post_id, " ".join(post.truth)) for post in posts]
    copies = [(post.post_id, post.source.post_id, post.kind) for post in posts if post.source]
    csv_tables.write_rows(folder / "truth.csv", ("image_id", "tags"), truth)
    places = [
        (post.post_id, box.tag, *map(round, (box.left, box.top, box.right, box.bottom)))
        for post in posts
        for box in boxes[post.index]
    ]
    csv_tables.write_rows(folder / "truth_boxes.csv", ("image_id", "tag", "x0", "y0", "x1", "y1"), places)
    csv_tables.write_rows(folder / "duplicates.csv", ("image_id", "source_id", "kind"), copies)


def report(output: str, posts: list[Post], as_json: bool) -> None:
    """Print what the booru has."""
    summary = {
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
        print_json(summary)
        return
    counts = [f"{value} {name.replace('_', ' ')}" for name, value in summary.items() if name != "output"]
    print(f"{output}: {', '.join(counts)}")
    folder = pathlib.Path(output)
    words = "--from", folder / "danbooru.db", "--images", folder / "512px", "-o", "my/dataset"
    print(programs.next_line("select_tags", folder / "definition.toml", *words))


if __name__ == "__main__":
    sys.exit(main())
