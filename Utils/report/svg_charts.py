"""Charts as inline SVG: lines and points on two axes, readable without scripts, fonts or a network.

Colors are CSS variables (``--s0`` to ``--s5``), so that a page decides about light and dark; `standalone`
makes a chart a file of its own. Not by matplotlib, whose SVG has neither texts on hovering nor dark mode.
"""

import dataclasses
import html
import math
from collections.abc import Iterable, Iterator, Sequence

from Utils.files.output_files import FileKind

WIDTH, HEIGHT = 420, 300
LEFT, RIGHT, TOP, BOTTOM = 46, 12, 12, 40
MAX_POINTS = 240  # of a line; more cannot be seen
LETTER, LINE = 7.2, 13  # width of a letter and height of a line of 12 px text, at most
NAMESPACE = 'xmlns="http://www.w3.org/2000/svg"'
CHART = FileKind(
    "a chart of this project", lambda path: b"color-scheme: light dark" in path.read_bytes()[:4096]
)
STYLE = """<style>
svg { color-scheme: light dark; background: var(--card); width: 100%; max-width: 680px; height: auto;
  --soft: #4b5566; --card: #fff; --grid: #d9dde4;
  --s0: #1f5fd0; --s1: #d9541e; --s2: #13805c; --s3: #a02c8f; --s4: #8a6d00; --s5: #6a7281; }
@media (prefers-color-scheme: dark) { svg { --soft: #b3bccb; --card: #1d222a; --grid: #343b47;
  --s0: #7aa7ff; --s1: #ff9466; --s2: #4fcf9f; --s3: #e48ad6; --s4: #dcbb4b; --s5: #98a2b3; } }
text { fill: var(--soft); font: 12px system-ui, sans-serif; }
.label { paint-order: stroke; stroke: var(--card); stroke-width: 3px; }
.grid { stroke: var(--grid); fill: none; }
.line { fill: none; stroke-width: 2; stroke-linejoin: round; }
.dots { fill-opacity: .6; }
.mark { stroke: var(--card); stroke-width: 1.5; }
</style>"""


@dataclasses.dataclass(frozen=True)
class Axis:
    """An axis from ``low`` to ``high``; with ``log`` both must be above 0, ``whole`` has whole ticks only."""

    label: str
    low: float
    high: float
    log: bool = False
    whole: bool = False

    def share(self, value: float) -> float:
        """Return where a value lies, 0 at the low end, 1 at the high end; beyond the ends it is clipped."""
        low, high, value = (
            math.log10(max(x, 1e-300)) if self.log else x for x in (self.low, self.high, value)
        )
        return min(max((value - low) / (high - low), 0.0), 1.0) if high > low else 0.5

    def ticks(self) -> list[tuple[float, str]]:
        """Return ``(value, text)`` at round values within the axis."""
        if self.log:
            powers = range(
                math.ceil(math.log10(self.low) - 1e-9), math.floor(math.log10(self.high) + 1e-9) + 1
            )
            values = [10.0**power for power in powers]
            values = values if len(values) > 2 else round_numbers(self.low, self.high)
            return [(value, f"{value:,.0f}" if value >= 1 else f"{value:g}") for value in values]
        step = _round_step((self.high - self.low) / 5)
        if self.whole:
            step = 5.0 if step == 2.5 else max(1.0, step)
        first = math.ceil(self.low / step - 1e-9)
        count = math.floor(self.high / step + 1e-9) - first + 1
        return [((first + i) * step, f"{(first + i) * step:g}") for i in range(count)]


def round_numbers(low: float, high: float) -> list[float]:
    """Return the numbers 1, 2, 5, 10, 20 ... (and 0.5, 0.2 ...) from ``low`` to ``high``, both above 0."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    values = [times * 10.0**power for power in range(first, last + 1) for times in (1, 2, 5)]
    return [value for value in values if low * (1 - 1e-9) <= value <= high * (1 + 1e-9)]


def _round_step(step: float) -> float:
    """Return 1, 2, 2.5 or 5 times a power of ten: the next that is not below ``step``."""
    size = 10 ** math.floor(math.log10(step))
    return next(times * size for times in (1, 2, 2.5, 5, 10) if times * size >= step * 0.999)


@dataclasses.dataclass(frozen=True)
class Series:
    """Points ``(x, y)`` as a line or as dots; a name puts them into the legend.

    ``dashed`` is for a reference line, ``large`` for dots that mark a place of a line, ``texts`` show on
    hovering, ``labels`` stand beside the dots where there is room.
    """

    name: str
    points: Sequence[tuple[float, float]]
    color: int = 0  # 0 to 5
    lines: bool = True
    dashed: bool = False
    large: bool = False
    texts: Sequence[str] | None = None  # one a point
    labels: Sequence[str] | None = None  # one a point


Box = tuple[float, float, float, float]  # left, top, right, bottom


def standalone(svg: str) -> str:
    """Return a chart as an SVG file of its own, with the colors that a page would give it."""
    head, rest = svg.split(">", 1)
    return f"{head} {NAMESPACE}>{STYLE}{rest}\n"


def chart(x: Axis, y: Axis, series: Iterable[Series], label: str) -> str:
    """Return an SVG element with series on two axes and a legend.

    Args:
        label: what the chart shows, for screen readers.
    """
    filled = [part for part in series if part.points]
    lines = [_lines(x, y, part) for part in filled if part.lines]
    dots = [_dots(x, y, part) for part in filled if not part.lines]
    body = [_grid(x, y), *lines, *dots, _labels(x, y, filled)]
    named = [part for part in filled if part.name]
    rows = math.ceil(len(named) / 3)
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT + 18 * rows}" role="img" aria-label="{html.escape(label)}">'
        f"{''.join(body)}{_legend(named)}</svg>"
    )


def _place(x: Axis, y: Axis, point: tuple[float, float]) -> tuple[str, str]:
    across = LEFT + x.share(point[0]) * (WIDTH - LEFT - RIGHT)
    down = HEIGHT - BOTTOM - y.share(point[1]) * (HEIGHT - TOP - BOTTOM)
    return f"{across:.1f}", f"{down:.1f}"


def _grid(x: Axis, y: Axis) -> str:
    parts = []
    for value, text in x.ticks():
        at, _ = _place(x, y, (value, y.low))
        parts.append(f'<path class="grid" d="M{at} {TOP}V{HEIGHT - BOTTOM}"/>')
        parts.append(f'<text x="{at}" y="{HEIGHT - BOTTOM + 15}" text-anchor="middle">{text}</text>')
    for value, text in y.ticks():
        _, at = _place(x, y, (x.low, value))
        parts.append(f'<path class="grid" d="M{LEFT} {at}H{WIDTH - RIGHT}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{at}" dy="4" text-anchor="end">{text}</text>')
    middle = (LEFT + WIDTH - RIGHT) / 2, (TOP + HEIGHT - BOTTOM) / 2
    parts.append(f'<text x="{middle[0]}" y="{HEIGHT - 6}" text-anchor="middle">{html.escape(x.label)}</text>')
    turned = f'transform="translate(12 {middle[1]}) rotate(-90)"'
    return "".join([*parts, f'<text {turned} text-anchor="middle">{html.escape(y.label)}</text>'])


def _lines(x: Axis, y: Axis, series: Series) -> str:
    step = max(1, math.ceil(len(series.points) / MAX_POINTS))
    points = series.points[::step]
    if points[-1] != series.points[-1]:
        points = [*points, series.points[-1]]
    path = "L".join(" ".join(_place(x, y, point)) for point in points)
    dash = ' stroke-dasharray="5 4"' if series.dashed else ""
    return f'<path class="line" style="stroke:var(--s{series.color})"{dash} d="M{path}"/>'


def _dots(x: Axis, y: Axis, series: Series) -> str:
    texts = series.texts or [""] * len(series.points)
    dots = []
    for point, text in zip(series.points, texts, strict=True):
        across, down = _place(x, y, point)
        title = f"<title>{html.escape(text)}</title>" if text else ""
        dots.append(f'<circle cx="{across}" cy="{down}" r="{5 if series.large else 3}">{title}</circle>')
    kind = "mark" if series.large else "dots"
    return f'<g class="{kind}" style="fill:var(--s{series.color})">{"".join(dots)}</g>'


def _labels(x: Axis, y: Axis, series: Sequence[Series]) -> str:
    """Write labels beside their dots; one that has no place free of dots and other labels is left out."""
    places = [_place(x, y, point) for part in series if not part.lines for point in part.points]
    dots = [(float(across), float(down)) for across, down in places]
    taken = [(across - 5, down - 5, across + 5, down + 5) for across, down in dots]
    parts = []
    for part in series:
        for point, text in zip(part.points, part.labels, strict=True) if part.labels else ():
            across, down = map(float, _place(x, y, point))
            width = LETTER * len(text)
            for left, top in _places_beside(across, down, width):
                box = left, top, left + width, top + LINE
                if _is_inside(box) and not any(_overlap(box, other) for other in taken):
                    taken.append(box)
                    parts.append(_label(box, across, text))
                    break
    return "".join(parts)


def _label(box: Box, across: float, text: str) -> str:
    """Write a label in its box, at the side next to its dot."""
    anchor = "start" if box[0] > across else "end" if box[2] < across else "middle"
    at = {"start": box[0], "end": box[2], "middle": (box[0] + box[2]) / 2}[anchor]
    place = f'x="{at:.1f}" y="{box[1] + 10:.1f}" text-anchor="{anchor}"'
    return f'<text class="label" {place}>{html.escape(text)}</text>'


def _places_beside(across: float, down: float, width: float) -> Iterator[tuple[float, float]]:
    """Yield left and top of the places tried for a label: right, left, above, below, then further away."""
    for away in (0, 1, 2):
        for rise in (0, -away, away) if away else (0,):
            yield across + 8, down - LINE / 2 + rise * LINE
            yield across - 8 - width, down - LINE / 2 + rise * LINE
        yield across - width / 2, down - 8 - LINE * (1 + away)
        yield across - width / 2, down + 8 + LINE * away


def _is_inside(box: Box) -> bool:
    return box[0] >= LEFT and box[2] <= WIDTH and box[1] >= TOP - 6 and box[3] <= HEIGHT - BOTTOM


def _overlap(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _legend(series: Sequence[Series]) -> str:
    parts = []
    for number, part in enumerate(series):
        left = LEFT + (number % 3) * (WIDTH - LEFT) / 3
        top = HEIGHT + 12 + 18 * (number // 3)
        dash = ' stroke-dasharray="5 4"' if part.dashed else ""
        mark = (
            f'<path class="line" style="stroke:var(--s{part.color})"{dash} d="M{left:.0f} {top - 4}h18"/>'
            if part.lines
            else f'<circle style="fill:var(--s{part.color})" cx="{left + 9:.0f}" cy="{top - 4}" r="4"/>'
        )
        parts.append(f'{mark}<text x="{left + 23:.0f}" y="{top}">{html.escape(part.name)}</text>')
    return "".join(parts)
