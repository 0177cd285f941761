"""A small audit to review: two tags with many questions, one with few, images, scores, a dump."""

import contextlib
import json
import pathlib

import numpy as np
import pandas as pd

from helpers import jpeg
from Utils.evaluation import predictions
from Utils.labels.decisions import Journal
from Utils.labels.review import Review

TAGS = pd.DataFrame(
    {
        "tag_id": [11, 12, 13, 14], "name": ["solo", "hat", "smile", "<b>&"],
        "category": [0, 0, 4, 0], "count": [9, 8, 7, 6],
    }
)  # fmt: skip
POSTS = range(1000, 1080)
QUESTIONS = 123


def make(folder, side=24):
    """Write audit.json, audit.csv, images/ and dump/ (with selected_tags.csv) to a folder; return the words.

    solo is asked about posts 1000 to 1059, hat about 1079 to 1020, <b>& about 1000 to 1002; a third of the
    posts that a tag is not asked about carry it.
    """
    folder = pathlib.Path(folder)
    asked = {"solo": list(range(1000, 1060)), "hat": list(range(1079, 1019, -1)), "<b>&": [1000, 1001, 1002]}
    (folder / "audit.json").write_text(json.dumps(asked))
    random = np.random.default_rng(0)
    p = random.random((len(POSTS), len(TAGS))).astype(np.float32)
    labels = np.zeros(p.shape, np.uint8)
    rows = []
    for column, name in enumerate(TAGS["name"]):
        free = [post for post in POSTS if post not in asked.get(name, [])]
        labels[[post - POSTS[0] for post in free[::3]], column] = 1
        for post in asked.get(name, []):
            value = p[post - POSTS[0], column]
            rows.append((name, TAGS["tag_id"][column], post, value, 0, 1 - value))
    head = ["tag", "tag_id", "post_id", "probability", "label", "score"]
    pd.DataFrame(rows, columns=head).to_csv(folder / "audit.csv", index=False)
    with predictions.writing(folder / "dump", TAGS) as writer:
        writer.add(p, np.array(POSTS), labels)
    for post in POSTS:
        path = folder / "images" / f"{post % 1000:04d}" / f"{post}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(jpeg(post, side))
    return [
        str(folder / "audit.json"), "--images", str(folder / "images"),
        "--tags", str(folder / "dump" / "selected_tags.csv"), "-o", str(folder / "decisions.jsonl"),
    ]  # fmt: skip


@contextlib.contextmanager
def review_of(asked, path, reviewer="ann", second_opinion=False):
    """Yield the review of some questions, whose decisions lie at ``path``."""
    with Journal(path) as journal:
        yield Review(asked, journal, reviewer, second_opinion)


def answer(client, *answers):
    """Send ``(post id, tag id, decision)`` as the page does; return the reply."""
    names = ("post_id", "tag_id", "decision")
    sent = [dict(zip(names, values, strict=True)) for values in answers]
    return client.post("/api/decisions", json={"answers": sent})
