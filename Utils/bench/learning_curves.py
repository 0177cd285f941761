"""Runs of several seeds as one row and one curve a side, with intervals over images and over seeds."""

import dataclasses
import io
import math
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import scipy.stats

from Utils.bench import learning
from Utils.evaluation import bootstrap, paired_bootstrap, predictions
from Utils.evaluation.paired_bootstrap import METRICS, Difference, ModelScores, ResampledScores

TABLE = (
    "dataset", "side", "model", "learning_rate", "images", "seeds", "micro_F1", "micro_low", "micro_high",
    "micro_seeds", "macro_F1", "macro_low", "macro_high", "macro_seeds", "cpu_seconds",
)  # fmt: skip
RESAMPLES = 1000
COLORS = ("#2f6db3", "#d9822b", "#3b8f5a", "#8a5fb0", "#8a8a8a", "#b33a3a", "#2aa6a6", "#7a6a3a")


@dataclasses.dataclass(frozen=True)
class SeedScores:
    """The scores of runs that differ in their seed."""

    runs: list[ModelScores]  # all on the same images and resamples

    @property
    def mean(self) -> ResampledScores:
        """Return the mean of the runs, whose interval is over images."""
        return paired_bootstrap.mean(self.runs)

    def values(self, metric: str) -> list[float]:
        """Return the score of every run."""
        return [run.values[metric] for run in self.runs]

    def interval(self, metric: str) -> tuple[float, float]:
        """Return the 95% interval of the mean over other images and other seeds; of one run, over images."""
        return _widened(self.mean.values[metric], self.mean.interval(metric), _margin([self.values(metric)]))


def _margin(sides: Sequence[Sequence[float]]) -> float:
    """Return half the 95% interval over seeds of a mean or a difference: Student's t, 0 for one run."""
    freedom = sum(len(values) - 1 for values in sides)
    if not freedom:
        return 0.0
    variance = sum(float(np.var(values, ddof=1)) / len(values) for values in sides if len(values) > 1)
    return float(scipy.stats.t.ppf(0.975, freedom)) * math.sqrt(variance)


def _widened(value: float, interval: tuple[float, float], margin: float) -> tuple[float, float]:
    """Return the interval of a sum of two independent errors, of which one has the given margin."""
    low, high = interval
    return value - math.hypot(value - low, margin), value + math.hypot(high - value, margin)


def score(places: Sequence[pathlib.Path], resamples: int = RESAMPLES) -> SeedScores:
    """Return the scores of finished runs of one side."""
    counts, runs = None, []
    for place in places:
        dump = predictions.load(place / "dump").require_labels()
        if counts is None:
            counts = bootstrap.resample_counts(len(dump.probabilities), resamples)
        runs.append(paired_bootstrap.score(dump.probabilities, dump.labels, counts))
    return SeedScores(runs)


def row(
    dataset: str, side: str, model: str, learning_rate: float, places: Sequence[pathlib.Path]
) -> tuple[dict[str, Any], SeedScores]:
    """Return the row of TABLE of some runs that differ in their seed, and their scores for differences."""
    scores = score(places)
    curves = [learning.curve(place) for place in places]
    facts: dict[str, Any] = {
        "dataset": dataset, "side": side, "model": model, "learning_rate": f"{learning_rate:g}",
        "images": int(curves[0][-1]["images"]), "seeds": len(places),
        "cpu_seconds": round(float(np.mean([curve[-1]["cpu_seconds"] for curve in curves])), 1),
    }  # fmt: skip
    for metric in METRICS:
        name = metric.removesuffix("_F1")
        low, high = scores.interval(metric)
        facts[metric] = round(scores.mean.values[metric], 4)
        facts[f"{name}_low"], facts[f"{name}_high"] = round(low, 4), round(high, 4)
        facts[f"{name}_seeds"] = " ".join(f"{value:.4f}" for value in scores.values(metric))
    return {name: facts[name] for name in TABLE}, scores


def difference(theirs: SeedScores, ours: SeedScores, metric: str) -> Difference:
    """Return by how much the mean of ours is above theirs; its 95% interval is over images and seeds."""
    change = paired_bootstrap.difference(theirs.mean, ours.mean, metric)
    margin = _margin([theirs.values(metric), ours.values(metric)])
    return Difference(change.value, *_widened(change.value, (change.low, change.high), margin))


def difference_line(name: str, theirs: SeedScores, ours: SeedScores) -> str:
    """Return one sentence: by how much ours is above theirs, with its interval over images and seeds."""
    parts = []
    for metric in METRICS:
        change = difference(theirs, ours, metric)
        known = "" if change.distinguishable else ", not distinguishable"
        interval = f"{change.low:+.4f} to {change.high:+.4f}{known}"
        parts.append(f"{metric.replace('_', ' ')} {change.value:+.4f} ({interval})")
    return f"{name}: {', '.join(parts)}"


def text_table(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the lines of a table for the terminal."""
    lines = [f"{'':<34}{'lr':>8}{'micro F1':>10}{'95%':>18}{'macro F1':>10}{'95%':>18}{'CPU s':>9}"]
    for one in rows:
        label = f"{one['dataset']} {one['side']} {one['model']}"
        spans = [f"{one[f'{name}_low']:.4f} to {one[f'{name}_high']:.4f}" for name in ("micro", "macro")]
        lines.append(
            f"{label[:33]:<34}{one['learning_rate']:>8}{one['micro_F1']:>10.4f}{spans[0]:>18}"
            f"{one['macro_F1']:>10.4f}{spans[1]:>18}{one['cpu_seconds']:>9.1f}"
        )
    return lines


def render(groups: Mapping[str, Mapping[str, Sequence[pathlib.Path]]]) -> str:
    """Return an SVG of curves: for each dataset micro and macro F1, over images seen and over CPU seconds.

    Args:
        groups: ``{dataset: {side: folders of finished runs, one a seed}}``; a line is the mean of the seeds,
            its band the lowest and the highest of them.
    """
    import matplotlib
    import matplotlib.figure  # here: it takes as long as a short part of the benchmark

    panels = [(score, over) for over in ("images", "cpu_seconds") for score in ("f1", "macro_f1")]
    names = {"f1": "micro F1", "macro_f1": "macro F1", "images": "images seen", "cpu_seconds": "CPU seconds"}
    figure = matplotlib.figure.Figure(figsize=(15, 3.4 * len(groups)), layout="constrained")
    axes = figure.subplots(len(groups), len(panels), squeeze=False)
    for line, (dataset, sides) in zip(axes, groups.items(), strict=True):
        for ax, (score, over) in zip(line, panels, strict=True):
            for color, (side, places) in zip(COLORS, sides.items(), strict=False):
                curves = [learning.curve(place) for place in places]
                at = np.mean([[one[over] for one in curve] for curve in curves], axis=0)
                values = np.array([[one[score] for one in curve] for curve in curves])
                ax.plot(at, values.mean(axis=0), "o-", color=color, label=side, markersize=3)
                ax.fill_between(at, values.min(axis=0), values.max(axis=0), color=color, alpha=0.2)
            ax.set(title=f"{names[score]} at P = R", xlabel=names[over], ylim=(0, None))
            ax.grid(alpha=0.25)
            ax.spines[["top", "right"]].set_visible(False)
        line[0].set_ylabel(dataset)
        line[0].legend(frameon=False)
    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": "learning", "svg.fonttype": "none"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()
