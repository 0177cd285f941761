"""Models/layers/tokens.py: class token, position embedding and its resampling, pooling."""

import keras
import numpy as np
import pytest
from helpers.layers import normal

from Models.layers import tokens


def test_positions_on_the_same_grid_are_themselves():
    table = normal(25, 3)
    np.testing.assert_array_equal(tokens.resample_positions(table, 25), table)


@pytest.mark.parametrize("new", [2, 4, 7, 20])
def test_resampled_positions_keep_constants_and_symmetry(new):
    assert np.allclose(tokens.resample_positions(np.ones((25, 2)), new * new), 1)
    table = normal(25, 1).reshape(5, 5)
    got = tokens.resample_positions(table.reshape(25, 1), new * new).reshape(new, new)
    flipped = tokens.resample_positions(table[:, ::-1].reshape(25, 1), new * new).reshape(new, new)
    np.testing.assert_allclose(got, flipped[:, ::-1], atol=1e-6)
    turned = tokens.resample_positions(table.T.reshape(25, 1), new * new).reshape(new, new)
    np.testing.assert_allclose(got, turned.T, atol=1e-6)


def test_resampled_positions_are_bicubic_and_antialiased():
    """As the antialiased bicubic resize of the backend, away from what differs at its borders."""
    table = normal(64, 3)
    for new in (5, 12):
        expected = keras.ops.image.resize(
            table.reshape(1, 8, 8, 3), (new, new), interpolation="bicubic", antialias=True
        )
        got = tokens.resample_positions(table, new * new).reshape(new, new, 3)
        np.testing.assert_allclose(got, np.array(expected)[0], atol=2e-5)


def test_rows_before_the_grid_stay_when_positions_are_resampled():
    table = normal(26, 3)
    got = tokens.resample_positions(table, 17, prefix=1)
    np.testing.assert_array_equal(got[:1], table[:1])
    np.testing.assert_array_equal(got[1:], tokens.resample_positions(table[1:], 16))


def test_tokens_are_put_in_front_and_pooled():
    x = normal(2, 4, 3)
    layer = tokens.ClassToken()
    y = np.array(layer(x))
    assert y.shape == layer.compute_output_shape(x.shape)
    np.testing.assert_array_equal(y[:, 1:], x)
    np.testing.assert_array_equal(y[:, 0], np.stack([np.array(layer.token)] * 2))
    np.testing.assert_array_equal(tokens.TokenPooling("token", 1)(y), y[:, 0])
    np.testing.assert_allclose(tokens.TokenPooling("average", 1)(y), x.mean(axis=1), atol=1e-6)
    with pytest.raises(ValueError, match="needs a class token"):
        tokens.TokenPooling("token")
    with pytest.raises(ValueError, match="'average' or 'token'; got 'max'"):
        tokens.TokenPooling("max", 1)


def test_positions_need_a_square():
    with pytest.raises(ValueError, match="got 12"):
        tokens.resample_positions(normal(12, 2), 16)


def test_registers_stand_before_the_tokens_of_every_image():
    x = np.random.default_rng(0).standard_normal((2, 4, 3)).astype("float32")
    layer = tokens.RegisterTokens(2)
    y = np.array(layer(x))
    assert y.shape == layer.compute_output_shape(x.shape) == (2, 6, 3)
    np.testing.assert_array_equal(y[:, 2:], x)
    np.testing.assert_array_equal(y[:, :2], np.stack([np.array(layer.token)] * 2))


def test_the_tokens_of_the_grid_are_those_behind_the_prefix():
    x, layer = normal(2, 6, 3), tokens.GridTokens(2)
    np.testing.assert_array_equal(layer(x), x[:, 2:])
    assert layer.compute_output_shape(x.shape) == (2, 4, 3)


def test_tokens_go_back_to_their_place_on_the_grid():
    x = normal(2, 3, 3, 4)
    np.testing.assert_array_equal(tokens.SquareMap()(x.reshape(2, 9, 4)), x)
    with pytest.raises(ValueError, match="square number of positions; got 8"):
        tokens.SquareMap().compute_output_shape((2, 8, 4))


def test_patch_dropout_leaves_patches_out_in_training_only():
    x = np.arange(3 * 12, dtype="float32").reshape(3, 12, 1)
    layer = tokens.PatchDropout(0.7, prefix=2, seed=1)
    np.testing.assert_array_equal(layer(x), x)
    kept = np.asarray(layer(x, training=True))
    assert kept.shape == (3, 2 + 3, 1)  # of 10 patches 3
    np.testing.assert_array_equal(kept[:, :2], x[:, :2])
    patches = kept[:, 2:, 0] - x[:, :1, 0]
    assert (np.diff(patches, axis=1) > 0).all()  # in order, each once, of its own image
    assert patches.min() >= 2 and patches.max() < 12
    assert len({tuple(row) for row in patches}) > 1
    again = tokens.PatchDropout(0.7, prefix=2, seed=1)
    np.testing.assert_array_equal(again(x, training=True), kept)
    assert not np.array_equal(again(x, training=True), kept)  # the next batch has another draw
    assert tokens.PatchDropout(0.99).kept(10) == 1


def test_every_patch_is_kept_equally_often():
    x = np.tile(np.eye(8, dtype="float32"), (400, 1, 1))
    kept = np.asarray(tokens.PatchDropout(0.5, seed=0)(x, training=True))
    shares = kept.sum(axis=(0, 1)) / 400
    np.testing.assert_allclose(shares, 0.5, atol=0.1)
