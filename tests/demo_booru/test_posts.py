"""Utils/demo_booru/posts.py: ids, shares of missing tags, faults; the same posts for a seed for ever."""

import collections
import dataclasses
import hashlib

import numpy as np
import pytest

from Utils.demo_booru import posts, vocabulary


@pytest.fixture(scope="module")
def large():
    return posts.plan_posts(3000, 0, 0.1)


def test_every_residue_of_every_split_has_its_share(large):
    residues = np.array([post.post_id % 1000 for post in large])
    assert ((residues >= 900) & (residues < 950)).sum() == 150
    assert (residues >= 950).sum() == 150
    assert len({post.post_id for post in large}) == 3000
    assert len(set(residues)) == 1000
    assert (np.diff([post.post_id for post in large]) > 0).all()


def test_a_tenth_of_the_tags_is_missing(large):
    tagged = [post for post in large if post.labels]
    true, known = (sum(len(getattr(post, name)) for post in tagged) for name in ("truth", "labels"))
    assert known / true == pytest.approx(0.9, abs=0.005)
    assert all(post.labels in (post.truth, ()) for post in posts.plan_posts(300, 0, 0.0))


def test_counts_have_a_long_tail_and_frequencies_alone_say_little(large):
    counts = collections.Counter(name for post in large for name in post.labels)
    assert counts.most_common()[0][1] >= 100 * counts.most_common()[-1][1]
    assert min(counts[person.name] for person in vocabulary.CHARACTERS) >= 40
    names = [name for name, count in counts.items() if count >= 60 and vocabulary.category(name) in (0, 3, 4)]
    labels = np.array([[name in post.labels for name in names] for post in large])
    score = np.broadcast_to(labels.mean(0), labels.shape).ravel()
    first = np.argsort(-score, kind="stable")[: labels.sum()]
    assert 0.3 < labels.ravel()[first].mean() < 0.45


def test_every_fault_has_its_posts(large):
    assert {post.broken for post in large} == {"", *posts.BROKEN}
    assert {post.status for post in large} == {"", *posts.STATUS}
    assert {post.rating for post in large} == set("gsqe")
    kinds = collections.Counter(post.kind for post in large if post.kind)
    assert sum(kinds.values()) == 60
    assert min(kinds.values()) == 15
    assert sum(post.parent_id is not None for post in large) == 30
    assert all(post.rating in "gs" for post in large if post.broken)
    assert all(not post.source.broken and not post.source.status for post in large if post.source)


@pytest.mark.parametrize("count", [1, 2, 3, 7, 20, 1001])
def test_any_number_of_posts_can_be_planned(count):
    planned = posts.plan_posts(count, 5, 0.1)
    assert len({post.post_id for post in planned}) == count


def test_the_posts_of_a_seed_are_the_same_for_ever():
    """Measurements on drawn boorus are compared over years: no draw may move."""
    planned = [dataclasses.astuple(post) for post in posts.plan_posts(200, 0, 0.1)]
    assert (
        hashlib.sha256(repr(planned).encode()).hexdigest()
        == "6db794e755eeb8cb64c656c541441484d1a0108b46d9f29750684ec97a794e75"
    )
