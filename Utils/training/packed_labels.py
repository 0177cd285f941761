"""Unpacks labels on the device that ``Generators.packed_labels`` has packed on the host."""

from Utils.training.tensors import Tensor, ops


def unpacked(labels: Tensor, num_labels: int) -> Tensor:
    """Return labels (B, num_labels) of packed ones, (B, 2 most): places, then values; others as they are.

    They are told apart by their width: what is packed is narrower than ``num_labels``. Places that are filled
    up with 0 have the value 0, and adding is exact, so the labels are those that were packed, bit for bit.
    """
    width = labels.shape[-1]
    if width >= num_labels or width % 2:
        return labels
    places, values = ops.split(ops.cast(labels, "float32"), 2, axis=-1)
    count = ops.shape(labels)[0]
    rows = ops.expand_dims(ops.arange(count, dtype="int32"), 1) + ops.zeros_like(places, dtype="int32")
    cells = ops.stack([ops.reshape(rows, (-1,)), ops.reshape(ops.cast(places, "int32"), (-1,))], axis=-1)
    return ops.scatter(cells, ops.reshape(values, (-1,)), (count, num_labels))
