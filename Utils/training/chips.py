"""What the chips of TPUs can do at most, as their vendor publishes it, and what a step takes at least.

The figures are Google Cloud's: https://cloud.google.com/tpu/docs/v3, likewise v4, v5e, v5p, v6e, and for v2
the table of https://doi.org/10.1145/3360307 (Jouppi et al., CACM 2020). Of v2 and v3 a device is one of the
two cores of a chip and has half of it.
"""

import dataclasses

TERA, GIGA = 10**12, 10**9


@dataclasses.dataclass(frozen=True)
class Chip:
    """The most that one device does in a second.

    Attributes:
        flops: of bfloat16 products added up in float32. A float32 product at JAX's default precision is one
            of these, too: it takes bfloat16 parts of its factors.
        bytes_per_second: between the device and its memory.
    """

    flops: float
    bytes_per_second: float


CHIPS = {
    "v2": Chip(46 * TERA / 2, 700 * GIGA / 2),
    "v3": Chip(123 * TERA / 2, 900 * GIGA / 2),
    "v4": Chip(275 * TERA, 1200 * GIGA),
    "v5e": Chip(197 * TERA, 819 * GIGA),
    "v5p": Chip(459 * TERA, 2765 * GIGA),
    "v6e": Chip(918 * TERA, 1638 * GIGA),
}
# The SXM module, of dense products: half of the 1,979 with sparsity of https://www.nvidia.com/en-us/data-center/h200
H200 = Chip(989.5 * TERA, 4800 * GIGA)


def of_topology(name: str) -> Chip:
    """Return the chip of a topology, as ``v5e:2x4``."""
    return CHIPS[name.partition(":")[0]]


def bounds(name: str, flops: float | None, bytes_accessed: float | None) -> tuple[float | None, float | None]:
    """Return the seconds that FLOPs and bytes of a step take at least on a device of a topology.

    No step is faster than the longer of the two (the roofline, https://doi.org/10.1145/1498765.1498785). The
    compiler counts some bytes that never leave the chip, so the second may be too high.
    """
    chip = of_topology(name)
    return (
        None if flops is None else flops / chip.flops,
        None if bytes_accessed is None else bytes_accessed / chip.bytes_per_second,
    )
