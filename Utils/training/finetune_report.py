"""What a fine-tuning ends with: kept tags before and after, new tags, the best model, the next command."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from Utils.command.text import join_names
from Utils.recipe import initial_weights
from Utils.tags import tag_list
from Utils.training import console
from Utils.training.experiment import Experiment
from Utils.training.run_folder import Run

FEW = 0.5  # share of new tags never predicted from which on a warning is due
MOST_LOST = 0.02  # F1 of kept tags, from which on a warning is due
MIN_POSITIVES = 10  # training pictures below which hardly any tag is learned


def say(experiment: Experiment, run: Run, selected_by: tuple[str, bool]) -> None:
    """Print what a finished run with initial weights has reached, and the next command; else nothing."""
    if experiment.source is None:
        return
    counts = {group: len(columns) for group, columns in experiment.groups.items()}
    before = initial_weights.scores_before(run.folder)
    for line in lines(run.history.rows, before, counts, selected_by):
        console.say(line)
    dataset = experiment.dataset
    has_ratings = tag_list.has_ratings(dataset.tags)
    console.say(next_command(str(run.folder), str(dataset.folder), experiment.recipe.probe, has_ratings))


def lines(
    rows: Sequence[Mapping[str, Any]],
    before: Mapping[str, float],
    counts: Mapping[str, int],
    selected_by: tuple[str, bool],
) -> list[str]:
    """Return the table of a finished fine-tuning, and a warning where new tags have not been learned.

    Args:
        rows: of the history, with the scores of the groups ``kept`` and ``new``.
        before: scores before the first step, by name.
        counts: tags of each group.
        selected_by: column of the best epoch, and whether its lowest value is the best.
    """
    column, lowest = selected_by
    scored = [row for row in rows if isinstance(row.get(column), (int, float))]
    if not scored or "val_new_f1" not in scored[0]:
        return []
    best = (min if lowest else max)(scored, key=lambda row: row[column])
    shown = [
        f"best model: epoch {best['epoch']} of {rows[-1]['epoch']}. On the validation split, each group of "
        "tags at its threshold where precision equals recall:"
    ]
    if "kept" in counts:
        kept_before = f"{before['kept_f1']:.4f}" if "kept_f1" in before else "not measured"
        now = best["val_kept_f1"]
        shown.append(f"{counts['kept']:>7} kept tags: micro F1 {kept_before} before, {now:.4f} now")
    micro, macro = best["val_new_f1"], best["val_new_macro_f1"]
    silent = best["val_new_never_predicted"]
    shown.append(
        f"{counts['new']:>7} new tags: micro F1 {micro:.4f}, macro F1 {macro:.4f}; {silent:.0f} that the "
        "split has are never predicted"
    )
    return [*shown, *_warnings(best, before, counts)]


def _warnings(best: Mapping[str, Any], before: Mapping[str, float], counts: Mapping[str, int]) -> list[str]:
    warnings = []
    if best["val_new_never_predicted"] >= max(1, FEW * counts["new"]):
        warnings.append(
            "warning: most new tags are still at their prior, the share of pictures that have them. Longer "
            "training (--epochs), a higher --learning-rate or more pictures of each tag would teach them"
        )
    lost = before.get("kept_f1", 0.0) - best.get("val_kept_f1", 0.0)
    if round(lost, 4) > MOST_LOST:
        warnings.append(
            f"warning: kept tags have lost {lost:.3f} of F1. A lower --learned-rate-factor, --probe, or more "
            "complete labels of these tags keep them"
        )
    return warnings


def warn_of_rare(names: Sequence[str], positives: Sequence[float] | np.ndarray) -> None:
    """Say which new tags have too few training pictures to be learned."""
    pairs = zip(names, positives, strict=True)
    few = [f"{name} ({count:.0f})" for name, count in pairs if count < MIN_POSITIVES]
    if few:
        console.say(
            f"warning: {len(few)} of {len(names)} new tags have fewer than {MIN_POSITIVES} training "
            f"pictures, too few to be learned well: {join_names(few)}"
        )


def next_command(run_dir: str, dataset: str, probe: bool, has_ratings: bool) -> str:
    """Return the command that follows: the release, after a probe also the training of the body."""
    layout = "" if has_ratings else " --layout full"
    release = f"next: python tools/export_model.py {run_dir} -o {run_dir}_release{layout}"
    if not probe:
        return release
    words = f"--dataset {dataset} --init-from {run_dir} --run-dir {run_dir}_body"
    return f"{release}; to train the body, too: python train.py finetune {words}"
