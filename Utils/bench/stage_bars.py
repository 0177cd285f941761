"""A stacked bar chart (SVG) of where time goes: one bar for each method, one segment for each stage."""

import io
from collections.abc import Mapping


def render(title: str, unit: str, bars: Mapping[str, Mapping[str, float]]) -> str:
    """Return an SVG document of stacked bars.

    Args:
        bars: ``{name: {stage: amount}}``; a stage has the same color in all of them.
    """
    import matplotlib.figure  # here: it takes as long as a short part of the benchmark

    stages = list(dict.fromkeys(stage for bar in bars.values() for stage in bar))
    names = [f"{name}: {sum(bar.values()):.3g} {unit}" for name, bar in bars.items()]
    longest = max(sum(bar.values()) for bar in bars.values())
    figure = matplotlib.figure.Figure(figsize=(9, 1.5 + 0.6 * len(bars)), layout="constrained")
    axes = figure.subplots()
    starts = [0.0] * len(bars)
    for stage in stages:
        amounts = [bar.get(stage, 0.0) for bar in bars.values()]
        drawn = axes.barh(names, amounts, left=starts, label=stage)
        # A stretch that is narrower than its number has none.
        texts = [f"{amount:.2g}" if amount > 0.05 * longest else "" for amount in amounts]
        axes.bar_label(drawn, texts, label_type="center", color="white")
        starts = [start + amount for start, amount in zip(starts, amounts, strict=True)]
    axes.invert_yaxis()
    axes.set(title=title, xlabel=unit)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower center", ncols=3, frameon=False)
    svg = io.StringIO()
    # Text stays text, and the same bars give the same bytes.
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "stage_bars"}):
        figure.savefig(svg, format="svg", metadata={"Date": None})
    return svg.getvalue()
