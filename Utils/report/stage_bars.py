"""Where the time goes, as an SVG: one bar for each way of doing a thing, one stretch for each stage."""

import html

COLORS = ("#2f6db3", "#d9822b", "#3b8f5a", "#8e5ea2", "#c0504d", "#8a8a8a", "#4bacc6", "#9c8b3f")
WIDTH, LEFT, ROW = 860, 20, 66
_STYLE = (
    "text{font:13px system-ui,sans-serif;fill:#222}.light{fill:#fff}.ground{fill:#fff}"
    "@media(prefers-color-scheme:dark){text{fill:#ddd}.ground{fill:#1b1b1b}}"
)


def picture(title, unit, bars):
    """Return an SVG document of stacked bars.

    Args:
        bars: ``{name: {stage: amount}}``; a stage has the same color in all of them.
    """
    names = list(dict.fromkeys(stage for bar in bars.values() for stage in bar))
    longest = max((sum(bar.values()) for bar in bars.values()), default=0) or 1.0
    height = 44 + ROW * len(bars) + 22 * ((len(names) + 2) // 3) + 14
    parts = [f'<text x="{LEFT}" y="26" font-weight="600">{html.escape(title)}</text>']
    for row, (name, bar) in enumerate(bars.items()):
        parts.append(_bar(44 + ROW * row, name, bar, unit, names, (WIDTH - 2 * LEFT) / longest))
    parts += [_legend(44 + ROW * len(bars), at, name) for at, name in enumerate(names)]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
        f'aria-label="{html.escape(title)}"><style>{_STYLE}</style>'
        f'<rect class="ground" width="{WIDTH}" height="{height}"/>{"".join(parts)}</svg>\n'
    )


def _bar(top, name, bar, unit, names, scale):
    total, left = sum(bar.values()), float(LEFT)
    parts = [f'<text x="{LEFT}" y="{top + 14}">{html.escape(name)}: {total:.3g} {unit}</text>']
    for stage, amount in bar.items():
        width = amount * scale
        hint = f"<title>{html.escape(stage)}: {amount:.3g} {unit}</title>"
        color = COLORS[names.index(stage) % len(COLORS)]
        parts.append(
            f'<rect x="{left:.1f}" y="{top + 20}" width="{width:.1f}" height="28" fill="{color}">'
            f"{hint}</rect>"
        )
        if width > 44:
            parts.append(f'<text class="light" x="{left + 5:.1f}" y="{top + 39}">{amount:.2g}</text>')
        left += width
    return "".join(parts)


def _legend(top, at, name):
    left, top = LEFT + (at % 3) * 280, top + 18 + 22 * (at // 3)
    return (
        f'<rect x="{left}" y="{top - 11}" width="13" height="13" fill="{COLORS[at % len(COLORS)]}"/>'
        f'<text x="{left + 20}" y="{top}">{html.escape(name)}</text>'
    )
