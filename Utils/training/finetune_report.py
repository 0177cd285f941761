"""What a fine-tuning ends with: kept tags before and after, new tags, the best model, the next command."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from Utils.command import programs
from Utils.command.text import counted, join_names
from Utils.files import atomic, csv_tables
from Utils.recipe import initial_weights
from Utils.tags import tag_list
from Utils.training import console
from Utils.training.experiment import FREQUENT, Experiment
from Utils.training.history import best_row
from Utils.training.run_folder import Run
from Utils.training.validation_metrics import PREDICTED

TAG_SCORES = "tag_scores.csv"  # in a run folder: every tag's score at the best epoch
COLUMNS = ("name", "group", "training_pictures", "validation_pictures", "predicted")  # that are read back
FEW = 0.5  # share of new tags never predicted from which on a warning is due
MOST_LOST = 0.02  # F1 of kept tags, from which on a warning is due
MIN_POSITIVES = 10  # training pictures below which hardly any tag is learned
MOST_NAMES = 10  # tags named in a line


def write_tag_scores(
    folder: atomic.AnyPath, experiment: Experiment, tag_counts: Callable[[str], pd.DataFrame]
) -> None:
    """Write ``tag_scores.csv``: what each tag has reached at the threshold of its group, kept or new.

    Args:
        folder: of the run.
        experiment: with groups.
        tag_counts: `Evaluator.tag_counts`.
    """
    frame = experiment.dataset.tags[["tag_id", "name"]].copy()
    if experiment.pictures is not None:
        frame["training_pictures"] = experiment.pictures
    else:
        frame["training_pictures"] = ""
    parts = []
    for group in ("kept", "new"):
        if group not in experiment.groups:
            continue
        counts = tag_counts(group)
        counts["f1"] = 2 * counts["correct"] / np.maximum(counts["predicted"] + counts["positives"], 1e-9)
        part = frame.iloc[experiment.groups[group]].reset_index(drop=True)
        part.insert(2, "group", group)
        parts.append(pd.concat([part, counts.rename(columns={"positives": "validation_pictures"})], axis=1))
    table = pd.concat(parts, ignore_index=True)
    for name in ("predicted", "correct"):  # within a bin of the histogram they are shares
        table[name] = table[name].round(1)
    table["validation_pictures"] = table["validation_pictures"].astype(int)
    csv_tables.write_frame(atomic.to_path(folder) / TAG_SCORES, table.round({"threshold": 4, "f1": 4}))


def say(experiment: Experiment, run: Run, selected_by: tuple[str, bool]) -> None:
    """Print what a finished run with initial weights has reached, and the next command."""
    dataset = experiment.dataset
    file = run.folder / TAG_SCORES
    texts = {"name": str, "group": str}
    table = csv_tables.read(file, "a run's scores by tag", COLUMNS, dtype=texts) if file.is_file() else None
    held = dataset.num_records("validation") if experiment.validation else 0
    groups = experiment.groups or {"kept": np.arange(dataset.num_labels)}
    counts = {group: len(columns) for group, columns in groups.items()}
    before = initial_weights.scores_before(run.folder)
    for line in lines(run.history.rows, before, counts, selected_by, held, table):
        console.say(line)
    if table is not None:
        console.say(f"the scores of {counted(len(table), 'tag')}: {file}")
    has_ratings = tag_list.has_ratings(dataset.tags)
    console.say(next_command(str(run.folder), str(dataset.folder), experiment.recipe.probe, has_ratings))


def lines(
    rows: Sequence[Mapping[str, Any]],
    before: Mapping[str, float],
    counts: Mapping[str, int],
    selected_by: tuple[str, bool],
    held: int,
    table: pd.DataFrame | None = None,
) -> list[str]:
    """Return the table of a finished fine-tuning, and a warning where new tags have not been learned.

    Args:
        rows: of the history, with the scores of the groups.
        before: scores before the first step, by name.
        counts: tags of each group.
        selected_by: column of the best epoch, and whether its lowest value is the best.
        held: pictures of the validation split.
        table: ``tag_scores.csv``, if there is one.
    """
    column, lowest = selected_by
    if not held:
        return ["what the tags have reached is not known: the dataset has no validation split"]
    best = best_row(rows, column, lowest)
    if best is None:
        return []
    shown = [
        f"best model: epoch {best['epoch']} of {rows[-1]['epoch']}. On the {counted(held, 'picture')} of the "
        "validation split, each group of tags at its threshold where precision equals recall:"
    ]
    if "val_new_f1" not in best:
        kept = _before_and_now(before.get("f1"), best["val_f1"])
        return [*shown, f"{counts['kept']:>7} kept tags: {kept}; no tag is new"]
    if "kept" in counts:
        kept = _before_and_now(before.get("kept_f1"), best["val_kept_f1"])
        shown.append(f"{counts['kept']:>7} kept tags: {kept}")
    shown += _of_new_tags(best, counts, table)
    scored_new = counts["new"] if table is None else int(_is_scored_new(table).sum())
    return [*shown, *_warnings(best, before, scored_new)]


def _is_scored_new(table: pd.DataFrame) -> pd.Series:
    return (table["group"] == "new") & (table["validation_pictures"] > 0)


def _before_and_now(before: float | None, now: float) -> str:
    return f"micro F1 {'not measured' if before is None else f'{before:.4f}'} before, {now:.4f} now"


def _of_new_tags(best: Mapping[str, Any], counts: Mapping[str, int], table: pd.DataFrame | None) -> list[str]:
    """Return the lines of new tags: all, the frequent ones, those that are never predicted or not scored."""
    new = table[table["group"] == "new"] if table is not None else None
    shown = [f"{counts['new']:>7} new tags: {_scores(best, 'new')}"]
    if "frequent_new" in counts:
        shown.append(
            f"{counts['frequent_new']:>7} of them with {FREQUENT} or more training pictures: "
            f"{_scores(best, 'frequent_new')}"
        )
    if new is None:
        return shown
    if "frequent_new" not in counts and new["training_pictures"].notna().all():
        have = "all of them have" if (new["training_pictures"] >= FREQUENT).all() else "none of them has"
        shown[0] += f"; {have} {FREQUENT} or more training pictures"
    is_scored, is_silent = new["validation_pictures"] > 0, new["predicted"] <= PREDICTED
    if (is_scored & is_silent).any():
        shown.append(f"        never predicted: {_with_pictures(new[is_scored & is_silent])}")
    if not is_scored.all():
        missing = _with_pictures(new[~is_scored])
        shown.append(f"        not scored, as no validation picture has them: {missing}")
    return shown


def _scores(best: Mapping[str, Any], group: str) -> str:
    silent = f"{best[f'val_{group}_never_predicted']:.0f} that the split has never predicted"
    return f"micro F1 {best[f'val_{group}_f1']:.4f}, macro F1 {best[f'val_{group}_macro_f1']:.4f}, {silent}"


def _with_pictures(tags: pd.DataFrame) -> str:
    """Return the names of some tags, those with the most training pictures first, and how many more."""
    tags = tags.sort_values("training_pictures", ascending=False, kind="stable")
    pairs = zip(tags["name"], tags["training_pictures"], strict=True)
    names = [name if pd.isna(count) else f"{name} ({count:.0f})" for name, count in pairs]
    return f"{len(names)} with their training pictures: {join_names(names, MOST_NAMES)}"


def _warnings(best: Mapping[str, Any], before: Mapping[str, float], scored_new: int) -> list[str]:
    warnings = []
    if best["val_new_never_predicted"] >= max(1, FEW * scored_new):
        warnings.append(
            f"warning: most new tags, {best['val_new_never_predicted']:.0f} of {scored_new}, are still at "
            "their prior, the share of pictures that have them. Longer training (--epochs), a higher "
            "--learning-rate or more pictures of each tag would teach them"
        )
    lost = before.get("kept_f1", 0.0) - best.get("val_kept_f1", 0.0)
    if round(lost, 4) > MOST_LOST:
        warnings.append(
            f"warning: kept tags have lost {lost:.3f} of F1. A lower --learned-rate-factor, --probe, or more "
            "complete labels of these tags keep them"
        )
    return warnings


def warn_of_differences(file: atomic.AnyPath, differences: Sequence[str]) -> None:
    """Say in which settings without weights the model differs from that of the file it begins with."""
    if differences:
        console.say(
            f"warning: the model differs from {file} in {len(differences)} settings that have no weights: "
            f"{'; '.join(differences)}. --model-options gives it those of the file; the recipe finetune "
            "takes its model as it is"
        )


def warn_of_counts(names: pd.Series, pictures: np.ndarray, is_new: np.ndarray, records: int) -> None:
    """Say which tags cannot be learned: new ones with too few training pictures, and any that all have.

    Args:
        names: (num_labels,) of the tags.
        pictures: (num_labels,) training pictures of each.
        is_new: (num_labels,) bool, which the source did not know.
        records: training pictures.
    """
    everywhere = names[pictures >= records].tolist()
    if everywhere:
        console.say(
            f"warning: {len(everywhere)} of {len(names)} tags are on every training picture, so that nothing "
            f"tells what they are; pictures without them would: {join_names(everywhere)}"
        )
    warn_of_rare(names[is_new].tolist(), pictures[is_new])


def warn_of_rare(names: Sequence[str], positives: Sequence[float] | np.ndarray) -> None:
    """Say which new tags have too few training pictures to be learned."""
    pairs = zip(names, positives, strict=True)
    few = [f"{name} ({count:.0f})" for name, count in pairs if count < MIN_POSITIVES]
    if few:
        console.say(
            f"warning: {len(few)} of {len(names)} new tags have fewer than {MIN_POSITIVES} training "
            f"pictures, too few to be learned well: {join_names(few)}. Add pictures of them, or leave them "
            "out with a higher min_tag_images"
        )


def next_command(run_dir: str, dataset: str, probe: bool, has_ratings: bool) -> str:
    """Return the command that follows: the release, after a probe also the training of the body."""
    layout = () if has_ratings else ("--layout", "full")
    release = programs.next_line("export_model", run_dir, "-o", f"{run_dir}_release", *layout)
    if not probe:
        return release
    words = "--dataset", dataset, "--init-from", run_dir, "--run-dir", f"{run_dir}_body"
    return f"{release}; to train the body, too: {programs.line('train', 'finetune', *words)}"
