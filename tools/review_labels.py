"""Decide labels in a browser: one by one, many pictures of a tag at once, or all questions of a picture.

AUDIT.json is what audit_labels.py found; AUDIT_wrong.json works as well, and so do both. Decisions are added
to DECISIONS.jsonl and are on the disk before the page forgets them; started again, the review goes on where
it was, and what is decided is not asked again. apply_decisions.py brings them into the database.

The page shows a post's other tags and similar posts that carry the tag: by a dump, a dataset or a database,
found by itself where --tags lies in a dump's or a dataset's folder. Scores are read from the audit's .csv.
Only this machine is answered unless --host says otherwise.
"""

import contextlib
import getpass
import pathlib
import sys

import numpy as np

from Utils.command.cli import Parser, command
from Utils.data import post_images_server
from Utils.labels import label_lookup, questions, review_service
from Utils.labels.decisions import Journal
from Utils.labels.review import Review, check_reviewer
from Utils.serving import http_server
from Utils.tags import tag_list


def parser():
    """Return the argument parser."""
    made = Parser(prog="review_labels.py", description=__doc__)
    made.add_argument("audit", metavar="AUDIT.json", type=pathlib.Path, nargs="+")
    made.add_argument("--images", metavar="DIR", type=pathlib.Path, required=True, help="0NNN/ID.jpg, or any")
    made.add_argument("--tags", metavar="selected_tags.csv", type=pathlib.Path, required=True)
    made.add_argument("-o", "--output", metavar="DECISIONS.jsonl", type=pathlib.Path, required=True)
    http_server.add_arguments(made)
    made.add_argument("--reviewer", metavar="NAME", help="who decides (the user's name)")
    made.add_argument("--second-opinion", action="store_true", help="ask what others decided already, too")
    made.add_argument("--dump", metavar="DUMP", type=pathlib.Path, help="labels, and which posts are similar")
    made.add_argument("--dataset", metavar="DATASET", type=pathlib.Path, help="labels and image paths")
    made.add_argument(
        "--db", metavar="X.db", type=pathlib.Path, help="labels: all tags of a fire-eggs database"
    )
    return made


@command
def main(argv=None):
    """Run the command."""
    options = parser().parse_args(argv)
    with http_server.bind(options.host, options.port) as listening, prepared(options) as app:
        server = http_server.make_server(app, listening, review_service.LIMITS)
        print(f"{http_server.url_of(server)} until Ctrl-C", flush=True)
        http_server.run(server)
    return 0


@contextlib.contextmanager
def prepared(options):
    """Yield the Flask application of a review; its decisions file is this process's until the block ends."""
    reviewer = check_reviewer(options.reviewer or _user())
    asked = questions.read(options.audit, tag_list.read(options.tags))
    posts = np.unique(asked.posts)
    sources = _sources(options, asked, posts)
    paths = next((source.paths for source in sources if hasattr(source, "paths")), None)
    found = post_images_server.PostImages(options.images, posts.tolist(), paths)
    with Journal(options.output) as journal:
        review = Review(asked, journal, reviewer, options.second_opinion)
        _say(options, review, journal, found)
        service = review_service.Service(review, found, sources, options.output.resolve())
        yield review_service.application(service, options.allow_host)


def _user():
    with contextlib.suppress(OSError, KeyError):
        return getpass.getuser()
    return "reviewer"


def _sources(options, asked, posts):
    """Return what is known about labels, the best first."""
    dump, dataset = options.dump, options.dataset
    if not (dump or dataset):
        dump, dataset = label_lookup.folders_of(options.tags)
    tag_ids = asked.tags["tag_id"].tolist()
    sources = []
    if options.db:
        sources.append(label_lookup.DatabaseLabels(options.db))
    if dump:
        sources.append(label_lookup.DumpLabels(dump, tag_ids))
    if dataset:
        sources.append(label_lookup.DatasetLabels(dataset, tag_ids, posts))
    return sources


def _say(options, review, journal, found):
    done = review.progress()
    text = f"{done['questions']:,} questions about {done['tags']:,} tags, {done['decided']:,} decided"
    print(f"{text}; {review.reviewer} reviews, decisions go to {options.output}", file=sys.stderr)
    if journal.num_cut:
        print(f"a last line of {journal.num_cut} bytes, cut off by a crash, was removed", file=sys.stderr)
    if found.num_absent:
        looked = f"{found.num_absent:,} of {len(found.sample):,} posts looked for"
        print(f"{looked} have no image in {options.images}", file=sys.stderr)
    if not http_server.is_local(options.host):
        print(f"warning: whoever reaches {options.host} can see the images and decide", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
