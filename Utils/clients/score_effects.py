"""The effect of each client's preprocessing on a model's scores, for the same images, tags and threshold."""

import dataclasses
import io
from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np
from PIL import Image

from Utils.clients import OURS, PREPROCESSING, hard_cases
from Utils.command.cli import progress
from Utils.evaluation import bootstrap, paired_bootstrap, scores, thresholds
from Utils.images import codec, image_reader, pillow_decoder
from Utils.serving.onnx_tagger import ServingTagger

BATCH_SIZE = 32
SCORE = "micro_F1"

ReadFile = Callable[[Any], bytes]  # path -> content


@dataclasses.dataclass(frozen=True)
class ScoreEffect:
    """The score of one preprocessing on images of one kind; intervals are 95%, of the images."""

    case: str
    client: str
    images: int
    pixels: float  # mean absolute difference from ours, 0..255
    f1: float
    low: float
    high: float
    difference: float  # of F1 from ours, on the same images
    difference_low: float
    difference_high: float


def measure_effects(
    tagger: ServingTagger,
    paths: Sequence[Any],
    labels: np.ndarray,
    cases: Collection[str],
    columns: np.ndarray,
    resamples: int = 1000,
    seed: int = 0,
    read_file: ReadFile = image_reader.read_bytes,
) -> tuple[list[ScoreEffect], float]:
    """Return the effects, case by case, and the threshold: where precision equals recall as prepared here.

    Args:
        tagger: the model.
        paths: of N images.
        labels: (N, C), 0 or 1, of the tags in ``columns``.
        cases: names in `Utils.clients.hard_cases.CASES`.
        columns: (C,) outputs of the tagger.
        resamples: of the bootstrap.
        seed: of the bootstrap.
        read_file: function path -> content of the image.
    """
    drawn = bootstrap.resample_counts(len(paths), resamples, seed)
    effects, threshold = [], np.nan
    # "stored" comes first, asked for or not, and of it ours: the threshold for all is taken there.
    for case in ["stored", *(case for case in cases if case != "stored")]:
        inputs, pixels = _prepared(case, paths, tagger, read_file)
        sides = {}
        for client, images in inputs.items():
            probabilities = _probabilities(tagger, images)[:, columns]
            if (case, client) == ("stored", OURS):
                num_positives = int(scores.positives(labels).sum())
                threshold = thresholds.p_equals_r(probabilities, num_positives).threshold
            sides[client] = paired_bootstrap.score_at(probabilities, labels, drawn, threshold)
        if case in cases:
            effects += [_effect(case, client, sides, pixels[client], len(paths)) for client in sides]
    return effects, float(threshold)


def _prepared(
    case: str, paths: Sequence[Any], tagger: ServingTagger, read_file: ReadFile
) -> tuple[dict[str, np.ndarray], dict[str, float]]:
    """Return ``{client: (N, S, S, 3)}`` and ``{client: mean difference of pixels from ours}``.

    Ours is the preparation that the tagger's own files or program describe.
    """
    size = tagger.image_size
    inputs: dict[str, np.ndarray] = {
        client: np.empty((len(paths), size, size, 3), np.uint8) for client in PREPROCESSING
    }
    inputs[OURS] = inputs[OURS].astype(np.float32)
    for row, path in enumerate(progress(paths, label=f"prepare {case}", unit="images")):
        with Image.open(io.BytesIO(read_file(path))) as opened:
            opened.load()
            image = hard_cases.CASES[case](opened, size)
        for client, prepare in PREPROCESSING.items():
            inputs[client][row] = _own(tagger, image) if client == OURS else prepare(image, size)
    ours = inputs[OURS]
    return inputs, {client: float(np.abs(images - ours).mean()) for client, images in inputs.items()}


def _own(tagger: ServingTagger, image: Image.Image) -> np.ndarray:
    if tagger.preparation is None:
        return PREPROCESSING[OURS](image, tagger.image_size)
    return tagger.preparation.fit(pillow_decoder.upright(image), tagger.image_size)


def _probabilities(tagger: ServingTagger, images: np.ndarray) -> np.ndarray:
    starts = range(0, len(images), BATCH_SIZE)
    return np.concatenate([tagger.probabilities(images[start : start + BATCH_SIZE]) for start in starts])


def _effect(
    case: str, client: str, sides: dict[str, paired_bootstrap.ModelScores], pixels: float, num_images: int
) -> ScoreEffect:
    side = sides[client]
    low, high = side.interval(SCORE)
    lead = paired_bootstrap.difference(sides[OURS], side, SCORE)
    return ScoreEffect(
        case, client, num_images, pixels, side.values[SCORE], low, high, lead.value, lead.low, lead.high
    )


def readable(
    paths: Sequence[Any], read_file: ReadFile = image_reader.read_bytes
) -> tuple[list[Any], list[Any]]:
    """Return the paths whose images can be decoded, and those whose cannot."""
    good, bad = [], []
    for path in paths:
        try:
            codec.decode(read_file(path))
        except (codec.ImageError, OSError):
            bad.append(path)
        else:
            good.append(path)
    return good, bad
