"""Diagnosis: which known fault, for example swapped channels, makes a model differ from the Keras model.

Each fault is undone and the difference measured again. A fault is named where that makes the largest
difference ten times smaller.
"""

import dataclasses
import itertools

import numpy as np

from Utils.release.verification import findings
from Utils.release.verification.reference import Reference, sigmoid

TIMES_SMALLER = 10.0  # per fault; chance matches, say of a permutation, gain less
ALMOST_ONE = 1 - 1e-7  # float32 probabilities nearer to 1 do not tell their logits apart


@dataclasses.dataclass(frozen=True)
class Fault:
    """A known fault of a model."""

    name: str
    allowed: str
    came: str
    rule: str = "R2"


@dataclasses.dataclass(frozen=True)
class Diagnosis:
    """Faults of a model, and its outputs beside the Keras model's with those undone."""

    faults: tuple[Fault, ...]
    outputs: np.ndarray  # (N, L)
    expected: np.ndarray  # (N, L), column for column

    @property
    def difference(self) -> float:
        """The largest absolute difference that remains."""
        return float(np.abs(self.outputs - self.expected).max())

    def worst_place(self) -> tuple[int, int]:
        """Return the image and the output of the largest difference."""
        place = np.unravel_index(np.abs(self.outputs - self.expected).argmax(), self.outputs.shape)
        return int(place[0]), int(place[1])


def diagnose(
    outputs: np.ndarray, expected: np.ndarray, images: np.ndarray, reference: Reference
) -> Diagnosis:
    """Return the diagnosis of a model's outputs (N, L).

    Args:
        outputs: the model's, for the images.
        expected: (N, L), the Keras model's probabilities for the images.
        images: (N, S, S, 3), 0..255 BGR.
        reference: computes more of the Keras model's.
    """
    logits = Fault(findings.LOGITS, "probabilities, after one sigmoid", f"values up to {outputs.max():.3g}")
    rgb = Fault(findings.RGB, "BGR", "RGB: with the channels turned around it agrees")
    turned = reference.probabilities(images[..., ::-1])
    readings = (((), outputs), ((logits,), sigmoid(outputs)))
    answers = (((), expected), ((rgb,), turned))
    candidates = []
    for (reading_faults, values), (answer_faults, answer) in itertools.product(readings, answers):
        faults = (*reading_faults, *answer_faults)
        candidates.append(Diagnosis(faults, values, answer))
        order = _matching_order(values, answer)
        if order is not None:
            num_moved = int((order != np.arange(len(order))).sum())
            came = f"{num_moved} of {len(order)} outputs elsewhere"
            moved = Fault(findings.ORDER, "output i is row i of the tag list", came)
            candidates.append(Diagnosis((*faults, moved), values, answer[:, order]))
    return min(
        candidates, key=lambda item: (item.difference * TIMES_SMALLER ** len(item.faults), len(item.faults))
    )


def _matching_order(values: np.ndarray, expected: np.ndarray) -> np.ndarray | None:
    """Return for each column of ``values`` the most similar one of ``expected``.

    None where two columns share one, so that it is no permutation, and where nothing is moved.
    """
    a, b = _logit(values), _logit(expected)
    nearest = np.empty(a.shape[1], np.int64)
    for start in range(0, len(nearest), 512):  # all pairs of ten thousand columns would take 800 MB
        part = a[:, start : start + 512]
        nearest[start : start + 512] = np.argmin((b**2).sum(axis=0) - 2 * part.T @ b, axis=1)
    is_permutation = len(np.unique(nearest)) == len(nearest)
    return nearest if is_permutation and (nearest != np.arange(len(nearest))).any() else None


def _logit(probabilities: np.ndarray) -> np.ndarray:
    clipped = np.clip(np.asarray(probabilities, "float64"), 1e-30, ALMOST_ONE)
    return np.log(clipped) - np.log1p(-clipped)
