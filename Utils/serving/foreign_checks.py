"""What the release of another project promises by its own files, checked: no rules of ours."""

import dataclasses
from collections.abc import Callable

import numpy as np

from Utils.command.cli import UserError, WorkError
from Utils.files.atomic import AnyPath
from Utils.serving import onnx_tagger, tag_selection
from Utils.tags import tag_list

TOLERANCE = 1e-4  # between probabilities of one picture, alone and among others


@dataclasses.dataclass(frozen=True)
class Check:
    """One promise: whether it is kept, None for a remark; and what was seen."""

    promise: str
    kept: bool | None
    seen: str


def check(
    path: AnyPath,
    seed: int = 0,
    load: Callable[[AnyPath], onnx_tagger.ServingTagger] = onnx_tagger.open_release,
) -> list[Check]:
    """Return the checks of a release that ``load`` opens, on four pictures of noise.

    A release that cannot be opened has one failed check, with the reason.
    """
    try:
        tagger = load(path)
    except UserError as error:
        return [Check("it opens: tag list, graph, and how pictures are prepared", False, str(error))]
    checks = [
        Check("it opens: tag list, graph, and how pictures are prepared", True, "; ".join(tagger.evidence))
    ]
    return [*checks, _rows(tagger, seed), _thresholds(tagger), _names(tagger)]


def _rows(tagger: onnx_tagger.ServingTagger, seed: int) -> Check:
    promise = "a picture gets the same probabilities alone and among others"
    shape = (4, tagger.image_size, tagger.image_size, 3)
    pictures = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    try:
        together = tagger.probabilities(pictures)
        alone = np.concatenate([tagger.probabilities(picture[None]) for picture in pictures])
    except WorkError as error:
        return Check(promise, False, str(error))
    worst = float(np.abs(together - alone).max())
    batch = f", in batches of {tagger.fixed_batch} only" if tagger.fixed_batch else ""
    return Check(promise, worst <= TOLERANCE, f"largest difference {worst:.1e}{batch}")


def _thresholds(tagger: onnx_tagger.ServingTagger) -> Check:
    promise = "published thresholds lie between 0 and 1"
    try:
        return Check(promise, True, tag_selection.thresholds_of(tagger)[1])
    except UserError as error:
        return Check(promise, False, str(error))


def _names(tagger: onnx_tagger.ServingTagger) -> Check:
    repeated = tag_list.describe_repeated(tagger.tags)
    return Check("every tag has a name of its own", None if repeated else True, repeated or "all differ")
