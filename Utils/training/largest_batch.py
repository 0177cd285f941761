"""The largest batch whose training step fits into a device's memory (``--largest-batch``)."""

from collections.abc import Callable

from Utils.training.compiled_step import CompiledStep

UNIT = 8  # rows of a TPU's tile: batches between multiples of it cost as much as the next one
MOST = 2**16  # images on a device that are tried at most
HALVING = 3  # every third trial halves the interval: a line through two points may creep


def find(
    compile_for: Callable[[int], CompiledStep], first: int, memory_limit: int, unit: int = UNIT
) -> tuple[int, CompiledStep]:
    """Return (batch per device, its step) of the largest batch that fits; (0, the smallest's step) if none.

    Args:
        compile_for: compiles the step for so many images on a device.
        first: the batch to begin with.
        memory_limit: bytes of a device.
        unit: the answer is a multiple of this; where not even one unit fits, of 1.
    """
    tried: dict[int, CompiledStep] = {}
    guess = max(unit, first // unit * unit)
    while True:
        tried[guess] = compile_for(guess)
        low = max((batch for batch, step in tried.items() if step.fits), default=0)
        high = min((batch for batch, step in tried.items() if not step.fits), default=None)
        if low == 0 and high is not None and high <= unit:
            unit = 1
        if low >= MOST or (high is not None and high - low <= unit):
            return (low, tried[low]) if low else (0, tried[min(tried)])
        guess = _next(tried, low, high, memory_limit, unit)


def _next(tried: dict[int, CompiledStep], low: int, high: int | None, memory_limit: int, unit: int) -> int:
    """Return the next batch to try: memory grows along a line, but for what the compiler decides anew."""
    if high is None:
        most = MOST
        guess = 2 * low
    else:
        most = high - unit
        guess = (low + high) // 2
    if len(tried) > 1 and len(tried) % HALVING:
        (batch, memory), (other, other_memory) = (
            (size, tried[size].memory_bytes)
            for size in sorted(tried, key=lambda size: abs(tried[size].memory_bytes - memory_limit))[:2]
        )
        slope = (other_memory - memory) / (other - batch)
        if slope > 0:
            guess = int(batch + (memory_limit - memory) / slope)
    return min(max(guess // unit * unit, low + unit), most)
