"""The devices that training runs on: found, described in words, and set up for the Keras backend.

- tensorflow: a TPU if the environment names one (TPUStrategy), several GPUs (MirroredStrategy), one device
- jax: all devices of all hosts, data-parallel through ``keras.distribution``, the weights on each or spread
  over several (``weight_sharding``); several hosts are several processes of the same command, which find one
  another through the environment (see ``HOST_VARIABLES``)

XLA compiles on accelerators only: on CPU it has no fast depthwise convolution and is 4 to 5 times slower
(measured on ConvNext T, TF 2.21). This is the one module of Utils that calls a backend's own functions.
"""

import contextlib
import dataclasses
import os
from collections.abc import Callable, Iterator
from typing import Any, Literal

import keras

from Utils.command import accelerators
from Utils.command.cli import UserError, WorkError
from Utils.command.machine import has_amx
from Utils.recipe.recipe import Recipe
from Utils.training import console, topology, weight_sharding
from Utils.training.topology import Topology
from Utils.training.weight_sharding import WeightSharding

# Variables that announce other hosts: Keras' (with ..._PROCESS_ID) or JAX's (with JAX_NUM_PROCESSES and
# JAX_PROCESS_ID). On a TPU pod it is the list of its hosts or the machine's metadata; JAX knows the rest.
HOST_VARIABLES = (
    "KERAS_DISTRIBUTION_JOB_ADDRESSES", "KERAS_DISTRIBUTION_NUM_PROCESSES", "JAX_COORDINATOR_ADDRESS",
)  # fmt: skip
POD_HOSTS = "TPU_WORKER_HOSTNAMES"
MEGA = 10**6


@dataclasses.dataclass(frozen=True)
class Devices:
    """The devices that training runs on, and the hosts among which they are spread.

    Attributes:
        text: the devices in words.
        kind: CPU, GPU or TPU.
        replicas: how many devices share a global batch.
        jit_compile: what ``--jit-compile auto`` means here.
        strategy: tensorflow's strategy, None for one device and on jax.
        host: (index, count) of this process among those that train together.
        sharding: how weights are spread over devices; None: each device has all of them.
    """

    text: str
    kind: str
    replicas: int
    jit_compile: bool
    strategy: Any = None
    host: tuple[int, int] = (0, 1)
    sharding: WeightSharding | None = None

    is_first_host = property(lambda self: self.host[0] == 0, doc="Whether this host writes and talks.")

    @property
    def batches_ahead(self) -> int:
        """Batches that Keras has taken from the pipeline when it says that the step of the first begins."""
        if keras.backend.backend() != "jax":
            return 0
        # A lone accelerator gets the next batch while it works on the present one.
        return 1 if self.replicas > 1 or self.kind == "CPU" else 2

    def scope(self) -> contextlib.AbstractContextManager[Any]:
        """Return the context in which models, optimizers and metrics are made."""
        return self.strategy.scope() if self.strategy is not None else contextlib.nullcontext()

    def compiles(self, jit_compile: str) -> bool:
        """Return whether XLA is used for "auto", "on" or "off"; UserError if that is impossible."""
        compiles = self.jit_compile if jit_compile == "auto" else jit_compile == "on"
        if keras.backend.backend() == "jax" and not compiles:
            raise UserError(
                "--jit-compile off is impossible on the jax backend, which always compiles; use auto"
            )
        return compiles

    @property
    def dtype_policy(self) -> Literal["float32", "mixed_bfloat16"]:
        """What ``--dtype-policy auto`` means here."""
        return "mixed_bfloat16" if self.kind == "TPU" or (self.kind == "CPU" and has_amx()) else "float32"

    def settled(self, recipe: Recipe) -> Recipe:
        """Return the recipe with what it leaves to the devices decided, and say so."""
        if recipe.dtype_policy != "auto":
            return recipe
        console.say(f"--dtype-policy auto is {self.dtype_policy} on {self.text}")
        return dataclasses.replace(recipe, dtype_policy=self.dtype_policy)

    def compiled_for(self) -> Topology | None:
        """Return these devices as what a step is compiled for; None where they do not say their memory.

        All hosts must ask; the least memory counts.
        """
        if keras.backend.backend() != "jax" or self.kind == "CPU":
            return None
        import jax
        from jax.experimental import multihost_utils

        stats = [device.memory_stats() or {} for device in jax.local_devices()]
        limit = min(values.get("bytes_limit", 0) for values in stats)
        if self.host[1] > 1:  # in MB: the numbers that hosts exchange have 32 bits
            limit = int(multihost_utils.process_allgather(limit // MEGA).min()) * MEGA
        return topology.here(limit) if limit else None

    def barrier(self, name: str) -> None:
        """Wait until all hosts have come to the barrier of that name."""
        if self.host[1] > 1:
            from jax.experimental import multihost_utils

            multihost_utils.sync_global_devices(name)

    @contextlib.contextmanager
    def first_host_first(self, name: str) -> Iterator[None]:
        """Let the first host finish the block before the others begin it; ``name`` is that of the barrier."""
        if not self.is_first_host:
            self.barrier(name)
        try:
            yield
        finally:
            if self.is_first_host:
                self.barrier(name)

    def should_stop(self, step: int) -> bool:
        """Whether a host got SIGTERM and all hosts agreed to stop after ``step``.

        Call it at every step on all hosts: JAX lets them agree on a step that none of them has passed, since
        a host that stopped alone would leave the others waiting for its gradients. False on a single host,
        whose signals the training loop catches.
        """
        if self.host[1] == 1:
            return False
        from jax.experimental import multihost_utils

        return multihost_utils.reached_preemption_sync_point(step)

    def require_accumulation(self, steps: int) -> None:
        """Raise UserError if gradients of ``steps`` batches cannot be accumulated on these devices."""
        if steps > 1 and self.replicas > 1 and keras.backend.backend() == "tensorflow":
            raise UserError(
                f"--gradient-accumulation {steps} does not work on tensorflow with {self.replicas} devices; "
                "use one device, KERAS_BACKEND=jax, or a larger --batch-size-per-device"
            )


def all_replicas(flag: Any) -> Any:
    """Return whether ``flag``, a boolean tensor, is true on every replica of a tensorflow strategy."""
    if keras.backend.backend() != "tensorflow":  # jax sees the global batch: there is one flag
        return flag
    import tensorflow as tf

    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return flag
    is_false = tf.cast(tf.logical_not(flag), tf.float32)
    return context.all_reduce(tf.distribute.ReduceOp.SUM, is_false) == 0.0


def gradient(function: Callable[[Any], Any], values: Any) -> Any:
    """Return the gradient of a scalar function at ``values``, a float array of any shape, in that shape.

    Raises:
        UserError: the backend is neither tensorflow nor jax.
    """
    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        return jax.grad(function)(values)
    if backend != "tensorflow":
        raise UserError(f"gradients are taken on KERAS_BACKEND=tensorflow or jax; got {backend}")
    import tensorflow as tf

    tensor = tf.convert_to_tensor(values)
    with tf.GradientTape() as tape:
        tape.watch(tensor)
        result = function(tensor)
    return tape.gradient(result, tensor)


def find(sharding: WeightSharding | None = None) -> Devices:
    """Return the devices of this process; call it before anything else touches tensorflow or jax.

    Clears the Keras session first, so that names of variables do not depend on what the process did before.
    Clearing it later would clear the distribution over devices that is set here, too.

    Raises UserError where the backend trains nothing, or cannot spread weights as ``sharding`` asks.
    """
    keras.backend.clear_session()
    backend = keras.backend.backend()
    if backend not in ("tensorflow", "jax"):
        raise UserError(f"training runs on KERAS_BACKEND=tensorflow or jax; got {backend}")
    if sharding is not None and backend != "jax":
        sharding.check(1)
    devices = _jax(sharding) if backend == "jax" else _tensorflow()
    if warning := accelerators.unused(devices.kind, backend):
        console.say(warning)
    return devices


def of_topology(target: Topology, sharding: WeightSharding | None = None) -> Devices:
    """Return the devices of a TPU that is not here: the model is built on this machine's CPU instead.

    Raises UserError where ``sharding`` does not divide them.
    """
    keras.backend.clear_session()
    if sharding is not None:
        sharding.check(target.devices)
    return Devices(target.text, "TPU", target.devices, True, sharding=sharding)


def _tensorflow() -> Devices:
    import tensorflow as tf

    if accelerators.has_tpu():
        return _tpu(tf)
    for gpu in tf.config.list_physical_devices("GPU"):
        with contextlib.suppress(RuntimeError):  # the runtime has started already: growth stays as it is
            tf.config.experimental.set_memory_growth(gpu, True)
    kind = "GPU" if tf.config.list_physical_devices("GPU") else "CPU"
    names = [device.name for device in tf.config.list_logical_devices(kind)]
    if len(names) == 1:
        compiled = kind == "GPU"
        text = f"1 {kind} on tensorflow, {'compiled by XLA' if compiled else 'without XLA (slower on CPU)'}"
        return Devices(text, kind, 1, compiled)
    text = f"{len(names)} {kind}s on tensorflow, mirrored (MirroredStrategy), without XLA"
    return Devices(text, kind, len(names), False, tf.distribute.MirroredStrategy(names))


def _tpu(tf: Any) -> Devices:
    name = os.environ.get("TPU_NAME", "local")
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver(tpu=name)
        tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
        strategy = tf.distribute.TPUStrategy(resolver)
    except (ValueError, RuntimeError, tf.errors.OpError) as error:
        named = any(os.environ.get(variable) for variable in accelerators.NAMED_BY)
        place = (
            f"a TPU ({name}) is named by the environment but"
            if named
            else (f"this machine has {accelerators.describe()}, which")
        )
        lacking = accelerators.LACKING["tensorflow", "TPU"]
        raise WorkError(f"{place} does not answer: {error}. Without a TPU's runtime, {lacking}") from error
    count = strategy.num_replicas_in_sync
    # Not jit_compile: a TPUStrategy compiles by itself.
    return Devices(f"{count} TPU cores on tensorflow (TPUStrategy)", "TPU", count, False, strategy)


def _jax(sharding: WeightSharding | None) -> Devices:
    import tensorflow as tf

    for kind in ("GPU", "TPU"):  # tensorflow only reads the data: the accelerators are for jax
        with contextlib.suppress(RuntimeError):
            tf.config.set_visible_devices([], kind)
    host = _join_hosts()
    names = keras.distribution.list_devices()
    kind = names[0].split(":")[0].upper() if names else "CPU"
    kind = {"CUDA": "GPU", "ROCM": "GPU"}.get(kind, kind)
    if sharding is not None:
        sharding.check(len(names))
    if len(names) == 1:
        return Devices(f"1 {kind} on jax", kind, 1, True)
    keras.distribution.set_distribution(weight_sharding.distribution(names, sharding))
    of_hosts = f" of {host[1]} hosts" if host[1] > 1 else ""
    spread = f", weights spread over {sharding.ways}" if sharding else ""
    text = f"{len(names)} {kind}s{of_hosts} on jax, data-parallel{spread} (keras.distribution)"
    return Devices(text, kind, len(names), True, host=host, sharding=sharding)


def _join_hosts() -> tuple[int, int]:
    """Connect to the other hosts, if there are any; return (index, count) of this one.

    The environment names them, or, on a TPU VM, the machine's metadata do, which JAX asks.
    """
    named = any(os.environ.get(name) for name in HOST_VARIABLES) or "," in os.environ.get(POD_HOSTS, "")
    if not named and not accelerators.has_tpu():
        return 0, 1
    import jax

    try:
        keras.distribution.initialize()
    except (ValueError, RuntimeError) as error:
        if not named:  # a TPU VM that is no part of a pod
            return 0, 1
        values = {name: os.environ[name] for name in (*HOST_VARIABLES, POD_HOSTS) if name in os.environ}
        raise WorkError(f"the environment speaks of several hosts ({values}), but: {error}") from error
    return jax.process_index(), jax.process_count()
