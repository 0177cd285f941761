"""Probabilities and labels, ordinary and adversarial, for exact thresholds; brute-force answers."""

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

RULES = ("p-equals-r", "max-f1", "max-f2", "max-f0.5", "precision=0.75", "precision=0.1", "precision=1")


def select_by_brute_force(p, y, rule):
    """Try a threshold below every stored value and one above all; returns ``(threshold, TP, predicted)``."""
    values = np.unique(p)[::-1]
    thresholds = [*values, np.nextafter(values[-1], p.dtype.type(-np.inf))]
    tp, predicted = (
        len(part) - np.searchsorted(np.sort(part, axis=None), thresholds, "right")
        for part in (p[y], p.ravel())
    )
    points = list(zip(thresholds, tp.tolist(), predicted.tolist(), strict=True))
    positives = int(y.sum())
    if rule.kind == "p-equals-r":
        return min(points, key=lambda point: (abs(point[2] - positives), point[2]))
    if positives == 0:
        return points[0]
    if rule.kind == "max-f":
        weight = rule.value**2
        return max(points, key=lambda point: (_f(weight, *point[1:], positives), -point[2]))
    precise = [point for point in points if point[1] and point[1] / point[2] >= rule.value]
    return max(precise, key=lambda point: (point[1], -point[2])) if precise else points[0]


def _f(weight, tp, predicted, positives):
    return (1 + weight) * tp / (weight * positives + predicted)


def tall(dtype, seed=0, quantized=None):
    """1,500 images of eight tags, from frequent to never true; so many that a sample of them is drawn."""
    random = np.random.default_rng(seed)
    y = random.random((1500, 8)) < [0.3, 0.1, 0.05, 0.02, 0.02, 0.01, 0.001, 0]
    p = 1 / (1 + np.exp(3 - 2.5 * y - random.normal(size=y.shape)))
    p = np.round(p * quantized) / quantized if quantized else p
    return p.astype(dtype), y


TALL = {
    "float32": tall("float32"), "float16": tall("float16"), "float64": tall("float64"),
    "uint8": tall("float32", quantized=255), "float16 uint8": tall("float16", quantized=255),
    "coarse": tall("float32", quantized=8),
}  # fmt: skip
