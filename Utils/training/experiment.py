"""An experiment: one recipe on one dataset and some devices, with the model that is trained."""

import dataclasses
import hashlib
from collections import Counter
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from Utils.command.cli import UserError
from Utils.command.text import counted
from Utils.data.dataset_folder import Dataset
from Utils.data.repeat_factors import RepeatFactors
from Utils.evaluation.soft_labels import SoftLabels
from Utils.files import atomic
from Utils.recipe import initial_weights
from Utils.recipe.recipe import Recipe
from Utils.training import memory_estimate
from Utils.training.devices import Devices

FREQUENT = 30  # training pictures of a new tag, from which on it is expected to be learned


@dataclasses.dataclass(frozen=True)
class Experiment:
    """Everything that train.py assembles and the training loop needs.

    Attributes:
        recipe: the recipe.
        dataset: the dataset.
        devices: what the model runs on.
        facts: what follows from these three, see ``derive_facts``.
        batches: ``batches(step)`` is the endless training data from that step on; ``batches(step, f)`` calls
            ``f(step)`` for every batch that is made.
        validation: ``validation()`` is the validation data, each image once; None without such a split.
        model: images to logits; this one is evaluated and saved.
        trained_model: ``model``, or a model around it that augments images or rematerializes blocks.
        schedule: the learning rate by step.
        source: where the first weights are from; None: they are fresh.
        match: of the source's tags with the dataset's; None if nothing was copied: a run that was continued.
        records: which records are trained on, how often: of ``Generators.training_records``.
        pictures: (num_labels,) training pictures of each tag, where the first weights are from a source;
            None: not counted.
        groups: columns of tags by name, see `groups`; empty without a source or a new tag.
        mixup_rows: the number of neighboring rows of a batch among which MixUp finds partners.
    """

    recipe: Recipe
    dataset: Dataset
    devices: Devices
    facts: dict[str, Any]
    batches: Callable[..., Any]
    validation: Callable[[], Any] | None
    model: keras.Model
    trained_model: keras.Model
    schedule: Any
    source: initial_weights.Source | None = None
    match: initial_weights.TagMatch | None = None
    records: Any = None
    pictures: np.ndarray | None = None
    groups: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)
    mixup_rows: int = 0

    @property
    def is_new(self) -> np.ndarray | None:
        """Which tags the source did not know, (num_labels,) bool; None without a source."""
        if self.source is None:
            return None
        is_new = np.zeros(self.dataset.num_labels, bool)
        is_new[self.groups.get("new", [])] = True
        return is_new

    @property
    def new_head(self) -> bool:
        """Whether the model has another head than the source of its weights."""
        return self.source is not None and self.source.new_head

    @property
    def model_name(self) -> str:
        """``Family/Variant``, of the recipe or of the source."""
        return self.recipe.model or (self.source.model if self.source else "")

    def summary(self) -> dict[str, str]:
        """Return what the run would be, line by line: ``{label: text}``."""
        recipe, facts = self.recipe, self.facts
        steps = recipe.epochs * facts["steps_per_epoch"]
        optimizer = self.trained_model.optimizer
        sharding = self.devices.sharding
        memory = memory_estimate.estimate(self.model, optimizer, recipe.batch_size_per_device, sharding)
        before = ", before blocks are rematerialized" * (recipe.rematerialize == "blocks")
        weights = "fresh" + ", classifier at the tags' frequencies" * recipe.prior_bias
        if self.source:
            weights = f"{self.source.file}: {self.match.text if self.match else 'begun'}"
        forms = Counter(
            layer.attention_form for layer in self.model.layers if hasattr(layer, "attention_form")
        )
        attention = "; ".join(f"{form} ({number} layers)" for form, number in forms.items())
        return {
            "devices": facts["devices"],
            "model": f"{self.model_name}, {recipe.image_size} px, "
            f"{counted(self.dataset.num_labels, 'label')}",
            "weights": weights,
            "parameters": f"{self.model.count_params():,}",
            **({"sharding": sharding.text(self.model.weights)} if sharding else {}),
            "global batch": f"{facts['batch_size']} ({recipe.batch_size_per_device} on each device)",
            "steps": f"{facts['steps_per_epoch']} an epoch ({counted(facts['records'], 'record')}), "
            f"{steps} in {counted(recipe.epochs, 'epoch')}",
            **({"sampling": facts["repeats"]} if "repeats" in facts else {}),
            **({"teacher": facts["teacher"]} if "teacher" in facts else {}),
            "learning rate": f"{float(self.schedule(0)):.3g} at first, {self.schedule.peak:.3g} at the peak, "
            f"{float(self.schedule(steps - 1)):.3g} at last",
            **({"attention": attention} if attention else {}),
            "memory": memory_estimate.describe(memory) + before,
        }


def groups(
    recipe: Recipe,
    dataset: Dataset,
    source: initial_weights.Source | None,
    pictures: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    """Return the columns of the tags that are scored apart; nothing if none is new.

    ``kept`` are those that the source knew, ``new`` the others, and ``frequent_new`` those of them that have
    ``FREQUENT`` training ``pictures`` (num_labels,) or more, where that is not all or none of them.

    Raises UserError where the recipe selects the best model by kept and new tags.
    """
    is_new = initial_weights.is_new(source, dataset.tags) if source else np.zeros(0, bool)
    if recipe.best_by == "balanced_f1" and (is_new.all() or not is_new.any()):
        raise UserError("--best-by balanced_f1 needs tags that the source of --init-from knew, and new ones")
    if not is_new.any():
        return {}
    columns = {"kept": np.flatnonzero(~is_new), "new": np.flatnonzero(is_new)}
    frequent = columns["new"] if pictures is None else np.flatnonzero(is_new & (pictures >= FREQUENT))
    if len(frequent) < len(columns["new"]):
        columns["frequent_new"] = frequent
    return {name: numbers for name, numbers in columns.items() if len(numbers)}


def derive_facts(
    recipe: Recipe,
    dataset: Dataset,
    devices: Devices,
    records: int,
    chosen: Any = None,
) -> dict[str, Any]:
    """Return the facts that follow from recipe, dataset and devices, for a run's ``environment.json``.

    ``records`` is the number of training records that the recipe keeps; ``chosen``, of
    ``Generators.training_records``, says how often each comes and who adds to their labels. ``contents`` are
    digests, by flag, of what the recipe only names: that may have changed when a run is continued.

    Raises UserError if there is no record, the fold leaves none out, the steps of an epoch are no multiple of
    an execution's, batch norm is to be measured on more images than there are, or the training ends before
    its first update or the step to profile.
    """
    if not records:
        fold = f", fold {recipe.fold} left out," if recipe.fold else ""
        raise UserError(f"the training split of {dataset.folder}{fold} is empty; it needs a record at least")
    if recipe.fold and records == dataset.num_records("train"):
        raise UserError(
            f"--fold {recipe.fold} leaves out none of the {records:,} training records; give fewer folds"
        )
    if recipe.batch_norm_images > records:
        raise UserError(
            f"--batch-norm-images may be up to {records:,}, the training records; "
            f"got {recipe.batch_norm_images:,}"
        )
    repeats: RepeatFactors | None = chosen.repeats if chosen else None
    teacher: SoftLabels | None = chosen.teacher if chosen else None
    batch_size = recipe.batch_size_per_device * devices.replicas
    steps_per_epoch = recipe.steps(repeats.images if repeats else records, batch_size)
    if recipe.gradient_accumulation > recipe.epochs * steps_per_epoch:
        raise UserError(
            f"--gradient-accumulation {recipe.gradient_accumulation} leaves no update: the training has "
            f"{recipe.epochs * steps_per_epoch} steps"
        )
    if recipe.profile is not None and recipe.profile >= recipe.epochs * steps_per_epoch:
        raise UserError(
            f"--profile {recipe.profile} is beyond the last step: the training has "
            f"{recipe.epochs * steps_per_epoch}, counted from 0"
        )
    contents = {}
    if recipe.unknown_labels:
        contents["--unknown-labels"] = atomic.sha256_of(recipe.unknown_labels)
    if (weights := dataset.tag_weights(recipe.tag_weights)) is not None:
        contents["--tag-weights"] = hashlib.sha256(weights.tobytes()).hexdigest()
    if repeats is not None:
        contents["--sampling"] = repeats.digest
    if teacher is not None:
        contents["--teacher"] = teacher.digest
    return {
        "devices": devices.text,
        "batch_size": batch_size,
        "records": records,
        "steps_per_epoch": steps_per_epoch,
        "contents": contents,
        **({"repeats": repeats.text} if repeats else {}),
        **({"teacher": teacher.text} if teacher else {}),
    }
