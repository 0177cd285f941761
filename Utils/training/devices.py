"""Finds the devices and says in words what it found and what is done with them.

- tensorflow: a TPU where the environment names one (TPUStrategy), several GPUs (MirroredStrategy), one device
- jax: all devices of all hosts, data-parallel through ``keras.distribution``; many hosts are many processes
  of the same command, which find one another as the environment says (see ``SEVERAL_HOSTS``)

XLA compiles on accelerators only: on CPU it has no fast depthwise convolution and is 4 to 5 times slower
(measured on ConvNext T, TF 2.21). This is the one module of Utils that looks at a backend's own functions.
"""

import contextlib
import dataclasses
import os
import pathlib

import keras

from Utils.command.cli import UserError, WorkError

# What says that other hosts take part: Keras' names (also ..._PROCESS_ID) or JAX's (also JAX_NUM_PROCESSES
# and JAX_PROCESS_ID). On a TPU pod the list of its hosts or the machine's metadata, and JAX knows the rest.
SEVERAL_HOSTS = (
    "KERAS_DISTRIBUTION_JOB_ADDRESSES", "KERAS_DISTRIBUTION_NUM_PROCESSES", "JAX_COORDINATOR_ADDRESS",
)  # fmt: skip
POD = "TPU_WORKER_HOSTNAMES"


@dataclasses.dataclass(frozen=True)
class Devices:
    """What training runs on.

    ``text`` says it in words, ``kind`` is CPU, GPU or TPU, ``replicas`` share a global batch, ``jit_compile``
    is what "auto" means here, ``scope()`` the context in which models, optimizers and metrics are made.
    ``host`` is (index, count) of this process among those that train together; the first writes and talks.
    """

    text: str
    kind: str
    replicas: int
    jit_compile: bool
    strategy: object = None
    host: tuple = (0, 1)

    first = property(lambda self: self.host[0] == 0, doc="Whether this host writes and talks.")

    def scope(self):
        """Return the context in which everything with variables is made."""
        return self.strategy.scope() if self.strategy is not None else contextlib.nullcontext()

    def compiles(self, jit_compile):
        """Return whether XLA is used for "auto", "on" or "off"; UserError where that cannot be."""
        wanted = self.jit_compile if jit_compile == "auto" else jit_compile == "on"
        if keras.backend.backend() == "jax" and not wanted:
            raise UserError(
                "--jit-compile off cannot be had on the jax backend, which always compiles; use auto"
            )
        return wanted

    def meet(self, place):
        """Wait until all hosts are at ``place`` (a name)."""
        if self.host[1] > 1:
            from jax.experimental import multihost_utils

            multihost_utils.sync_global_devices(place)

    @contextlib.contextmanager
    def in_turn(self, place):
        """Let the first host run the block before the others do."""
        if not self.first:
            self.meet(place)
        try:
            yield
        finally:
            if self.first:
                self.meet(place)

    def stops(self, step):
        """Whether a host got SIGTERM and ``step`` is the one at which all hosts agreed to stop.

        All hosts ask at every step. One host alone catches its signals itself.
        """
        if self.host[1] == 1:
            return False
        from jax.experimental import multihost_utils

        return multihost_utils.reached_preemption_sync_point(step)

    def accumulates(self, steps):
        """Raise UserError where gradients of ``steps`` batches cannot be accumulated on these devices."""
        if steps > 1 and self.replicas > 1 and keras.backend.backend() == "tensorflow":
            raise UserError(
                f"--gradient-accumulation {steps} does not work on tensorflow with {self.replicas} devices; "
                "use one device, KERAS_BACKEND=jax, or a larger --batch-size-per-device"
            )


def on_every_replica(true):
    """Return whether ``true``, a boolean tensor, is true on every replica of a tensorflow strategy."""
    if keras.backend.backend() != "tensorflow":
        return true
    import tensorflow as tf

    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return true
    false = tf.cast(tf.logical_not(true), tf.float32)
    return context.all_reduce(tf.distribute.ReduceOp.SUM, false) == 0.0


def find():
    """Return the Devices of this process; call it before anything else touches tensorflow or jax.

    Begins a Keras session of its own: names of variables then do not depend on what the process did before.
    To clear the session later would also clear the distribution over devices that is set here.
    """
    keras.backend.clear_session()
    backend = keras.backend.backend()
    if backend == "tensorflow":
        return _tensorflow()
    if backend == "jax":
        return _jax()
    raise UserError(f"training runs on KERAS_BACKEND=tensorflow or jax; got {backend}")


def _tensorflow():
    import tensorflow as tf

    if _tpu_named():
        return _tpu(tf)
    for gpu in tf.config.list_physical_devices("GPU"):
        with contextlib.suppress(RuntimeError):  # the runtime has started already: growth stays as it is
            tf.config.experimental.set_memory_growth(gpu, True)
    kind = "GPU" if tf.config.list_physical_devices("GPU") else "CPU"
    found = [device.name for device in tf.config.list_logical_devices(kind)]
    if len(found) == 1:
        compiled = kind == "GPU"
        text = f"1 {kind} on tensorflow, {'compiled by XLA' if compiled else 'without XLA (slower on CPU)'}"
        return Devices(text, kind, 1, compiled)
    text = f"{len(found)} {kind}s on tensorflow, mirrored (MirroredStrategy), without XLA"
    return Devices(text, kind, len(found), False, tf.distribute.MirroredStrategy(found))


def _tpu_named():
    """Whether the environment speaks of a TPU: a name or address, or what a TPU VM has."""
    named = os.environ.get("TPU_NAME") or os.environ.get("TPU_ACCELERATOR_TYPE")
    return bool(named) or pathlib.Path("/dev/accel0").exists()


def _tpu(tf):
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver(tpu=os.environ.get("TPU_NAME", "local"))
        tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
        strategy = tf.distribute.TPUStrategy(resolver)
    except (ValueError, RuntimeError, tf.errors.OpError) as error:
        name = os.environ.get("TPU_NAME", "local")
        raise WorkError(f"a TPU ({name}) is named by the environment but does not answer: {error}") from error
    count = strategy.num_replicas_in_sync
    # Not jit_compile: a TPUStrategy compiles by itself.
    return Devices(f"{count} TPU cores on tensorflow (TPUStrategy)", "TPU", count, False, strategy)


def _jax():
    import tensorflow as tf

    for kind in ("GPU", "TPU"):  # tensorflow only feeds: the accelerators are jax's
        with contextlib.suppress(RuntimeError):
            tf.config.set_visible_devices([], kind)
    host = _join_hosts()
    found = keras.distribution.list_devices()
    kind = found[0].split(":")[0].upper() if found else "CPU"
    kind = {"CUDA": "GPU", "ROCM": "GPU"}.get(kind, kind)
    if len(found) == 1:
        return Devices(f"1 {kind} on jax", kind, 1, True)
    keras.distribution.set_distribution(
        keras.distribution.DataParallel(devices=found, auto_shard_dataset=False)
    )
    where = f" of {host[1]} hosts" if host[1] > 1 else ""
    text = f"{len(found)} {kind}s{where} on jax, data-parallel (keras.distribution)"
    return Devices(text, kind, len(found), True, host=host)


def _join_hosts():
    """Join the other hosts where there are any; return (index, count) of this one.

    The environment names them, or, on a TPU VM, the machine's metadata do, which JAX asks.
    """
    named = any(os.environ.get(name) for name in SEVERAL_HOSTS) or "," in os.environ.get(POD, "")
    if not named and not _tpu_named():
        return 0, 1
    import jax

    try:
        keras.distribution.initialize()
    except (ValueError, RuntimeError) as error:
        if not named:
            return 0, 1
        given = {name: os.environ[name] for name in (*SEVERAL_HOSTS, POD) if name in os.environ}
        raise WorkError(f"the environment speaks of several hosts ({given}), but: {error}") from error
    return jax.process_index(), jax.process_count()
