"""The numpy part of the input pipeline: turns a batch's encoded images and label indexes into arrays.

tf.data calls a ``TrainBatcher`` or an ``EvalBatcher`` once a batch. Both are functions of their arguments
alone: any number of batches may be made side by side, and a run that continues at step s makes the same
batch s again.
"""

import contextlib
import dataclasses
import math
from collections.abc import Callable, Iterator
from typing import Annotated, Any, Literal

import cv2
import numpy as np

from Generators import augment, packed_labels
from Utils.command.cli import UserError
from Utils.command.limits import Checked, Limit
from Utils.images import codec
from Utils.images.augmentation import Augmentation
from Utils.images.buffer_pool import ThreadBuffers, pooled_array

POSITIVE_INTEGER = Limit(
    "an integer of at least 1", lambda value: isinstance(value, (int, np.integer)) and bool(value >= 1)
)
UnknownMask = Callable[[np.ndarray], np.ndarray]  # post ids (B,) -> (B, num_labels) bool, true: not known
# Post ids (B,), labels (B, num_labels) float32 of 0 and 1 -> labels (B, num_labels) float32, 0 to 1.
SoftLabels = Callable[[np.ndarray, np.ndarray], np.ndarray]

_scratch = ThreadBuffers()


@dataclasses.dataclass(frozen=True)
class BatchSpec(Checked):
    """The sizes of a batch and the order of its channels. Raises UserError for a value that is not allowed.

    ``batch_size`` is that of the global batch: of the rows of all hosts.
    """

    image_size: Annotated[int, POSITIVE_INTEGER]
    num_labels: Annotated[int, POSITIVE_INTEGER]
    batch_size: Annotated[int, POSITIVE_INTEGER]
    channel_order: Literal["bgr", "rgb"] = "bgr"

    def images_shape(self, count: int) -> tuple[int, int, int, int]:
        """Return the shape of ``count`` images."""
        return count, self.image_size, self.image_size, 3

    def image_bytes(self, count: int) -> int:
        """Return the bytes of ``count`` images."""
        return math.prod(self.images_shape(count))

    def fill(
        self, images: np.ndarray, ids: np.ndarray, load: Callable[[int, np.ndarray], None]
    ) -> np.ndarray:
        """Let ``load(row, image)`` write every image as BGR, then convert it to the channel order.

        Returns ``images``. An ImageError of ``load`` names the record's id.
        """
        for row, (image_id, image) in enumerate(zip(ids, images, strict=True)):
            with _naming(image_id):
                load(row, image)
            if self.channel_order == "rgb":
                cv2.cvtColor(image, cv2.COLOR_BGR2RGB, dst=image)
        return images


@dataclasses.dataclass(frozen=True)
class TrainBatcher:
    """Makes a host's rows of the augmented global batch of a step from (seed, step) and the records.

    Args:
        spec: of the global batch.
        augmentation: what is drawn for every image.
        seed: of the draws.
        rows: the host's rows of the global batch, which are made.
        rows_read: the rows whose records come in: all of the streams that ``rows`` belong to.
        streams: number of streams of the global batch. MixUp draws partners within a stream, since a host
            does not read the others (see ``Generators.host_sharding``).
        reduced_decoding: decode JPEGs much larger than needed at a fraction of their size.
        unknown: which labels of the posts are not known.
        teacher: adds labels that records lack, before MixUp.
        packed_labels: room for so many labels an image, packed as in ``Generators.packed_labels``; 0: all.
        when_ready: called with the step of every batch that is made, in the thread that has made it.
    """

    spec: BatchSpec
    augmentation: Augmentation
    seed: int
    rows: slice
    rows_read: slice
    streams: int = 1
    reduced_decoding: bool = True
    unknown: UnknownMask | None = None
    teacher: SoftLabels | None = None
    packed_labels: int = 0
    when_ready: Callable[[int], None] | None = None

    @property
    def labels_width(self) -> int:
        """Numbers of a row of labels."""
        return 2 * self.packed_labels or self.spec.num_labels

    @property
    def bytes_filled(self) -> int:
        """Bytes of a batch in the making: MixUp takes the images of one array to make those of another."""
        return 2 * self.spec.image_bytes(self.rows.stop - self.rows.start)

    @property
    def on_device(self) -> bool:
        """Whether flip, rotation and MixUp of the images are left to the device."""
        return self.augmentation.augment_on == "device"

    def __call__(
        self, step: int, ids: np.ndarray, data: np.ndarray, labels: np.ndarray, row_lengths: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return images (B, S, S, 3) uint8, labels (B, labels_width) float32, device draws (B, 4) float32.

        Images and labels are mixed where MixUp is on. Unknown labels are -1; a label of a mixed image is
        unknown where either image's is. The device draws of an image are: mirrored or not, degrees, its share
        in the mixture, its partner's row in the global batch. With ``on_device`` they are still to be applied
        to the images; labels are mixed here in any case.
        """
        step, mixes = int(step), self.augmentation.mixup_alpha > 0
        rows, shares, partners = self._mixup(step)
        # Of the rows read, only the host's and their partners are decoded. Places below are places in `used`.
        used = np.union1d(rows, partners)  # rows of the global batch, in order
        labels = multi_hot(ids, labels, row_lengths, self.spec.num_labels)[used - self.rows_read.start]
        ids, data = ids[used - self.rows_read.start], data[used - self.rows_read.start]
        labels = self.teacher(ids, labels) if self.teacher else labels
        unknown = self.unknown(ids) if self.unknown else None
        draws = self._draws(step, used)
        places, partner_places = np.searchsorted(used, rows), np.searchsorted(used, partners)
        if self.on_device or not mixes:
            images = pooled_array(self.spec.images_shape(len(rows)))
            images = self._augment(images, places, ids, data, draws)
        else:
            # The unmixed images are not handed out, so the thread's own memory is enough for them. Its size
            # must not depend on `used`, which differs between batches, or it would be allocated each time.
            scratch = _scratch.array("batch", self.spec.images_shape(len(row_lengths)))[: len(used)]
            images = self._augment(scratch, np.arange(len(used)), ids, data, draws)
            images = augment.mix_images(images, shares, partner_places, places)
        if mixes:
            labels = augment.mix_labels(labels, shares, partner_places, places)
            unknown = None if unknown is None else unknown[places] | unknown[partner_places]
        # The draws are returned even if the host used them: tf.numpy_function's outputs are fixed.
        turns = [(draws[place].flip, draws[place].degrees) for place in places]
        device_draws = np.column_stack([turns, shares, partners]).astype(np.float32)
        labels = _mark_unknown(labels, unknown)
        if self.packed_labels:
            labels = packed_labels.pack(labels, self.packed_labels, ids[places])
        if self.when_ready:
            self.when_ready(step)
        return images, labels, device_draws

    def _mixup(self, step: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the host's rows, their shares in the mixtures, and their partners' rows: (B,) each.

        Without MixUp each image is paired with itself, with share 1.
        """
        rows = np.arange(self.rows.start, self.rows.stop)
        if not self.augmentation.mixup_alpha:
            return rows, np.ones(len(rows)), rows
        # Drawn for the whole global batch, then cut, so that the number of hosts changes nothing.
        rng = augment.generator(self.seed, augment.BATCH, step)
        shares, partners = augment.draw_mixup(
            self.augmentation.mixup_alpha, self.spec.batch_size, rng, self.streams
        )
        return rows, shares[rows], partners[rows]

    def _draws(self, step: int, rows: np.ndarray) -> list[augment.Draws]:
        """Return the draws of some rows of the global batch."""
        rng = augment.generator(self.seed, augment.SAMPLE, step)
        # For all rows, though few may be asked for: so a row's numbers do not depend on the host.
        numbers = rng.random((self.spec.batch_size, augment.NUMBERS))[rows]
        return [augment.draw(self.augmentation, row) for row in numbers]

    def _augment(
        self,
        out: np.ndarray,
        places: np.ndarray,
        ids: np.ndarray,
        data: np.ndarray,
        draws: list[augment.Draws],
    ) -> np.ndarray:
        """Fill ``out`` with the images at ``places``, augmented as far as the host has to."""
        smallest_crop = self.augmentation.crop[0] if self.reduced_decoding else None

        def load(row: int, image: np.ndarray) -> None:
            place = int(places[row])
            drawn = draws[place]._replace(flip=False, degrees=0.0) if self.on_device else draws[place]
            augment.augment_image(data[place], self.spec.image_size, drawn, smallest_crop, image)

        return self.spec.fill(out, ids[places], load)


@dataclasses.dataclass(frozen=True)
class EvalBatcher:
    """Prepares a batch as serving does, and fills it up with black images of weight 0, id -1.

    Args:
        spec: of the global batch.
        padding: gray level around images that are not square.
        rows: rows to fill up to; None keeps what comes.
        unknown: which labels of the posts are not known: they become -1.
        packed_labels: room for so many labels an image, packed as in ``Generators.packed_labels``; 0: all.
    """

    spec: BatchSpec
    padding: int = codec.WHITE
    rows: int | None = None
    unknown: UnknownMask | None = None
    packed_labels: int = 0

    @property
    def labels_width(self) -> int:
        """Numbers of a row of labels."""
        return 2 * self.packed_labels or self.spec.num_labels

    def __call__(
        self, ids: np.ndarray, data: np.ndarray, labels: np.ndarray, row_lengths: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Return images (B, S, S, 3) uint8, labels (B, L) and weights (B,) float32, ids (B,) int64."""

        def load(row: int, image: np.ndarray) -> None:
            image[:] = codec.prepare(data[row], self.spec.image_size, self.padding)

        images = self.spec.fill(pooled_array(self.spec.images_shape(len(ids))), ids, load)
        labels = multi_hot(ids, labels, row_lengths, self.spec.num_labels)
        labels = _mark_unknown(labels, self.unknown(ids) if self.unknown else None)
        if self.packed_labels:
            labels = packed_labels.pack(labels, self.packed_labels, ids)
        missing = (self.rows or len(ids)) - len(ids)
        return (
            _filled_up(images, missing, 0),
            _filled_up(labels, missing, 0),
            _filled_up(np.ones(len(ids), np.float32), missing, 0),
            _filled_up(ids, missing, -1),
        )


def multi_hot(ids: np.ndarray, labels: np.ndarray, row_lengths: np.ndarray, num_labels: int) -> np.ndarray:
    """Return (B, num_labels) float32 of zeros and ones; a record without labels is all zeros.

    Args:
        ids: (B,) post ids, for errors.
        labels: (N,) the label indexes of all rows, one row after another.
        row_lengths: (B,) how many of them each row has.
        num_labels: labels of the dataset.

    Raises UserError that names the record where an index is outside ``num_labels``.
    """
    rows = np.repeat(np.arange(len(ids)), row_lengths)
    is_outside = (labels < 0) | (labels >= num_labels)
    if is_outside.any():
        first = int(is_outside.argmax())
        raise UserError(
            f"record with image_id {ids[rows[first]]} has label index {labels[first]}; num_labels is "
            f"{num_labels}, so 0 to {num_labels - 1} are allowed. Do the shards and selected_tags.csv belong "
            "together?"
        )
    hot = np.zeros((len(ids), num_labels), np.float32)
    hot[rows, labels] = 1
    return hot


def _mark_unknown(labels: np.ndarray, unknown: np.ndarray | None) -> np.ndarray:
    """Return labels (B, L) with -1 where ``unknown`` (B, L) is true; None means that all are known."""
    return labels if unknown is None else np.where(unknown, np.float32(-1), labels)


def _filled_up(array: np.ndarray, missing: int, value: float) -> np.ndarray:
    """Append ``missing`` rows of one value."""
    if not missing:
        return array
    return np.concatenate([array, np.full((missing, *array.shape[1:]), value, array.dtype)])


@contextlib.contextmanager
def _naming(image_id: Any) -> Iterator[None]:
    """Add the record's id to an ImageError."""
    try:
        yield
    except codec.ImageError as error:
        raise codec.ImageError(f"record with image_id {image_id}: {error}") from error
