"""Charts as inline SVG: lines and points on two axes, readable without scripts, fonts or a network.

Colors are CSS variables (``--s0`` to ``--s5``), so that a page decides about light and dark.
"""

import dataclasses
import html
import math

WIDTH, HEIGHT = 420, 300
LEFT, RIGHT, TOP, BOTTOM = 46, 12, 12, 40
MOST_POINTS = 240  # of a line; more cannot be seen


@dataclasses.dataclass(frozen=True)
class Axis:
    """An axis from ``low`` to ``high``; with ``log`` both must be above 0."""

    label: str
    low: float
    high: float
    log: bool = False

    def share(self, value):
        """Return where a value lies, 0 at the low end, 1 at the high end; beyond the ends it is clipped."""
        low, high, value = (
            math.log10(max(x, 1e-300)) if self.log else x for x in (self.low, self.high, value)
        )
        return min(max((value - low) / (high - low), 0.0), 1.0) if high > low else 0.5

    def ticks(self):
        """Return ``(value, text)`` at round values within the axis."""
        if self.log:
            powers = range(
                math.ceil(math.log10(self.low) - 1e-9), math.floor(math.log10(self.high) + 1e-9) + 1
            )
            values = [10.0**power for power in powers]
            values = values if len(values) > 1 else [self.low, self.high]
            return [(value, f"{value:,.0f}" if value >= 1 else f"{value:g}") for value in values]
        step = _round_step((self.high - self.low) / 5)
        first = math.ceil(self.low / step - 1e-9)
        count = math.floor(self.high / step + 1e-9) - first + 1
        return [((first + i) * step, f"{(first + i) * step:g}") for i in range(count)]


def _round_step(step):
    size = 10 ** math.floor(math.log10(step))
    return next(times * size for times in (1, 2, 2.5, 5, 10) if times * size >= step * 0.999)


@dataclasses.dataclass(frozen=True)
class Series:
    """Points ``(x, y)`` as a line or as dots; a name puts them into the legend.

    ``dashed`` is for a mere reference, ``large`` for a dot that marks one place, ``texts`` show on hovering.
    """

    name: str
    points: list
    color: int = 0
    lines: bool = True
    dashed: bool = False
    large: bool = False
    texts: list | None = None


def chart(x, y, series, label):
    """Return an SVG element: series on two axes, a legend; ``label`` tells screen readers what it is."""
    shown = [one for one in series if one.points]
    lines = [_lines(x, y, one) for one in shown if one.lines]
    body = [_grid(x, y), *lines, *(_dots(x, y, one) for one in shown if not one.lines)]
    named = [one for one in shown if one.name]
    rows = math.ceil(len(named) / 3)
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT + 18 * rows}" role="img" aria-label="{html.escape(label)}">'
        f"{''.join(body)}{_legend(named)}</svg>"
    )


def _place(x, y, point):
    across = LEFT + x.share(point[0]) * (WIDTH - LEFT - RIGHT)
    down = HEIGHT - BOTTOM - y.share(point[1]) * (HEIGHT - TOP - BOTTOM)
    return f"{across:.1f}", f"{down:.1f}"


def _grid(x, y):
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


def _lines(x, y, series):
    step = max(1, math.ceil(len(series.points) / MOST_POINTS))
    kept = series.points[::step]
    if kept[-1] != series.points[-1]:
        kept = [*kept, series.points[-1]]
    path = "L".join(" ".join(_place(x, y, point)) for point in kept)
    dash = ' stroke-dasharray="5 4"' if series.dashed else ""
    return f'<path class="line" style="stroke:var(--s{series.color})"{dash} d="M{path}"/>'


def _dots(x, y, series):
    texts = series.texts or [""] * len(series.points)
    dots = []
    for point, text in zip(series.points, texts, strict=True):
        across, down = _place(x, y, point)
        title = f"<title>{html.escape(text)}</title>" if text else ""
        dots.append(f'<circle cx="{across}" cy="{down}" r="{5 if series.large else 3}">{title}</circle>')
    kind = "mark" if series.large else "dots"
    return f'<g class="{kind}" style="fill:var(--s{series.color})">{"".join(dots)}</g>'


def _legend(shown):
    parts = []
    for number, one in enumerate(shown):
        left = LEFT + (number % 3) * (WIDTH - LEFT) / 3
        top = HEIGHT + 12 + 18 * (number // 3)
        dash = ' stroke-dasharray="5 4"' if one.dashed else ""
        mark = (
            f'<path class="line" style="stroke:var(--s{one.color})"{dash} d="M{left:.0f} {top - 4}h18"/>'
            if one.lines
            else f'<circle style="fill:var(--s{one.color})" cx="{left + 9:.0f}" cy="{top - 4}" r="4"/>'
        )
        parts.append(f'{mark}<text x="{left + 23:.0f}" y="{top}">{html.escape(one.name)}</text>')
    return "".join(parts)
