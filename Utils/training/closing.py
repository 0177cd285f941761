"""What a run that is done ends with: its best epoch, the files, the next command."""

from collections.abc import Mapping, Sequence
from typing import Any

from Utils.command import programs
from Utils.tags import tag_list
from Utils.training import console, finetune_report
from Utils.training.experiment import Experiment
from Utils.training.history import best_row
from Utils.training.run_folder import Run


def say(experiment: Experiment, run: Run, selected_by: tuple[str, bool]) -> None:
    """Print the end of a finished run; after --init-from that is what each group of tags has reached."""
    if experiment.source is not None:
        finetune_report.say(experiment, run, selected_by)
        return
    dataset = experiment.dataset
    for line in lines(run.history.rows, selected_by, str(run.folder), str(run.best)):
        console.say(line)
    is_scored = experiment.validation is not None
    has_ratings = tag_list.has_ratings(dataset.tags)
    console.say(next_command(str(run.folder), str(dataset.folder), is_scored, has_ratings))


def lines(
    rows: Sequence[Mapping[str, Any]], selected_by: tuple[str, bool], folder: str, best_file: str
) -> list[str]:
    """Return the best epoch with its scores and file, and where all epochs are.

    Args:
        rows: of the history.
        selected_by: column of the best epoch, and whether its lowest value is the best.
        folder: of the run.
        best_file: the model of the best epoch.
    """
    column, lowest = selected_by
    best = best_row(rows, column, lowest)
    if best is None:
        return [f"epochs done: {len(rows)}, without a score: {best_file} is the last state"]
    names = dict.fromkeys((column, "val_f1", "val_macro_f1", "val_loss"))
    scores = [f"{name} {best[name]:.4f}" for name in names if isinstance(best.get(name), (int, float))]
    shown = [f"best model: epoch {best['epoch']} of {rows[-1]['epoch']}, {', '.join(scores)}: {best_file}"]
    return [*shown, f"all epochs: {folder}/history.csv, {folder}/curves.png"]


def next_command(folder: str, dataset: str, is_scored: bool, has_ratings: bool) -> str:
    """Return the command that follows: predictions to score, or without a validation split the release."""
    if not is_scored:
        return finetune_report.next_command(folder, dataset, False, has_ratings)
    words = "--dataset", dataset, "--split", "validation", "-o", f"{folder}_predictions"
    return programs.next_line("predict", folder, *words)
