"""Labels of a batch as the few that are not 0: what travels to the device where a tag list is long.

A row of 100,000 labels is 400 kB, of which some 30 numbers are not 0. Packed, a row of ``most`` labels is
(2 most,) float32: first the places, then the values; what is left over is value 0 at place 0, which adds
nothing. `Utils.training.packed_labels` unpacks them on the device, within the loss. Places are whole numbers
below 2^24, which float32 holds exactly.
"""

import numpy as np

from Utils.command.cli import UserError

MOST_LABELS = 2**24


def require_packable(most: int, num_labels: int) -> None:
    """Raise UserError where rows of ``num_labels`` have no room for ``most`` packed ones; 0 packs none."""
    if most < 0 or (most and not 2 * most < num_labels < MOST_LABELS):
        raise UserError(
            "packed_labels must be 0, or at least 1 and less than half of num_labels, which must be below "
            f"{MOST_LABELS:,}; got {most} of {num_labels}"
        )


def pack(labels: np.ndarray, most: int, ids: np.ndarray) -> np.ndarray:
    """Return labels (B, num_labels) packed, (B, 2 most) float32; unknown ones (-1) and mixed ones too.

    Raises UserError that names the first record with more than ``most`` labels.

    Args:
        labels: (B, num_labels) float32.
        most: labels that a row has room for.
        ids: (B,) post ids, for errors.
    """
    rows, places = np.nonzero(labels)
    counts = np.bincount(rows, minlength=len(labels))
    if counts.max(initial=0) > most:
        row = int(counts.argmax())
        raise UserError(
            f"record with image_id {ids[row]} has {counts[row]} labels, with those of its MixUp partner and "
            f"unknown ones; packed labels have room for {most}. --packed-labels off sends all of them"
        )
    column = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
    packed = np.zeros((2, len(labels), most), np.float32)
    packed[0, rows, column], packed[1, rows, column] = places, labels[rows, places]
    return np.concatenate(packed, axis=1)


def unpack(packed: np.ndarray, num_labels: int) -> np.ndarray:
    """Return the labels (B, num_labels) of `pack`; labels that are not packed as they are."""
    if packed.shape[1] == num_labels:
        return packed
    places, values = np.split(packed, 2, axis=1)
    labels = np.zeros((len(packed), num_labels), np.float32)
    np.add.at(labels, (np.arange(len(packed))[:, None], places.astype(np.int64)), values)
    return labels
