"""What each client's preprocessing does to a model's scores, on the same pictures, tags and threshold."""

import dataclasses

import numpy as np
from PIL import Image

from Utils.clients import PREPARATIONS, hard_cases
from Utils.command.cli import progress
from Utils.evaluation import bootstrap, paired_bootstrap, scores, thresholds
from Utils.images import codec

OURS = "ours"
BATCH = 32


@dataclasses.dataclass(frozen=True)
class Effect:
    """One way to prepare pictures of one kind."""

    case: str
    client: str
    images: int
    pixels: float  # mean absolute difference from ours, 0..255
    f1: float
    low: float
    high: float
    difference: float  # from ours, of the same pictures
    difference_low: float
    difference_high: float

    @property
    def distinguishable(self):
        """Whether the interval of the difference leaves 0 out."""
        return self.difference_low > 0 or self.difference_high < 0


def measure(tagger, paths, labels, wanted, columns, resamples=1000, seed=0):
    """Return the `Effect`s, a list, and the threshold: where precision equals recall as prepared here.

    Args:
        tagger: of `Utils.serving.onnx_tagger`.
        paths: of N pictures.
        labels: (N, C) of the tags ``columns`` of the tagger.
        wanted: names of `Utils.clients.hard_cases.CASES`.
    """
    drawn = bootstrap.weights(len(paths), resamples, seed)
    kinds = ["stored", *(case for case in wanted if case != "stored")]
    found, threshold = [], None
    for case in kinds:
        given, apart = _inputs(case, paths, tagger.image_size)
        sides = {}
        for client, pictures in given.items():
            probabilities = _probabilities(tagger, pictures)[:, columns]
            if threshold is None:
                cut = thresholds.p_equals_r(probabilities, int(scores.positives(labels).sum()))
                threshold = cut.threshold
            sides[client] = paired_bootstrap.side_at(probabilities, labels, drawn, threshold)
        if case in wanted:
            found += [_effect(case, client, sides, apart[client], len(paths)) for client in sides]
    return found, float(threshold)


def _inputs(case, paths, size):
    """Return ``{client: (N, S, S, 3) uint8}`` and ``{client: mean difference of pixels from ours}``."""
    shape = (len(paths), size, size, 3)
    given = {client: np.empty(shape, np.uint8) for client in PREPARATIONS}
    for row, path in enumerate(progress(paths, label=f"prepare {case}", unit="images")):
        with Image.open(path) as opened:
            opened.load()
            picture = hard_cases.CASES[case](opened, size)
        for client, prepare in PREPARATIONS.items():
            given[client][row] = prepare(picture, size)
    ours = given[OURS].astype(np.float32)
    return given, {client: float(np.abs(found - ours).mean()) for client, found in given.items()}


def _probabilities(tagger, pictures):
    parts = [tagger.probabilities(pictures[at : at + BATCH]) for at in range(0, len(pictures), BATCH)]
    return np.concatenate(parts)


def _effect(case, client, sides, pixels, count):
    side, ours = sides[client], sides[OURS]
    lead = paired_bootstrap.difference(ours, side, "micro_F1")
    spread = side.interval("micro_F1")
    return Effect(
        case, client, count, pixels, side.values["micro_F1"], *spread, lead.value, lead.low, lead.high
    )


def readable(paths):
    """Return those of the paths that can be decoded, and how many cannot."""
    good = []
    for path in paths:
        try:
            codec.decode(path.read_bytes())
            good.append(path)
        except (codec.ImageError, OSError):
            continue
    return good, len(paths) - len(good)
