"""Posts on which taggers disagree, by brute force."""

import numpy as np
from helpers import compared

from Utils.comparison import disagreements


def test_the_most_disputed_posts_come_first(tmp_path):
    result, _, good, bad, y = compared.make(tmp_path)
    limits = [result.scored[name].at_equality.threshold for name in ("good", "bad")]
    said = np.stack([good > limits[0], bad > limits[1]])
    found = disagreements.find(result)
    disputes = (said[0] != said[1]).sum(axis=1)
    assert [len(post.tags) for post in found.disputed] == sorted(disputes, reverse=True)[:12]
    for post in found.disputed:
        assert post.post_id == post.row + 10
        for tag, is_true, predicted in post.tags:
            assert is_true == y[post.row, tag]
            assert predicted == said[:, post.row, tag].tolist()
        assert [is_true for _, is_true, _ in post.tags] == sorted((tag[1] for tag in post.tags), reverse=True)
    for name, posts in found.leads.items():
        leads = [np.subtract(*post.f1[:: 1 if name == "good" else -1]) for post in posts]
        assert leads == sorted(leads, reverse=True)
        assert min(leads, default=1) > 0
