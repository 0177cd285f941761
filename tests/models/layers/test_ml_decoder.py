"""Models/layers/ml_decoder.py: attention of fixed queries, and the classifier by groups, against numpy."""

import numpy as np
import pytest
from helpers.layers import normal, with_weights

from Models.layers import ml_decoder


def softmax(x):
    shares = np.exp(x - x.max(-1, keepdims=True))
    return shares / shares.sum(-1, keepdims=True)


def test_queries_attend_as_in_the_paper():
    x = normal(2, 6, 8)
    layer = with_weights(ml_decoder.GroupQueryAttention(3, heads=2), x.shape)
    weights = {weight.path.split("/", 1)[1]: np.array(weight) for weight in layer.weights}
    queries = weights["queries"]
    centered = queries - queries.mean(1, keepdims=True)
    centered /= np.sqrt((centered**2).mean(1, keepdims=True) + 1e-6)
    queries = centered * weights["query_norm/gamma"] + weights["query_norm/beta"]
    query, key, value = (
        source @ weights[f"{name}/kernel"] + weights[f"{name}/bias"]
        for source, name in ((queries, "query"), (x, "key"), (x, "value"))
    )
    parts = [slice(0, 4), slice(4, 8)]
    shares = [softmax(query[:, part] @ key[..., part].swapaxes(1, 2) / 2) for part in parts]  # (B, K, N)
    mixed = np.concatenate([share @ value[..., part] for share, part in zip(shares, parts, strict=True)], -1)
    expected = queries + mixed @ weights["output/kernel"] + weights["output/bias"]
    np.testing.assert_allclose(layer(x), expected, atol=1e-5)
    np.testing.assert_allclose(layer.attention(x), np.mean(shares, axis=0), atol=1e-6)


def test_queries_are_not_learned_also_after_freezing():
    layer = with_weights(ml_decoder.GroupQueryAttention(3, heads=2), (1, 4, 8))
    for trainable in (False, True):
        layer.trainable = trainable
    assert [weight.name for weight in layer.non_trainable_weights] == ["queries"]


def test_heads_must_divide_the_width():
    with pytest.raises(ValueError, match="heads must divide the width 10; got 8"):
        ml_decoder.GroupQueryAttention(3).build((None, 4, 10))


@pytest.mark.parametrize(("units", "groups"), [(6, 3), (7, 3), (3, 3), (5, 4), (1, 1)])
def test_equal_groups_in_order(units, groups):
    x = normal(2, groups, 4)
    layer = with_weights(ml_decoder.GroupDense(units), x.shape)
    kernel, bias = map(np.array, layer.weights)
    assert kernel.shape == (4, units)
    group = np.arange(units) // -(-units // groups)
    expected = np.einsum("bnd,dn->bn", x[:, group], kernel) + bias
    np.testing.assert_allclose(layer(x), expected, atol=1e-5)
    assert layer.macs(x.shape) == groups * -(-units // groups) * 4


def test_any_groups_give_the_same_as_one_tag_after_the_other():
    x, members = normal(2, 4, 5), [3, 0, 0, 2, 3, 3]  # group 1 is empty
    layer = with_weights(ml_decoder.GroupDense(6, members=members), x.shape)
    kernel, bias = map(np.array, layer.weights)
    np.testing.assert_allclose(layer(x), np.einsum("bnd,dn->bn", x[:, members], kernel) + bias, atol=1e-5)
    with pytest.raises(ValueError, match="members must be 2 numbers from 0 to 3"):
        ml_decoder.GroupDense(2, members=[0, 4]).build(x.shape)


def test_kept_tags_stay_in_their_groups_and_new_ones_join_the_smallest():
    carried = ml_decoder.carried_groups(np.array([0, 0, 1, 1, 2, 2]), 3, np.array([4, -1, 1, 0, -1, -1]))
    assert carried.tolist() == [2, 1, 0, 0, 1, 2]
    layer = with_weights(ml_decoder.GroupDense(6), (1, 3, 4))
    layer.regroup(carried)
    assert layer.get_config()["members"] == carried.tolist()
    layer.regroup([0, 0, 1, 1, 2, 2])
    assert layer.get_config()["members"] is None
