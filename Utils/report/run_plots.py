"""Plots for a run folder: the curves of its history, and a batch as the model sees it."""

import math
import os
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.axes
import matplotlib.figure
import matplotlib.ticker
import numpy as np

from Utils.files import atomic

BLUE, ORANGE, GREEN, GRAY = "#2f6db3", "#d9822b", "#3b8f5a", "#8a8a8a"


def plot_history(rows: Sequence[Mapping[str, Any]], path: str | os.PathLike) -> None:
    """Draw loss, validation F1 and learning rate against the epoch; ``rows`` are those of history.csv."""
    figure = matplotlib.figure.Figure(figsize=(11, 3.4), layout="constrained")
    loss, score, rate = figure.subplots(1, 3)
    _line(loss, rows, "loss", BLUE, "training")
    _line(loss, rows, "val_loss", ORANGE, "validation")
    loss.set_title("Loss, summed over tags")
    if loss.lines:
        loss.legend(frameon=False)
    best = _line(score, rows, "val_f1", GREEN, "F1")
    score.set_title(f"Validation F1 at P = R, best {best:.4f}" if best is not None else "No validation split")
    _line(rate, rows, "learning_rate", GRAY, "learning rate")
    rate.set_title("Learning rate")
    rate.ticklabel_format(axis="y", style="sci", scilimits=(-2, 3))
    for axes in (loss, score, rate):
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(matplotlib.ticker.MaxNLocator(integer=True, min_n_ticks=1))
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    _write(figure, path)


def _line(
    axes: matplotlib.axes.Axes, rows: Sequence[Mapping[str, Any]], key: str, color: str, label: str
) -> float | None:
    """Draw the rows that have a number in a column; return the highest, None without any."""
    points = [(row["epoch"], row[key]) for row in rows if isinstance(row.get(key), (int, float))]
    if not points:
        return None
    style = "o-" if len(points) < 3 else "-"  # a line of one point cannot be seen
    axes.plot(*zip(*points, strict=True), style, color=color, label=label, markersize=4)
    return max(value for _, value in points)


def plot_batch(
    images: np.ndarray, labels: np.ndarray, names: Sequence[str], path: str | os.PathLike, most: int = 16
) -> None:
    """Draw the first images of a batch with their tags under them.

    Args:
        images: (B, S, S, 3), 0 to 255, BGR.
        labels: (B, L), 0 to 1; a label between them, as MixUp makes it, is written after its tag.
        names: (L,) of the tags.
    """
    num_images = min(most, len(images))
    columns = min(4, num_images)
    rows = math.ceil(num_images / columns)
    figure = matplotlib.figure.Figure(figsize=(3.1 * columns, 3.9 * rows), layout="constrained")
    for index, axes in enumerate(np.ravel(figure.subplots(rows, columns, squeeze=False))):
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_color("#cccccc")
        axes.set_visible(index < num_images)
        if index < num_images:
            axes.imshow(np.asarray(images[index], np.uint8)[:, :, ::-1])
            axes.set_title(_caption(np.asarray(labels[index]), names), fontsize=7, y=-0.04, va="top")
    _write(figure, path)


def _caption(labels: np.ndarray, names: Sequence[str], most: int = 14) -> str:
    """Return the tags of an image, the strongest first, in lines of up to 42 letters."""
    order = [index for index in np.argsort(-labels, kind="stable") if labels[index] > 0]
    words = [
        str(names[int(i)]) + ("" if labels[i] == 1 else f" {labels[i]:.2f}".replace(" 0.", " ."))
        for i in order
    ]
    words = words[:most] + ([f"and {len(words) - most} more"] if len(words) > most else [])
    lines, line = [], ""
    for word in words:
        if line and len(line) + len(word) > 42:
            lines.append(line)
            line = ""
        line = f"{line}, {word}" if line else word
    # Between two dollars matplotlib would set mathematics.
    return "\n".join([*lines, line or "no tags"]).replace("$", r"\$")


def _write(figure: matplotlib.figure.Figure, path: str | os.PathLike) -> None:
    with atomic.replacing(path) as temporary, warnings.catch_warnings():
        # Letters that the font lacks are boxes; the warnings would be lines among those of the training.
        warnings.filterwarnings("ignore", "Glyph .* missing from")
        figure.savefig(temporary, dpi=110)
