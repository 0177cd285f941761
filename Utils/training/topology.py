"""TPUs that are not here: their devices, as the TPU's own compiler describes them (``--topology``).

A topology is named as the compiler names it, ``v5e:2x4`` (generation, chips along each axis of the torus),
or as Google Cloud names the machine, ``v5e-8``. ``python -m Utils.training.topology NAME`` prints what
`describe` returns: libtpu ends the whole process on some mistakes, so another process asks it first.
"""

import contextlib
import dataclasses
import importlib.metadata
import json
import math
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

from Utils.command import accelerators, backend
from Utils.command.cli import UserError
from Utils.files import atomic, user_cache

GENERATIONS = {"v2": 2, "v3": 2, "v4": 3, "v5e": 2, "v5p": 3, "v6e": 2}  # axes of the torus
EXAMPLES = "v5e:2x4, v6e:4x4, v4:2x2x1"
ALLOWED = f"GENERATION:AxB ({EXAMPLES}) or a machine's name (v5e-8), of {', '.join(GENERATIONS)}"
TOPOLOGY = re.compile(r"(\w+):(\d+(?:x\d+){1,2})")
MACHINE = re.compile(r"(v\w+?)(?:litepod)?-(\d+)")
CORES_IN_NAME = ("v2", "v3", "v4", "v5p")  # whose machines are named by cores, two in a chip
# A chip whose two cores are one device, as JAX has them on the machine; v5p's are without being asked.
MEGACORE = {"v4": {"chip_config_name": "megacore"}}
UNITS = {"": 1, "B": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40, "P": 2**50}
SECONDS_TO_ANSWER = 120
TOO_LARGE = 2**20  # the side of a float32 matrix that no chip holds


@dataclasses.dataclass(frozen=True)
class Topology:
    """A TPU: its name for the compiler, its devices' number and kind, and each one's memory in bytes.

    ``memory_limit`` is what the compiler lets a program have: a little less than the chip has. The name is ""
    for the devices of this process, see `here`.
    """

    name: str
    devices: int
    device_kind: str
    memory_limit: int

    @property
    def text(self) -> str:
        """The topology in words."""
        return f"{self.devices} {self.device_kind} of {self.name}, compiled for, not here"

    @property
    def jax_devices(self) -> list[Any]:
        """JAX's devices that programs are compiled for."""
        import jax

        return list(jax_devices(self.name)) if self.name else jax.devices()


def canonical(name: str) -> str:
    """Return the compiler's name of a topology: of ``v5e-8``, ``v5e:2x4``.

    Raises UserError where the name is of neither kind, or of an unknown generation.
    """
    machine, topology = MACHINE.fullmatch(name), TOPOLOGY.fullmatch(name)
    generation = {"v5": "v5e"}.get(machine[1], machine[1]) if machine else topology[1] if topology else ""
    if generation not in GENERATIONS:
        raise UserError(f"--topology is {ALLOWED}; got {name!r}")
    if topology:
        sides = topology[2].split("x")
        if len(sides) > GENERATIONS[generation]:
            raise UserError(f"--topology {name}: {generation} has two axes, as in {generation}:2x4")
        return name
    count = int(machine[2]) if machine else 0
    chips = count // 2 if generation in CORES_IN_NAME else count
    return f"{generation}:{'x'.join(map(str, sides_of(name, chips, GENERATIONS[generation])))}"


def sides_of(name: str, chips: int, axes: int) -> tuple[int, ...]:
    """Return the sides of a slice of so many chips as Google Cloud has them: powers of 2, as equal as can be.

    Raises UserError where the number is no power of 2.
    """
    if chips < 1 or chips & (chips - 1):
        raise UserError(f"--topology {name}: a machine has a power of 2 of chips; got {chips}")
    sides = [1] * axes
    for _ in range(chips.bit_length() - 1):
        sides[max(axis for axis in range(axes) if sides[axis] == min(sides))] *= 2
    # They rise, but for a host with four chips of a torus of three axes, 2 x 2 x 1.
    return tuple(sides if chips > 4 or axes == 2 else reversed(sides))


def find(name: str) -> Topology | None:
    """Return a topology by its name, None for ""; ``backend.prepare_compiler`` was called before.

    Raises UserError where the compiler knows no such topology.
    """
    if not name:
        return None
    name = canonical(name)
    answer_name = f"topology-{name.replace(':', '-')}-{versions()['libtpu']}"
    with contextlib.suppress(TypeError):  # nothing, or something of an older version
        return Topology(**user_cache.read(answer_name))
    done = subprocess.run(
        [sys.executable, "-m", __name__, name],
        cwd=atomic.ROOT,
        env=os.environ | backend.COMPILE_ONLY | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        timeout=SECONDS_TO_ANSWER,
    )
    lines = done.stdout.splitlines()
    crashed: dict[str, Any] = {"error": "it ends with a crash"}
    answer = json.loads(lines[-1]) if done.returncode == 0 and lines else crashed
    if "error" in answer:
        raise UserError(f"--topology {name} is not known to the TPU's compiler: {answer['error']}; {ALLOWED}")
    user_cache.write(answer_name, answer)
    return Topology(**answer)


def here(memory_limit: int) -> Topology:
    """Return the devices of this process, and of the hosts beside it, as what a step is compiled for."""
    import jax

    devices = jax.devices()
    return Topology("", len(devices), devices[0].device_kind, memory_limit)


def describe(name: str) -> dict[str, Any]:
    """Ask the compiler: return the fields of a `Topology`, or ``{"error": message}``."""
    import jax

    try:
        devices = jax_devices(name)
    except (jax.errors.JaxRuntimeError, ValueError, NotImplementedError) as error:
        return {"error": str(error).split(": ", 1)[-1].splitlines()[0]}
    sharding = jax.sharding.NamedSharding(
        jax.sharding.Mesh(devices, ("batch",)), jax.sharding.PartitionSpec()
    )
    side = jax.ShapeDtypeStruct((TOO_LARGE, TOO_LARGE), "float32", sharding=sharding)
    small = jax.ShapeDtypeStruct((len(devices), 8), "float32", sharding=split_rows(sharding))
    jax.jit(lambda x: x.sum(0)).lower(small).compile()  # a program that talks, which not all topologies allow
    try:
        jax.jit(lambda x: x + 1).lower(side).compile()
    except jax.errors.JaxRuntimeError as error:
        limit = exceeded(str(error))
        if limit is None:
            return {"error": str(error).splitlines()[0]}
        return {
            "name": name,
            "devices": len(devices),
            "device_kind": devices[0].device_kind,
            "memory_limit": limit[1],
        }
    return {"error": "it lets a program have any memory"}


def split_rows(sharding: Any) -> Any:
    """Return the sharding over the same mesh in which the first axis of an array is split."""
    import jax

    return jax.sharding.NamedSharding(sharding.mesh, jax.sharding.PartitionSpec(*sharding.mesh.axis_names))


def jax_devices(name: str) -> Any:
    """Return JAX's devices of a topology, (devices,) objects: programs can be compiled for them, not run."""
    import numpy as np
    from jax.experimental import topologies

    generation, _, sides = name.partition(":")
    options: dict[str, Any] = dict(MEGACORE.get(generation, {}))
    lengths = list(map(int, sides.split("x")))
    if math.prod(lengths) < 4:  # a host of fewer chips than the usual 2 x 2
        options["chips_per_host_bounds"] = [*lengths, 1, 1][:3]
    with backend.without_chatter():
        return np.array(topologies.get_topology_desc(platform="tpu", topology_name=name, **options).devices)


def exceeded(message: str) -> tuple[int, int] | None:
    """Return (needed, allowed) bytes of a message of the compiler that memory is exhausted, else None."""
    if "RESOURCE_EXHAUSTED" not in message:
        return None
    number = r"([\d.]+)([KMGTP]?)i?B?"
    for pattern in (rf"Used {number} of {number} hbm", rf"\({number}\) exceeds available HBM \({number}\)"):
        if match := re.search(pattern, message):
            needed, allowed = (float(match[i]) * UNITS[match[i + 1]] for i in (1, 3))
            return round(needed), round(allowed)
    return None


def versions() -> dict[str, str]:
    """Return the versions of jax and libtpu: what a compiled program depends on beside its text.

    A machine without TPUs may lack libtpu.
    """
    names = ("jax", "libtpu") if accelerators.has_libtpu() else ("jax", "jaxlib")
    return {package: importlib.metadata.version(package) for package in names}


# Levels of optimizing for speed, and for memory; jax itself compiles with those of "full". At O0 for memory
# the compiler recomputes nothing, and refuses steps that it would make fit otherwise.
EFFORTS = {"low": ("O0", "O1"), "full": ("UNKNOWN", "O2")}


@contextlib.contextmanager
def effort(level: str) -> Iterator[None]:
    """Let jax compile with an effort, "low" or "full", within the block.

    Low leaves out the costly searches for faster programs and for programs that need less memory.
    """
    import jax

    names = ("jax_optimization_level", "jax_memory_fitting_level")
    before = {name: getattr(jax.config, name) for name in names}
    try:
        for name, value in zip(names, EFFORTS[level], strict=True):
            jax.config.update(name, value)
        yield
    finally:
        for name, value in before.items():
            jax.config.update(name, value)


if __name__ == "__main__":
    print(json.dumps(describe(sys.argv[1])))
