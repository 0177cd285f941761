"""Decide labels in a browser: one by one, many images of a tag at once, or all questions of an image.

AUDIT.json is what audit_labels.py found; AUDIT_wrong.json works as well, and so do both. Decisions are added
to DECISIONS.jsonl and are on the disk before the page forgets them. Started again, the review goes on where
it stopped and does not ask again what is decided. apply_decisions.py brings decisions to where tags are.

The page shows a post's other tags, and similar posts that carry the tag, if it has a dump, a dataset or a
database; it takes the dump or dataset that the file of --tags belongs to. Scores are read from the audit's
.csv. With --maps TAGGER the key M shows where in the picture that tagger sees the tag. Only this machine is
answered unless --host says otherwise.
"""

import Utils.command.interrupt  # noqa: F401  first: imports take long

import argparse
import contextlib
import getpass
import pathlib
import sys
from collections.abc import Iterator, Sequence

import flask
import numpy as np

from Utils.command import programs
from Utils.command.backend import deferred
from Utils.command.cli import Parser, UserError, command
from Utils.command.text import counted, join_names
from Utils.data import dataset_folder, packing, picture_contents, post_images_server
from Utils.files import hub
from Utils.images import places
from Utils.labels import label_lookup, questions, review_service
from Utils.labels.decisions import Journal
from Utils.labels.questions import Questions
from Utils.labels.review import Review, check_reviewer
from Utils.serving import http_server, onnx_tagger
from Utils.serving.live_maps import LiveMaps
from Utils.tags import tag_list

# Kinds of sources that `apply_decisions` corrects in a copy: its flag, and a name for the copy.
COPIED = {
    "fire-eggs": ("--db", "corrected.db"),
    "jsonl": ("--jsonl", "corrected.jsonl"),
    "parquet": ("--parquet", "corrected.parquet"),
}


def parser() -> Parser:
    """Return the argument parser."""
    arguments = Parser(prog="review_labels.py", description=__doc__)
    arguments.add_argument("audit", metavar="AUDIT.json", type=pathlib.Path, nargs="+")
    arguments.add_argument(
        "--images", metavar="PLACE",
        help="images of the posts, as 0NNN/ID.jpg or under any names; tar, zip or Parquet files too "
        "(where the dataset's were)",
    )  # fmt: skip
    arguments.add_argument(
        "--tags", metavar="selected_tags.csv", type=pathlib.Path, required=True,
        help="the tag list that the audit was made with",
    )  # fmt: skip
    arguments.add_argument("-o", "--output", metavar="DECISIONS.jsonl", type=pathlib.Path, required=True)
    http_server.add_arguments(arguments)
    arguments.add_argument("--reviewer", metavar="NAME", help="name of the reviewer (the user's name)")
    arguments.add_argument("--second-opinion", action="store_true", help="also ask what others have decided")
    arguments.add_argument(
        "--dump", metavar="DUMP", type=pathlib.Path, help="labels, and which posts are similar"
    )
    arguments.add_argument("--dataset", metavar="DATASET", type=pathlib.Path, help="labels and image paths")
    arguments.add_argument(
        "--db", metavar="X.db", type=pathlib.Path, help="labels: all tags of a fire-eggs database"
    )
    arguments.add_argument(
        "--maps", metavar="TAGGER", type=hub.argument,
        help="a run, release or hub id: shows where it sees the tag in question",
    )  # fmt: skip
    arguments.add_argument(
        "--json",
        action="store_true",
        help="print address and numbers of questions as one JSON object",
    )
    return arguments


@command
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command."""
    options = parser().parse_args(argv)
    with http_server.bind(options.host, options.port) as listening, prepared(options) as app:
        server = http_server.make_server(app, listening, review_service.LIMITS)
        http_server.announce(server, app.config["PROGRESS"] if options.json else None)
        http_server.run(server)
    _say_next(options)
    return 0


def _say_next(options: argparse.Namespace) -> None:
    """Print where the decisions go next: to the files, or the database, that the labels came from."""
    _, dataset = _folders(options)
    recorded = dataset_folder.load(dataset).manifest.get("source", {}) if dataset else {}
    source, corrected = ("--images", options.images), ()
    if options.db:
        source, corrected = ("--db", options.db), ("-o", "corrected.db")
    elif recorded.get("kind") in COPIED:
        flag, copy = COPIED[recorded["kind"]]
        source, corrected = (flag, recorded["path"]), ("-o", copy)
    print(programs.next_line("apply_decisions", options.output, *source, *corrected), file=sys.stderr)


@contextlib.contextmanager
def prepared(options: argparse.Namespace) -> Iterator[flask.Flask]:
    """Yield the Flask application of a review; the decisions file is locked until the block ends."""
    reviewer = check_reviewer(options.reviewer or _user())
    asked = questions.read(options.audit, tag_list.read(options.tags))
    posts = np.unique(asked.posts)
    dump, dataset = _folders(options)
    options.images = options.images or _recorded_images(dataset)
    sources = _sources(options, dump, dataset, asked, posts)
    labels = next((source for source in sources if isinstance(source, label_lookup.DatasetLabels)), None)
    paths = None if labels is None else labels.paths
    place = places.open_place(options.images, options.output)
    images = post_images_server.PostImages(place, posts.tolist(), paths)
    if dataset and labels:
        _warn_of_other_labels(asked, labels, dataset)
        found = {post: path for post in images.sample if (path := images.find(post))}
        picture_contents.warn_of_others(dataset, place, found)
    maps = LiveMaps(onnx_tagger.load(options.maps, deferred("Models.load"))) if options.maps else None
    with Journal(options.output) as journal:
        review = Review(asked, journal, reviewer, options.second_opinion)
        _report(options, review, journal, images)
        if maps is not None:
            _warn_of_tags(asked.tags["name"].tolist(), maps)
        service = review_service.Service(review, images, sources, str(options.output.resolve()), maps)
        app = review_service.application(service, options.allow_host)
        app.config["PROGRESS"] = review.progress()
        yield app


def _user() -> str:
    with contextlib.suppress(OSError, KeyError, ImportError):  # Windows has no module of users
        return getpass.getuser()
    return "reviewer"


def _folders(options: argparse.Namespace) -> tuple[pathlib.Path | None, pathlib.Path | None]:
    """Return the dump and the dataset of a review: those named, else what the tag list is part of."""
    if options.dump or options.dataset:
        return options.dump, options.dataset
    return label_lookup.folders_of(options.tags)


def _recorded_images(dataset: pathlib.Path | None) -> str:
    """Return where the pictures of a dataset are by its dataset.json; UserError where nothing says so."""
    images = packing.images_of(dataset_folder.load(dataset).manifest) if dataset else None
    if images is None:
        raise UserError(
            "--images PLACE is needed: no dataset says where its pictures are (--dataset, or --tags of one)"
        )
    return images


def _sources(
    options: argparse.Namespace,
    dump: pathlib.Path | None,
    dataset: pathlib.Path | None,
    asked: Questions,
    posts: np.ndarray,
) -> list[label_lookup.Source]:
    """Return where labels are looked up, the best first."""
    tag_ids = asked.tags["tag_id"].tolist()
    sources: list[label_lookup.Source] = []
    if options.db:
        sources.append(label_lookup.DatabaseLabels(options.db))
    if dump:
        sources.append(label_lookup.DumpLabels(dump, tag_ids))
    if dataset:
        sources.append(label_lookup.DatasetLabels(dataset, tag_ids, posts))
    return sources


def _report(
    options: argparse.Namespace, review: Review, journal: Journal, images: post_images_server.PostImages
) -> None:
    """Print how far the review is, and what a reviewer should know before beginning."""
    counts = review.progress()
    questions_of = f"{counted(counts['questions'], 'question')} about {counted(counts['tags'], 'tag')}"
    text = f"{questions_of}, {counts['decided']:,} decided"
    print(f"{text}; {review.reviewer} reviews, decisions go to {options.output}", file=sys.stderr)
    if journal.num_cut:
        print(f"a last line of {journal.num_cut} bytes, cut off by a crash, was removed", file=sys.stderr)
    if images.num_absent:
        absent = f"{images.num_absent:,} of {len(images.sample):,} posts looked for"
        print(f"{absent} have no image in {options.images}", file=sys.stderr)
    if not http_server.is_local(options.host):
        print(f"warning: whoever reaches {options.host} can see the images and decide", file=sys.stderr)


def _warn_of_other_labels(
    asked: Questions, labels: label_lookup.DatasetLabels, dataset: pathlib.Path
) -> None:
    """Say how many of up to 1,000 labels are others in the dataset than when they were audited."""
    names, total, others = asked.tags["name"].to_list(), 0, 0
    for row in np.unique(np.linspace(0, len(asked) - 1, 1000).astype(np.int64)).tolist():
        present = labels.tags_of(int(asked.posts[row]))
        if present is not None:
            is_present = any(name == names[asked.tag_of(row)] for name, _ in present)
            total, others = total + 1, others + int(is_present != bool(asked.carried[row]))
    if others:
        print(
            f"{others:,} of {counted(total, 'label')} looked at in {dataset} are others than when they were "
            "audited: they were corrected since, or are of other pictures, whose ids are the same",
            file=sys.stderr,
        )


def _warn_of_tags(tags: Sequence[str], maps: LiveMaps) -> None:
    """Say which of the tags asked about the tagger of the maps does not have."""
    absent = [tag for tag in tags if tag not in maps]
    if absent:
        of_tags = f"{len(absent)} of {len(tags)} tags asked about: {join_names(absent, 5)}"
        print(f"warning: {maps.tagger.name} has no maps for {of_tags}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
