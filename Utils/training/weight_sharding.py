"""Weights spread over devices (``--shard-model N``): where every variable and every batch lies.

The devices form a mesh, ``batch`` (devices / N) by ``model`` (N). A variable is split along the axis that its
family names for it (``SHARD_AXES``), among the N devices of a row of the mesh, and repeated in every row; its
gradient and its optimizer state are split alike. Images are spread over all devices, as without: a device
gathers the weights that it needs for its own images and sums up its part of the gradients. XLA derives these
transfers from the layouts (GSPMD, arXiv:2105.04663); together they are ZeRO's third stage (arXiv:1910.02054).
So N changes the memory of a step, not the batch nor, but for rounding, the result.
"""

import contextlib
import dataclasses
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import keras
import numpy as np

from Utils.command.cli import UserError

ShardAxes = Sequence[tuple[str, Sequence[int]]]  # (pattern of paths, axes in order of preference)
BATCH, MODEL = "batch", "model"


@dataclasses.dataclass(frozen=True)
class WeightSharding:
    """How the variables of a model are spread: in how many ways, and along which axes.

    Attributes:
        ways: the number of devices that share one copy of the weights.
        axes: the family's ``SHARD_AXES``: of the first pattern that is found in a variable's path, the first
            axis whose length ``ways`` divides.
    """

    ways: int
    axes: ShardAxes

    def check(self, num_devices: int) -> None:
        """Raise UserError where the backend cannot spread weights, or not over so many devices."""
        backend = keras.backend.backend()
        if backend != "jax":
            raise UserError(
                f"--shard-model {self.ways} works on the jax backend only; this is {backend} "
                "(set KERAS_BACKEND=jax)"
            )
        if num_devices % self.ways:
            divisors = ", ".join(str(n) for n in range(1, num_devices + 1) if num_devices % n == 0)
            raise UserError(
                f"--shard-model must divide the number of devices, {num_devices} ({divisors}); "
                f"got {self.ways}"
            )

    def axis(self, variable: Any) -> int | None:
        """Return the axis along which a variable is split; None: all of it is on every device."""
        fitting = (axis for axis in self._named(variable) if variable.shape[axis] % self.ways == 0)
        axis = next(fitting, None)
        return None if axis is None else axis % len(variable.shape)

    def _named(self, variable: Any) -> Sequence[int]:
        return next((axes for pattern, axes in self.axes if re.search(pattern, variable.path)), ())

    def bytes_on_a_device(self, variables: Iterable[Any], weights: Iterable[Any], size_of: Any) -> int:
        """Return what variables take on each device; slots of an optimizer are split as their weights."""
        return sum(
            size_of(variable) // (1 if self.axis(owner) is None else self.ways)
            for variable, owner in owners(variables, weights)
        )

    def text(self, weights: Iterable[Any]) -> str:
        """Say in words how much of a model's weights is split, and how much is not."""
        counts = {"split": [0, 0], "undivided": [0, 0], "unnamed": [0, 0]}
        for weight in weights:
            is_split, is_named = self.axis(weight) is not None, bool(self._named(weight))
            count = counts["split" if is_split else "undivided" if is_named else "unnamed"]
            count[0] += 1
            count[1] += math.prod(weight.shape)
        (split, elements), (undivided, undivided_elements), (unnamed, unnamed_elements) = counts.values()
        total = max(elements + undivided_elements + unnamed_elements, 1)
        text = (
            f"{elements / total:.1%} of the parameters ({split} weights) in {self.ways} parts; "
            f"on every device: {unnamed} small weights ({unnamed_elements:,} parameters)"
        )
        if undivided:
            text += f", {undivided} that {self.ways} does not divide ({undivided_elements:,} parameters)"
        return text


def build(ways: int, axes: ShardAxes) -> WeightSharding | None:
    """Return how weights are spread in so many ways, None for one: every device has all of them."""
    return WeightSharding(ways, axes) if ways > 1 else None


class ShardedModel(keras.distribution.ModelParallel):
    """Keras' distribution of a model over a mesh, with layouts by path and shape, and rows on all devices.

    ``devices`` are names of devices or JAX's devices, a multiple of the sharding's ways.
    """

    def __init__(self, devices: Sequence[Any], sharding: WeightSharding) -> None:
        shape = (len(devices) // sharding.ways, sharding.ways)
        mesh = keras.distribution.DeviceMesh(shape, [BATCH, MODEL], list(devices))
        super().__init__(
            layout_map=keras.distribution.LayoutMap(mesh), batch_dim_name=BATCH, auto_shard_dataset=False
        )
        self.sharding = sharding

    def get_variable_layout(self, variable: Any) -> Any:
        """Return the layout of a variable; a slot of an optimizer was made with that of its weight."""
        layout = getattr(variable, "_layout", None)
        if layout is not None:
            return layout
        axis = self.sharding.axis(variable)
        names = [MODEL if each == axis else None for each in range(len(variable.shape))]
        return keras.distribution.TensorLayout(names, self.device_mesh)

    def get_data_layout(self, data_shape: Sequence[int]) -> Any:
        """Return the layout of an array whose rows are spread over all devices, in the devices' order."""
        return _RowsOnAllDevices([None] * len(data_shape), self.device_mesh)


class _RowsOnAllDevices(keras.distribution.TensorLayout):
    """Rows along both axes of the mesh together, which Keras' layouts cannot express."""

    @property
    def backend_layout(self) -> Any:
        """JAX's sharding."""
        import jax

        mesh: Any = self.device_mesh
        return jax.sharding.NamedSharding(mesh.backend_mesh, jax.sharding.PartitionSpec((BATCH, MODEL)))


def distribution(devices: Sequence[Any], sharding: WeightSharding | None) -> Any:
    """Return Keras' distribution over devices, names or JAX's; without ``sharding`` each has all weights."""
    if sharding is not None:
        return ShardedModel(devices, sharding)
    # Keras must not shard the dataset: every host reads its own rows of a batch (Generators.host_sharding).
    return keras.distribution.DataParallel(devices=list(devices), auto_shard_dataset=False)


def to_host(variable: Any) -> np.ndarray:
    """Return a copy of a variable, all of it; where hosts have parts of it, all of them must ask."""
    value = variable.value
    if not _is_in_parts_on_hosts(value):
        # On jax the next step reuses ("donates") the variable's own buffer.
        return np.array(keras.ops.convert_to_numpy(variable))
    from jax.experimental import multihost_utils

    return np.asarray(multihost_utils.process_allgather(value, tiled=True))


@contextlib.contextmanager
def on_every_host(variables: Iterable[Any]) -> Iterator[None]:
    """Let each host have all of the variables that hosts have parts of, within the block; all enter it."""
    in_parts = [(each, each.value) for each in variables if _is_in_parts_on_hosts(each.value)]
    for variable, _ in in_parts:
        variable._value = to_host(variable)
    try:
        yield
    finally:
        for variable, value in in_parts:
            variable._value = value


def _is_in_parts_on_hosts(value: Any) -> bool:
    is_here = getattr(value, "is_fully_addressable", True)
    return not (is_here or value.is_fully_replicated)


def owners(variables: Iterable[Any], weights: Iterable[Any]) -> list[tuple[Any, Any]]:
    """Return (variable, weight) pairs: a slot of an optimizer with its weight, any other with itself.

    The last part of a slot's path begins with the path of its weight, which Keras joins by underscores.
    """
    by_name = {weight.path.replace("/", "_"): weight for weight in weights}
    return [(variable, _owner(variable, by_name)) for variable in variables]


def _owner(variable: Any, by_name: dict[str, Any]) -> Any:
    words = variable.path.split("/")[-1].split("_")
    names = ("_".join(words[:count]) for count in range(len(words) - 1, 0, -1))  # the longest first
    weight = next((by_name[name] for name in names if name in by_name), variable)
    return weight if tuple(weight.shape) == tuple(variable.shape) else variable
