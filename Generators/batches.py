"""Batches in numpy: what tf.data calls once a batch, with encoded images and label indexes in, arrays out."""

import contextlib
import dataclasses
from collections.abc import Callable

import cv2
import numpy as np

from Generators import augment
from Utils.command.cli import UserError
from Utils.images import codec
from Utils.images.augmentation import Augmentation
from Utils.images.buffer_pool import ThreadBuffers, pooled_array

CHANNEL_ORDERS = ("bgr", "rgb")

_scratch = ThreadBuffers()


@dataclasses.dataclass(frozen=True)
class Form:
    """The form of a batch: sides, labels, channel order. Raises UserError for what cannot be."""

    image_size: int
    num_labels: int
    channel_order: str = "bgr"

    def __post_init__(self):
        for name in ("image_size", "num_labels"):
            check_positive(name, getattr(self, name))
        if self.channel_order not in CHANNEL_ORDERS:
            raise UserError(f"channel_order must be one of {CHANNEL_ORDERS}; got {self.channel_order!r}")

    def shape(self, count):
        """Return the shape of ``count`` images."""
        return count, self.image_size, self.image_size, 3

    def fill(self, batch, ids, load):
        """Let ``load(row, image)`` fill every image of a batch with BGR; errors name the record's id.

        The images end in the channel order asked for.
        """
        for row, (image_id, image) in enumerate(zip(ids, batch, strict=True)):
            with _naming(image_id):
                load(row, image)
            if self.channel_order == "rgb":
                cv2.cvtColor(image, cv2.COLOR_BGR2RGB, dst=image)
        return batch


@dataclasses.dataclass(frozen=True)
class TrainBatch:
    """Make a host's rows of the augmented batch of a step: a function of (seed, step) and the records alone.

    Of the global batch of ``batch_size``, ``rows`` are made and ``given`` come in: the rows of the lanes that
    ``rows`` belong to. MixUp partners are of the same lane (see ``Generators.host_sharding``).
    """

    form: Form
    settings: Augmentation
    seed: int
    batch_size: int
    rows: slice
    given: slice
    lanes: int = 1
    reduced_decoding: bool = True
    unknown: Callable | None = None  # ids (B,) -> (B, L) bool

    @property
    def on_device(self) -> bool:
        """Whether flip, rotation and MixUp of the images are left to the device."""
        return self.settings.augment_on == "device"

    def __call__(self, step, ids, data, labels, row_lengths):
        """Return images (B, S, S, 3) uint8, labels (B, L) float32, and draws (B, 4) float32 for the device.

        Images and labels are mixed where MixUp is on. Unknown labels are -1; those of a mixed image are
        unknown where either image's are. The draws of an image are whether it is mirrored, its degrees, its
        share and its partner's row in the global batch; with ``on_device`` they are still to be applied.
        """
        step, mixes = int(step), self.settings.mixup_alpha > 0
        own, shares, partners = self._mixture(step)
        used = np.union1d(own, partners)  # rows of the global batch
        hot = multi_hot(ids, labels, row_lengths, self.form.num_labels)[used - self.given.start]
        ids, data = ids[used - self.given.start], data[used - self.given.start]
        unknown = self.unknown(ids) if self.unknown else None
        draws = self._draws(step, used)
        own, partners = np.searchsorted(used, own), np.searchsorted(used, partners)
        told = [(draws[row].flip, draws[row].degrees) for row in own]
        told = np.column_stack([told, shares, used[partners]]).astype(np.float32)
        if self.on_device or not mixes:
            batch = self._images(pooled_array(self.form.shape(len(own))), own, ids, data, draws)
        else:
            room = _scratch.array("batch", self.form.shape(len(row_lengths)))[: len(used)]
            batch = self._images(room, np.arange(len(used)), ids, data, draws)
            batch = augment.mix_images(batch, shares, partners, own)
        if mixes:
            hot = augment.mix_labels(hot, shares, partners, own)
            unknown = unknown[own] | unknown[partners] if self.unknown else None
        return batch, _marked(hot, unknown), told

    def _mixture(self, step):
        """Return the rows made, their shares, and their partners' rows: (B,) each.

        Without MixUp the shares are 1 and everybody is his own partner.
        """
        own = np.arange(self.rows.start, self.rows.stop)
        if not self.settings.mixup_alpha:
            return own, np.ones(len(own)), own
        rng = augment.generator(self.seed, augment.BATCH, step)
        shares, partners = augment.draw_mixup(self.settings.mixup_alpha, self.batch_size, rng, self.lanes)
        return own, shares[own], partners[own]

    def _draws(self, step, rows):
        """Return the augment.Draws of some rows of the global batch."""
        numbers = augment.generator(self.seed, augment.SAMPLE, step)
        numbers = numbers.random((self.batch_size, augment.NUMBERS))[rows]
        return [augment.draw(self.settings, row) for row in numbers]

    def _images(self, out, rows, ids, data, draws):
        """Fill ``out`` with the images of ``rows``: decoded and, unless the device does that, turned."""
        smallest = self.settings.crop[0] if self.reduced_decoding else None

        def load(place, image):
            row = rows[place]
            drawn = draws[row]._replace(flip=False, degrees=0.0) if self.on_device else draws[row]
            augment.sample(data[row], self.form.image_size, drawn, smallest, image)

        return self.form.fill(out, ids[rows], load)


@dataclasses.dataclass(frozen=True)
class EvalBatch:
    """Prepare a batch as serving does; fill it up to ``batch_size`` with black images of weight 0, id -1."""

    form: Form
    padding: int = codec.WHITE
    batch_size: int | None = None
    unknown: Callable | None = None  # ids (B,) -> (B, L) bool

    def __call__(self, ids, data, labels, row_lengths):
        """Return images (B, S, S, 3) uint8, labels (B, L) and weights (B,) float32, ids (B,) int64."""

        def load(row, image):
            image[:] = codec.prepare(data[row], self.form.image_size, self.padding)

        batch = self.form.fill(pooled_array(self.form.shape(len(ids))), ids, load)
        hot = multi_hot(ids, labels, row_lengths, self.form.num_labels)
        hot = _marked(hot, self.unknown(ids) if self.unknown else None)
        missing = (self.batch_size or len(ids)) - len(ids)
        return (
            _filled(batch, missing, 0),
            _filled(hot, missing, 0),
            _filled(np.ones(len(ids), np.float32), missing, 0),
            _filled(ids, missing, -1),
        )


def multi_hot(ids, labels, row_lengths, num_labels):
    """Return (B, num_labels) float32 of zeros and ones; a record without labels is all zeros.

    ``labels`` (N,) are all rows' label indexes one after another, ``row_lengths`` (B,) how many each row has.
    Raises UserError that names the record where an index is outside ``num_labels``.
    """
    rows = np.repeat(np.arange(len(ids)), row_lengths)
    outside = (labels < 0) | (labels >= num_labels)
    if outside.any():
        at = int(outside.argmax())
        raise UserError(
            f"record with image_id {ids[rows[at]]} has label index {labels[at]}; num_labels is {num_labels}, "
            f"so 0 to {num_labels - 1} are allowed. Do the shards and selected_tags.csv belong together?"
        )
    hot = np.zeros((len(ids), num_labels), np.float32)
    hot[rows, labels] = 1
    return hot


def _marked(hot, unknown):
    """Make the labels -1 that are unknown (B, L); None: all are known."""
    return hot if unknown is None else np.where(unknown, np.float32(-1), hot)


def check_positive(name, value):
    """Raise UserError unless ``value`` is an integer of at least 1."""
    if not isinstance(value, (int, np.integer)) or value < 1:
        raise UserError(f"{name} must be an integer of at least 1; got {value!r}")


def _filled(array, missing, value):
    if not missing:
        return array
    return np.concatenate([array, np.full((missing, *array.shape[1:]), value, array.dtype)])


@contextlib.contextmanager
def _naming(image_id):
    """Add the record's id to an ImageError."""
    try:
        yield
    except codec.ImageError as error:
        raise codec.ImageError(f"record with image_id {image_id}: {error}") from error
