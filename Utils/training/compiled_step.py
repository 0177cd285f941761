"""The training step, compiled for a TPU that is not here: what it needs and what it does.

The step is that of the run: Keras' ``train_step`` of the compiled model, with its optimizer, loss and
metrics, under the same distribution, over the devices of a topology instead of those of the machine.
"""

import contextlib
import dataclasses
import hashlib
import math
import re
import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any
from unittest import mock

import keras
import numpy as np

from Utils.command.cli import WorkError
from Utils.files import user_cache
from Utils.training import console, matrix_flops, topology, weight_sharding
from Utils.training.experiment import Experiment
from Utils.training.topology import Topology
from Utils.training.weight_sharding import WeightSharding

COLLECTIVES = ("all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute")
# ``%name = f32[2380,768]{1,0:T(8,128)} all-reduce(...)``; asynchronous ones have a -start and a -done.
_COLLECTIVE = re.compile(rf"= (.*?) ({'|'.join(COLLECTIVES)})(-start)?\(")
_ARRAY = re.compile(r"\b(pred|[a-z]+?(\d+)\w*)\[([\d,]*)\]")
SAY_EVERY = 30.0  # seconds between lines while the compiler works


@dataclasses.dataclass(frozen=True)
class CompiledStep:
    """What the compiler says of one training step, per device.

    Attributes:
        fits: whether a device's memory holds it.
        memory_bytes: all that it needs at once; of a step that does not fit, what the compiler says it lacks.
        argument_bytes: weights, optimizer state, metrics and the batch.
        temporary_bytes: activations, gradients and scratch space.
        flops, bytes_accessed: of one step; None where the compiler gives none.
        matrix_flops: those of its convolutions and matrix products, as the step asks for them.
        collectives: {kind: bytes of the results} of what the devices send each other.
        estimated_seconds: the compiler's own estimate; None where it makes no sense.
        compile_seconds: what the compiler took.
    """

    fits: bool
    memory_bytes: int
    argument_bytes: int
    temporary_bytes: int
    flops: float | None
    bytes_accessed: float | None
    collectives: dict[str, int]
    estimated_seconds: float | None
    compile_seconds: float
    matrix_flops: float


@contextlib.contextmanager
def weights_without_memory() -> Iterator[None]:
    """Let variables that are made within the block take no memory: they are zeros until they are assigned.

    A step is compiled from shapes alone, and a model for many devices may not fit into this machine.
    """

    def zeros(variable: Any, initializer: Any) -> None:
        variable._value = np.broadcast_to(np.zeros((), variable.dtype), variable.shape)

    with mock.patch.object(keras.Variable, "_initialize_with_initializer", zeros):
        yield


@contextlib.contextmanager
def distributed(target: Topology, sharding: WeightSharding | None) -> Iterator[Any]:
    """Let Keras distribute over the devices of a topology within the block; yield the distribution."""
    distribution = weight_sharding.distribution(target.jax_devices, sharding)
    before = keras.distribution.distribution()
    keras.distribution.set_distribution(distribution)
    try:
        yield distribution
    finally:
        keras.distribution.set_distribution(before)


def trace(experiment: Experiment, target: Topology, batch_size: int) -> Any:
    """Return the training step of a compiled model, as JAX traces it for a topology: it has ``lower()``.

    ``batch_size`` counts images on all devices together. Raises UserError where the devices do not divide it.
    """
    import jax

    model = experiment.trained_model
    batch = _batch_shapes(experiment, batch_size)
    with distributed(target, experiment.devices.sharding) as distribution:

        def sharded(value: Any, layout: Any) -> jax.ShapeDtypeStruct:
            return jax.ShapeDtypeStruct(value.shape, value.dtype, sharding=layout.backend_layout)

        data = keras.tree.map_structure(
            lambda value: sharded(value, distribution.get_data_layout(value.shape)), batch
        )
        model._symbolic_build(data_batch=batch)  # pyright: ignore[reportAttributeAccessIssue]
        variables = (
            model.trainable_variables,
            model.non_trainable_variables,
            model.optimizer.variables,
            model.metrics_variables,
        )
        # The model was built before the distribution was set: a slot of the optimizer has no layout yet.
        state = tuple(
            [
                sharded(variable, distribution.get_variable_layout(owner))
                for variable, owner in weight_sharding.owners(part, model.trainable_variables)
            ]
            for part in variables
        )
        shardings = keras.tree.map_structure(lambda value: value.sharding, state)
        # As Keras' own make_train_function has it.
        step = jax.jit(model.train_step, donate_argnums=0, out_shardings=(None, shardings))
        return step.trace(state, data)


def _batch_shapes(experiment: Experiment, batch_size: int) -> Any:
    """Return shapes and types of a batch of the experiment's data, nothing of which is read."""
    import jax

    recipe_batch = experiment.facts["batch_size"]

    def shape(spec: Any) -> jax.ShapeDtypeStruct:
        rows, *rest = spec.shape
        if rows not in (None, recipe_batch):
            raise WorkError(f"an input of the step has {rows} rows, not the batch's {recipe_batch}")
        return jax.ShapeDtypeStruct((batch_size, *rest), spec.dtype.as_numpy_dtype)

    return keras.tree.map_structure(shape, experiment.batches(0).element_spec)


def compile_step(experiment: Experiment, target: Topology, batch_size: int, level: str) -> CompiledStep:
    """Compile the training step with an effort, "low" or "full"; what was compiled before is remembered.

    Raises WorkError where the compiler fails for another reason than memory.
    """
    console.say(f"tracing the step for {target.devices} {target.device_kind}, batch {batch_size}")
    traced = trace(experiment, target, batch_size)
    name = f"step-{digest(traced.lower(), target, level)}"
    with contextlib.suppress(TypeError):  # nothing, or something of an older version
        step = CompiledStep(**user_cache.read(name))
        console.say(f"compiled before, in {step.compile_seconds:.0f} s")
        return step
    with _saying(f"compiling, {level} effort"):
        step, _ = compiled(traced, target, level)
    user_cache.write(name, dataclasses.asdict(step))
    return step


def digest(lowered: Any, target: Topology, level: str) -> str:
    """Return the digest of all that decides what the compiler makes."""
    value = hashlib.sha256(lowered.as_text().encode())
    chip = target.name or f"{target.device_kind}, {target.memory_limit} bytes"
    for part in (chip, *topology.EFFORTS[level], *topology.versions().values()):
        value.update(f"\n{part}".encode())
    return value.hexdigest()[:32]


def compiled(traced: Any, target: Topology, level: str) -> tuple[CompiledStep, str]:
    """Compile a step that `trace` has returned; return what it needs, and the program's text, "" if none.

    Raises WorkError where the compiler fails for another reason than memory.
    """
    import jax

    lowered = traced.lower()
    arguments = sum(map(_bytes_on_a_device, jax.tree.leaves(lowered.args_info)))
    flops = matrix_flops.count(traced.jaxpr) / target.devices
    begin = time.perf_counter()
    try:
        with topology.effort(level):
            program = lowered.compile()
    except jax.errors.JaxRuntimeError as error:
        needed = topology.exceeded(str(error))
        if needed is None:
            message = str(error).splitlines()[0]
            raise WorkError(f"the compiler for {target.device_kind} fails: {message}") from error
        seconds = time.perf_counter() - begin
        temporary = max(0, needed[0] - arguments)
        return CompiledStep(False, needed[0], arguments, temporary, None, None, {}, None, seconds, flops), ""
    seconds = time.perf_counter() - begin
    memory, cost, text = program.memory_analysis(), program.cost_analysis() or {}, program.as_text()
    needed = memory.argument_size_in_bytes + memory.output_size_in_bytes - memory.alias_size_in_bytes
    needed += memory.temp_size_in_bytes + memory.generated_code_size_in_bytes
    step = CompiledStep(
        fits=needed <= target.memory_limit,
        memory_bytes=needed,
        argument_bytes=memory.argument_size_in_bytes,
        temporary_bytes=memory.temp_size_in_bytes,
        flops=_positive(cost.get("flops")),
        bytes_accessed=_positive(cost.get("bytes accessed")),
        collectives=collective_bytes(text),
        estimated_seconds=_positive(cost.get("optimal_seconds")),
        compile_seconds=seconds,
        matrix_flops=flops,
    )
    return step, text


def _positive(value: float | None) -> float | None:
    """Return a number that makes sense, None for others: the compiler's estimates may be negative."""
    return value if value is not None and math.isfinite(value) and value > 0 else None


def _bytes_on_a_device(info: Any) -> int:
    aval = info._aval if hasattr(info, "_aval") else info
    shape = info.sharding.shard_shape(info.shape) if getattr(info, "sharding", None) else info.shape
    return math.prod(shape) * aval.dtype.itemsize


def collective_bytes(program: str) -> dict[str, int]:
    """Return {kind: bytes of the results on a device} of the collectives in a compiled program's text."""
    total: Counter[str] = Counter()
    for line in program.splitlines():
        if match := _COLLECTIVE.search(line):
            shapes, kind, is_start = match.groups()
            arrays = [_array_bytes(*array.groups()) for array in _ARRAY.finditer(shapes)]
            # What starts has its operands among its results, before them.
            total[kind] += sum(arrays[len(arrays) // 2 :] if is_start else arrays)
    return dict(sorted(total.items()))


def _array_bytes(dtype: str, bits: str | None, shape: str) -> int:
    elements = math.prod(map(int, filter(None, shape.split(","))))
    return elements if dtype == "pred" else elements * int(bits or 8) // 8


@contextlib.contextmanager
def _saying(text: str) -> Iterator[None]:
    """Say a text, and then now and then how long the block has taken."""
    begin, is_done = time.monotonic(), threading.Event()

    def keep_saying() -> None:
        while not is_done.wait(SAY_EVERY):
            console.show_status(f"{text}: {time.monotonic() - begin:.0f} s")

    console.say(text)
    thread = threading.Thread(target=keep_saying, daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_done.set()
        thread.join()
