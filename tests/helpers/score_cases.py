"""Pairs of probabilities and labels, plain and nasty, on which scores and thresholds must be exact."""

import numpy as np
import pytest

RNG = np.random.default_rng(0)


def inputs():
    """Named pairs of probabilities and labels, plain and nasty."""
    p = RNG.random((40, 30), dtype=np.float32)
    y = RNG.random((40, 30)) < 0.1
    negative = (RNG.normal(size=(40, 30)) * 5).astype(np.float32)
    half = RNG.integers(0, 2, (40, 30)).astype(np.float32)
    yield "float32", p, y
    yield "float64", p.astype(np.float64) + 1e-9 * RNG.random(p.shape), y
    yield "float16", p.astype(np.float16), y
    yield "uint8-quantized", np.round(p * 255).astype(np.float32) / 255, y
    yield "coarse", np.round(p * 4) / 4, y
    yield "zeros and ones", half, y
    yield "constant", np.full_like(p, 0.25), y
    yield "minus zero", np.where(p > 0.5, -0.0, 0.0).astype(np.float16), y
    yield "logits", negative, y
    yield "logits float16", negative.astype(np.float16), y
    yield "all negative", p, np.zeros_like(y)
    yield "all positive", p, np.ones_like(y)
    yield "all positive and zero", np.zeros_like(p), np.ones_like(y)
    yield "half positive", p, RNG.random(p.shape) < 0.5
    yield "uint8 labels", p, y.astype(np.uint8)
    yield "one image", p[:1], y[:1]
    yield "one tag", p[:, :1], y[:, :1]
    yield "small numbers", p * np.float32(1e-40), y
    yield "two values", np.where(p > 0.9, 3.0, -5.0), RNG.random(p.shape) < 0.9
    yield "empty tags", p, y & (np.arange(30) % 3 > 0)
    yield "float16 ties", (np.round(p * 20) / 20).astype(np.float16), y


CASES = list(inputs())
EVERY = pytest.mark.parametrize(("p", "y"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
