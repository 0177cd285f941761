"""Runs of several seeds as one row and one curve a side, with intervals over images and over seeds."""

import io
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from Utils.bench import learning
from Utils.evaluation import bootstrap, paired_bootstrap, predictions
from Utils.evaluation.paired_bootstrap import METRICS, ResampledScores

TABLE = (
    "dataset", "side", "model", "learning_rate", "images", "seeds", "micro_F1", "micro_low", "micro_high",
    "micro_seeds", "macro_F1", "macro_low", "macro_high", "macro_seeds", "cpu_seconds",
)  # fmt: skip
RESAMPLES = 1000
COLORS = ("#2f6db3", "#d9822b", "#3b8f5a", "#8a5fb0", "#8a8a8a", "#b33a3a", "#2aa6a6", "#7a6a3a")


def resampled(places: Sequence[pathlib.Path], resamples: int = RESAMPLES) -> list[ResampledScores]:
    """Return the scores of finished runs, all on the same resamples of the validation's images."""
    counts, scores = None, []
    for place in places:
        dump = predictions.load(place / "dump").require_labels()
        if counts is None:
            counts = bootstrap.resample_counts(len(dump.probabilities), resamples)
        scores.append(paired_bootstrap.score(dump.probabilities, dump.labels, counts))
    return scores


def over_seeds(runs: Sequence[ResampledScores], seed: int = 0) -> ResampledScores:
    """Return the mean of runs that differ in their seed; in every resample the runs are drawn anew, too.

    So an interval says what other images and other seeds would give. Of few runs it says the latter badly:
    two or three values hardly tell how much seeds differ.
    """
    random = np.random.default_rng(seed)
    num_resamples = len(runs[0].resampled[METRICS[0]])
    drawn = random.integers(0, len(runs), (num_resamples, len(runs)))
    rows = np.arange(num_resamples)[:, None]
    return ResampledScores(
        {metric: float(np.mean([run.values[metric] for run in runs])) for metric in METRICS},
        {
            metric: np.stack([run.resampled[metric] for run in runs], axis=1)[rows, drawn].mean(axis=1)
            for metric in METRICS
        },
    )


def row(
    dataset: str, side: str, model: str, learning_rate: float, places: Sequence[pathlib.Path]
) -> tuple[dict[str, Any], ResampledScores]:
    """Return the row of TABLE of some runs that differ in their seed, and their scores for differences."""
    runs = resampled(places)
    scores = over_seeds(runs, seed=0 if side == "ours" else 1)
    curves = [learning.curve(place) for place in places]
    facts: dict[str, Any] = {
        "dataset": dataset, "side": side, "model": model, "learning_rate": f"{learning_rate:g}",
        "images": int(curves[0][-1]["images"]), "seeds": len(places),
        "cpu_seconds": round(float(np.mean([curve[-1]["cpu_seconds"] for curve in curves])), 1),
    }  # fmt: skip
    for metric in METRICS:
        name = metric.removesuffix("_F1")
        low, high = scores.interval(metric)
        facts[metric] = round(scores.values[metric], 4)
        facts[f"{name}_low"], facts[f"{name}_high"] = round(low, 4), round(high, 4)
        facts[f"{name}_seeds"] = " ".join(f"{run.values[metric]:.4f}" for run in runs)
    return {name: facts[name] for name in TABLE}, scores


def difference_line(name: str, theirs: ResampledScores, ours: ResampledScores) -> str:
    """Return one sentence: by how much ours is above theirs, with its interval."""
    parts = []
    for metric in METRICS:
        change = paired_bootstrap.difference(theirs, ours, metric)
        said = "" if change.distinguishable else ", not distinguishable"
        label = metric.replace("_", " ")
        parts.append(f"{label} {change.value:+.4f} ({change.low:+.4f} to {change.high:+.4f}{said})")
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
            ax.set(title=f"{dataset}: {names[score]} at P = R", xlabel=names[over], ylim=(0, None))
            ax.grid(alpha=0.25)
            ax.spines[["top", "right"]].set_visible(False)
        line[0].legend(frameon=False)
    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": "learning", "svg.fonttype": "none"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()
