"""Label issues found by cleanlab itself, tag by tag: the reference for `Utils.labels.confident_learning`.

cleanlab is an extra: everything but ``--engine cleanlab`` and its measurement works without it.
"""

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from Utils.command import programs
from Utils.command.cli import UserError
from Utils.labels.confident_learning import shift_thresholds_to_half


def load() -> Callable[..., np.ndarray]:
    """Return `cleanlab.filter.find_label_issues`; UserError if cleanlab is not installed."""
    try:
        from cleanlab.filter import find_label_issues
    except ImportError as error:
        raise UserError(
            "the engine cleanlab needs the package cleanlab, which is not installed: "
            f"{programs.install_line('audit')}; the engine fast finds the same without it"
        ) from error
    return find_label_issues


def find_label_issues(
    probabilities: np.ndarray,
    labels: np.ndarray,
    columns: Sequence[int] | np.ndarray | None = None,
    thresholds: np.ndarray | None = None,
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return what `Utils.labels.confident_learning.find_label_issues` returns, by cleanlab."""
    of_one_tag = load()
    missing, wrong = [], []
    for place, column in enumerate(range(probabilities.shape[1]) if columns is None else columns):
        p, options = probabilities[:, column].astype(np.float64), {"filter_by": "prune_by_noise_rate"}
        if thresholds is not None:
            p = shift_thresholds_to_half(p, thresholds[place])
            options = {"filter_by": "predicted_neq_given"}
        has_tag = (np.asarray(labels[:, column]) != 0).astype(np.int64)
        rows = _rows(of_one_tag, has_tag, p, options)
        for label, issues in enumerate((missing, wrong)):
            of_label = rows[has_tag[rows] == label]
            issues.append(of_label[np.lexsort((of_label, p[of_label] * (1 if label else -1)))])
    return missing, wrong


def _rows(
    of_one_tag: Callable[..., np.ndarray], has_tag: np.ndarray, p: np.ndarray, options: dict[str, Any]
) -> np.ndarray:
    """Return the rows of one tag that cleanlab doubts, rising; none if all posts have one label."""
    if not 0 < has_tag.sum() < len(has_tag):  # of one class alone nothing can be learned
        return np.empty(0, np.int64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of tags with few posts
        return np.flatnonzero(of_one_tag(has_tag, np.stack([1 - p, p], axis=1), n_jobs=1, **options))
