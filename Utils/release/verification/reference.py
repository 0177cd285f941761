"""What is right: the Keras model's logits of the released tags; and what they were, had it other settings."""

import contextlib
import dataclasses

import keras
import numpy as np

from Utils.bench.timing import draw_jpeg
from Utils.command.cli import progress
from Utils.images import codec
from Utils.release import release_folder

EPSILONS = (1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-12)
GELUS = ("gelu", "gelu_tanh")
MANY = 8  # batches
BATCH_PIXELS = 2**20  # of the images that are computed at a time


@dataclasses.dataclass(frozen=True)
class Change:
    """How a model was built or is fed otherwise; the defaults change nothing."""

    flipped: bool = False  # takes RGB
    scale: tuple = (1.0, 0.0)  # of the input, factor and offset
    epsilon: float | None = None  # of all normalizations
    gelu: str | None = None  # the kind that all GELUs are of


class Reference:
    """The logits of a classifier of the zoo, in float32, for some of its outputs.

    Args:
        model: the classifier.
        chosen: int64 indices of its outputs.
    """

    def __init__(self, model, chosen):
        self.chosen = chosen
        self.model = release_folder.with_columns(model, chosen)
        self.image_size = model.input_shape[1]
        self._layers = list(self.model._flatten_layers())
        self._normalizations = [
            one for one in self._layers if isinstance(getattr(one, "epsilon", None), float)
        ]
        self._gelus = [one for one in self._layers if getattr(one, "activation", None) in GELUS]

    @property
    def epsilons(self):
        """Return the epsilons that the layers have, rising."""
        return sorted({one.epsilon for one in self._normalizations})

    def gelus(self, kind):
        """Return how many GELUs are of a kind, "gelu" (exact) or "gelu_tanh"."""
        return sum(one.activation == kind for one in self._gelus)

    def changes(self):
        """Return the `Change`s of one thing that this model can have."""
        yield Change(flipped=True)
        yield Change(scale=(255.0, 0.0))
        yield Change(scale=(127.5, 127.5))
        if self._normalizations:
            yield from (Change(epsilon=value) for value in EPSILONS if [value] != self.epsilons)
        if self._gelus:
            yield from (Change(gelu=kind) for kind in GELUS if self.gelus(kind) < len(self._gelus))

    def logits(self, pixels, change=None):
        """Return (N, L) float32 logits for (N, S, S, 3) images, 0..255 BGR."""
        batch_size = max(1, BATCH_PIXELS // self.image_size**2)
        change = change or Change()
        pixels = pixels[..., ::-1] if change.flipped else pixels
        pixels = np.ascontiguousarray(pixels, "float32") * change.scale[0] + change.scale[1]
        with self._altered(change):
            starts = shown(range(0, len(pixels), batch_size), "Keras")
            parts = [
                self.model(pixels[at : at + batch_size].astype("float32"), training=False) for at in starts
            ]
        return np.concatenate([keras.ops.convert_to_numpy(part) for part in parts])

    @contextlib.contextmanager
    def _altered(self, change):
        """Give layers other settings for a while; what is called within sees them."""
        before = [(one, "epsilon", one.epsilon) for one in self._normalizations if change.epsilon is not None]
        before += [(one, "activation", one.activation) for one in self._gelus if change.gelu is not None]
        try:
            for layer, name, _ in before:
                setattr(layer, name, change.epsilon if name == "epsilon" else change.gelu)
            yield
        finally:
            for layer, name, value in before:
                setattr(layer, name, value)

    def probes(self, count):
        """Return (2 * count, S, S, 3) float32 images that small differences show in.

        Half are drawn pictures, half have little contrast around what the input is scaled to 0: there the
        variances are small, so that an epsilon weighs.
        """
        random = np.random.default_rng(1)
        faint = self._zero() + random.normal(size=(count, *(self.image_size,) * 2, 3)) * _contrasts(count)
        drawn = samples(self.image_size, count, seed=1)
        return np.concatenate([drawn.astype("float32"), np.clip(faint, 0, 255).astype("float32")])

    def _zero(self):
        """Return the pixel that the input is scaled to 0, (3,) or a number."""
        scaling = next(
            (one for one in self._layers if hasattr(one, "factor") and hasattr(one, "offset")), None
        )
        return 127.5 if scaling is None else -np.asarray(scaling.offset) / np.asarray(scaling.factor)


def shown(batches, label):
    """Return batches to go through, with progress where there are many."""
    return progress(batches, label=label, unit="batches") if len(batches) > MANY else batches


def _contrasts(count):
    return np.geomspace(0.5, 8.0, count).reshape(-1, 1, 1, 1)


def samples(size, count, seed=0):
    """Return (count, size, size, 3) uint8 BGR drawn images, the same for the same arguments."""
    random = np.random.default_rng(seed)
    drawn = [codec.prepare(draw_jpeg(random, max(size, 64)), size) for _ in range(count)]
    return np.stack(drawn)
