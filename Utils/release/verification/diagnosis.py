"""Names what makes a model differ from the Keras model: tries what could be wrong until the difference goes.

A suspect is named where it takes away more than half of what differs (in squares, over many images and
outputs): rounding has another direction than any suspect, however small it is.
"""

import dataclasses

import numpy as np

from Utils.release.verification import findings, reference

ROUNDING = 5e-8  # of the size of logits; differences of less (root mean square) are not looked at
ROUNDED = 5e-7  # the same of probabilities, at most
EXPLAINED = 0.5  # share of the squares that a suspect must leave at most
REST = 1e-5  # of a difference: when no more is left, nothing else is looked for
MOST_STEPS = 3
SUM = 1e-5  # by which a row of a softmax misses 1 in float32
EDGE = 1e-7  # probabilities nearer to 0 and 1 have no logit in float32
TWICE = "a sigmoid applied twice"
SCALES = {(255.0, 0.0): "0..1 instead of 0..255", (127.5, 127.5): "-1..1 instead of 0..255"}
ORDER = "outputs in another order"
KNOWN = {"gelu_tanh": findings.TANH, "gelu": findings.EXACT}


@dataclasses.dataclass(frozen=True)
class Suspect:
    """A fault that explains a difference."""

    fault: str
    rule: str
    allowed: str
    came: str


def sigmoid(values):
    """Return the probabilities of logits, in float64."""
    return 0.5 * (1.0 + np.tanh(0.5 * np.asarray(values, "float64")))


def _logit(values):
    values = np.clip(np.asarray(values, "float64"), EDGE, 1 - EDGE)
    return np.log(values) - np.log1p(-values)


def find(output, logits, truth, images):
    """Return the `Suspect`s that together explain how a model differs from the Keras model.

    Args:
        output: (N, L) first output of the model for the images.
        logits: (N, L) what its last sigmoid sees, None where it does not end so.
        truth: the `Reference`.
        images: (N, S, S, 3).
    """
    state = _State(truth, images)
    least = ROUNDING**2 * _square(state.logits)
    if _is_rounding(output, logits, state.logits, least):
        return []
    if logits is None and _sums_to_one(output):
        return [Suspect(findings.SOFTMAX, "R2", "probabilities, after one sigmoid", "rows that add up to 1")]
    observed, order, found = _read(output, logits, state)
    for _ in range(MOST_STEPS):
        error = _square(observed - state.logits[:, order])
        if error <= least:
            break
        least = max(least, REST**2 * error)
        left = {step: _square(observed - state.after(step)[:, order]) for step in state.steps()}
        step = min(left, key=left.get, default=None)
        if step is None or not left[step] <= EXPLAINED * error < np.inf:
            break
        state.take(step)
        found.append(_suspect(step, truth))
    return found


def _is_rounding(output, logits, expected, least):
    """Whether there is nothing to explain; probabilities near 0 and 1 say little about their logits."""
    if logits is None:
        return bool(np.abs(output - sigmoid(expected)).max() <= ROUNDED)
    return _square(logits - expected) <= least


def _sums_to_one(output):
    return bool((np.abs(output.sum(axis=1, dtype="float64") - 1) <= SUM).all())


class _State:
    """The reference with the changes that were found so far."""

    def __init__(self, truth, images):
        self.truth, self.images = truth, images
        self.change = reference.Change()
        self._known = {}
        self.logits = self.after(self.change)

    def steps(self):
        """Return the changes not made so far."""
        plain = reference.Change()
        for step in self.truth.changes():
            fields = [name for name, value in vars(step).items() if value != getattr(plain, name)]
            if all(getattr(self.change, name) == getattr(plain, name) for name in fields):
                yield step

    def after(self, step):
        """Return the reference's logits with one more change."""
        change = self._joined(step)
        if change not in self._known:
            self._known[change] = self.truth.logits(self.images, change)
        return self._known[change]

    def take(self, step):
        """Make a change for good."""
        self.change = self._joined(step)
        self.logits = self._known[self.change]

    def _joined(self, step):
        plain = vars(reference.Change())
        new = {name: value for name, value in vars(step).items() if value != plain[name]}
        return dataclasses.replace(self.change, **new)


def _read(output, logits, state):
    """Decide what the first output is, and in which order; return its logits, the order and suspects.

    Of all ways to read it the one nearest to the reference is taken, where it is much nearer.
    """
    readings = {"": _logit(output) if logits is None else np.asarray(logits, "float64")}
    if logits is None:
        readings[findings.LOGITS] = np.asarray(output, "float64")
    elif logits.min() >= 0 and logits.max() <= 1:
        readings[TWICE] = _logit(logits)
    entries = []
    for fault, values in readings.items():
        for step in [reference.Change(), *(one for one in state.truth.changes() if one.epsilon is None)]:
            expected = state.after(step)
            for order in (np.arange(output.shape[1]), _order(values, expected)):
                if order is not None:
                    moved = not np.array_equal(order, np.arange(len(order)))
                    changes = bool(fault) + (step != reference.Change()) + moved
                    error = _square(values - expected[:, order])
                    entries.append((error, changes, fault, values, order, moved))
    best = min(entries, key=lambda entry: (entry[0] * 4 ** entry[1], entry[1]))
    _, _, fault, values, order, moved = best
    came = "values beyond 0..1" if np.ptp(output) > 1 else "what a sigmoid makes the probabilities of"
    found = [Suspect(fault, "R2", "probabilities, after one sigmoid", came)] if fault else []
    if moved:
        found.append(_order_suspect(order))
    return values, order, found


def _order_suspect(order):
    apart = int((order != np.arange(len(order))).sum())
    return Suspect(
        ORDER, "R2", "output i is row i of the tag list", f"{apart} of {len(order)} outputs elsewhere"
    )


def _order(values, expected):
    """Return which column of ``expected`` each column of ``values`` is; None where that is no permutation."""
    if values.shape != expected.shape or not np.isfinite(values).all():
        return None
    a, b = values.astype("float64"), expected.astype("float64")
    nearest = np.empty(a.shape[1], np.int64)
    for at in range(0, len(nearest), 512):
        part = a[:, at : at + 512]
        nearest[at : at + 512] = np.argmin((b**2).sum(axis=0) - 2 * part.T @ b, axis=1)
    if len(np.unique(nearest)) != len(nearest):
        return None
    return nearest


def _square(differences):
    value = float(np.mean(np.square(differences, dtype="float64")))
    return value if np.isfinite(value) else np.inf


def _suspect(step, truth):
    if step.flipped:
        return Suspect(findings.RGB, "R2", "BGR", "RGB: with the channels turned around it agrees")
    if step.scale in SCALES:
        name = SCALES[step.scale]
        return Suspect(name, "R2", "0..255", name.split(" ")[0])
    if step.epsilon is not None:
        allowed = " and ".join(f"{value:g}" for value in truth.epsilons)
        return Suspect(findings.EPSILON, "parity", f"{allowed}, as the Keras model has", f"{step.epsilon:g}")
    kinds = {"gelu": "exact, by erf", "gelu_tanh": "approximated by tanh"}
    other = next(kind for kind in kinds if kind != step.gelu)
    return Suspect(KNOWN[step.gelu], "parity", f"{kinds[other]}, as the Keras model has", kinds[step.gelu])


def in_graph(found, truth):
    """Return the `Suspect`s that the constants and nodes of a graph show.

    Args:
        found: `Marks` of the graph.
        truth: the `Reference`.
    """
    named = []
    known = {float(f"{np.float32(value):.4g}") for value in truth.epsilons}
    strange = {value: count for value, count in found.epsilons.items() if value not in known}
    if strange:
        came = ", ".join(f"{value:g} in {count} places of the graph" for value, count in strange.items())
        allowed = " and ".join(f"{value:g}" for value in truth.epsilons) or "none"
        named.append(Suspect(findings.EPSILON, "parity", f"{allowed}, as the Keras model has", came))
    exact, tanh = truth.gelus("gelu"), truth.gelus("gelu_tanh")
    if found.erf < exact and found.tanh > tanh:
        came = f"{exact - found.erf} of {exact} approximated by tanh in the graph"
        named.append(Suspect(findings.TANH, "parity", "exact, by erf, as the Keras model has", came))
    if found.tanh < tanh and found.erf > exact:
        came = f"{tanh - found.tanh} of {tanh} by erf in the graph"
        named.append(Suspect(findings.EXACT, "parity", "approximated by tanh, as the Keras model has", came))
    return named
