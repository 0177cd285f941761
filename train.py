"""Train a model: ``python train.py RECIPE --dataset DATASET --run-dir RUN [--any-field value] [--dry-run]``.

The composition root: recipe -> devices, data, model, loss, optimizer -> fit. It names no architecture, loss
or backend. Keras and tensorflow are imported inside the functions: ``--help`` and mistakes need neither.
"""

import contextlib
import dataclasses
import functools
import hashlib
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from types import FrameType
from typing import TYPE_CHECKING, Any

import numpy as np

from Utils.command.backend import prepare_backend
from Utils.command.cli import UserError, command
from Utils.data import dataset_folder, folds, unknown_labels
from Utils.files import atomic
from Utils.images.augmentation import Augmentation
from Utils.recipe import command_line, initial_weights
from Utils.recipe.recipe import Recipe
from Utils.tags import tag_list
from Utils.training import console
from Utils.training.run_folder import Run

if TYPE_CHECKING:
    import keras

    from Generators.host_sharding import RecordStreams
    from Utils.training.devices import Devices
    from Utils.training.freezing import Freezing

ARCHITECTURE = "architecture.json"  # of a run that takes its model from --init-from, not from the recipe


@dataclasses.dataclass(frozen=True)
class Experiment:
    """A recipe on a dataset and devices: the data it reads and the model it trains."""

    recipe: Recipe
    dataset: dataset_folder.Dataset
    devices: "Devices"
    facts: dict[str, Any]  # what the run folder records: batch_size, steps_per_epoch, records ...
    streams: "RecordStreams"  # how the training records are read
    keep: Callable[[np.ndarray], np.ndarray] | None  # post ids -> whether to train on them; None: on all
    unknown: Callable[[np.ndarray], np.ndarray] | None  # post ids -> which labels are not known
    source: initial_weights.Source | None  # of the first weights; None: fresh ones
    match: initial_weights.TagMatch | None  # of its tags with the dataset's; None: nothing had to be copied
    model: "keras.Model"
    trained_model: "keras.Model"  # the model itself, or one that augments images on the device and calls it
    schedule: Callable[[int], Any]  # the learning rate by step


@command
def main(argv: Sequence[str] | None = None) -> int:
    """Train as the command line says; return the exit code."""
    with _exit_on_sigterm():
        return _main(argv)


@contextlib.contextmanager
def _exit_on_sigterm() -> Iterator[None]:
    """Let SIGTERM end the command without an error; the training loop alone has a state to save."""

    def leave(number: int, frame: FrameType | None) -> None:
        console.say("stopped by SIGTERM, nothing is lost; the same command continues")
        raise SystemExit(0)

    previous = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous or signal.SIG_DFL)  # None: it was not set from Python


def _main(argv: Sequence[str] | None) -> int:
    name, arguments = command_line.parse(argv)
    recipe, dataset = arguments.recipe, dataset_folder.load(arguments.dataset)
    source = None
    if recipe.init_from:
        source = initial_weights.resolve(recipe.init_from, recipe.which, arguments.run_dir)
    prepare_backend()
    from Utils.training import devices, freezing

    # All is built and compiled before the run folder: a recipe that cannot be built leaves none.
    experiment = _set_up(recipe, dataset, devices.find(), source)
    compile_model = functools.partial(_compile, experiment)
    body = freezing.Freezing(recipe.freeze_body_epochs, experiment.facts["steps_per_epoch"], compile_model)
    body.compile_for(0)
    if arguments.dry_run:
        return _describe(experiment)
    with experiment.devices.first_host_first("run folder"):
        is_first_host = experiment.devices.is_first_host
        run = Run(arguments.run_dir, name, recipe, dataset, experiment.facts, is_first_host)
    with run:
        return _train(experiment, body, run, name)


def _set_up(
    recipe: Recipe, dataset: dataset_folder.Dataset, devices: "Devices", source: initial_weights.Source | None
) -> Experiment:
    """Return the experiment, its model built and with its first weights."""
    from Generators import host_sharding, shard_stats
    from Utils.training import schedules

    fold = folds.parse(recipe.fold)
    keep = fold.excludes if fold else None
    counts = shard_stats.record_counts(dataset, "train", keep)
    unknown = None
    if recipe.unknown_labels:
        unknown = unknown_labels.read(recipe.unknown_labels, dataset.tags).mask
    facts = _facts(recipe, dataset, devices, int(counts.sum()))
    streams = host_sharding.RecordStreams(counts, facts["records"], facts["batch_size"])
    schedule = schedules.build(recipe, facts["steps_per_epoch"], facts["batch_size"])
    devices.require_accumulation(recipe.gradient_accumulation)
    model, trained_model = _models(recipe, dataset, devices, source, streams.rows_each)
    match = _copy_weights(model, dataset, source) if source and not source.is_taken_over else None
    return Experiment(
        recipe=recipe,
        dataset=dataset,
        devices=devices,
        facts=facts,
        streams=streams,
        keep=keep,
        unknown=unknown,
        source=source,
        match=match,
        model=model,
        trained_model=trained_model,
        schedule=schedule,
    )


def _facts(
    recipe: Recipe, dataset: dataset_folder.Dataset, devices: "Devices", records: int
) -> dict[str, Any]:
    """Return what follows from recipe, dataset and devices, as the run folder records it."""
    if not records:
        left_out = f", fold {recipe.fold} left out," if recipe.fold else ""
        raise UserError(
            f"the training split of {dataset.folder}{left_out} is empty; it needs a record at least"
        )
    batch_size = recipe.batch_size_per_device * devices.replicas
    return {
        "devices": devices.text,
        "batch_size": batch_size,
        "records": records,
        "steps_per_epoch": recipe.steps(records, batch_size),
        "contents": _contents(recipe, dataset),
    }


def _contents(recipe: Recipe, dataset: dataset_folder.Dataset) -> dict[str, str]:
    """Return digests, by flag, of what the recipe only names: it may have changed when a run is continued."""
    digests = {}
    if recipe.unknown_labels:
        digests["--unknown-labels"] = atomic.sha256_of(recipe.unknown_labels)
    if recipe.tag_weights:
        factors = tag_list.weights(dataset.tags, recipe.tag_weights)
        digests["--tag-weights"] = hashlib.sha256(factors.tobytes()).hexdigest()
    return digests


def _models(
    recipe: Recipe,
    dataset: dataset_folder.Dataset,
    devices: "Devices",
    source: initial_weights.Source | None,
    mixup_group: int,
) -> "tuple[keras.Model, keras.Model]":
    """Return the model and the one that is trained, with fresh weights.

    ``mixup_group``: so many neighboring rows of a batch have their MixUp partners among themselves.
    """
    import keras

    import Models
    from Models import transfer

    sizes = {"image_size": recipe.image_size, "num_labels": dataset.num_labels}
    architecture = None
    if source and not recipe.model:
        architecture = _architecture(recipe, source, sizes)
    keras.utils.set_random_seed(recipe.seed)
    keras.config.set_dtype_policy(recipe.dtype_policy)
    with devices.scope():
        if architecture:
            model = transfer.from_json(architecture)
        else:
            overrides = recipe.model_overrides()
            model = Models.build(recipe.model, classifier_activation=None, **sizes, **overrides)
        if recipe.augment_on == "host":
            return model, model
        # None: partners from anywhere in the batch, since a device has no whole groups
        group = None if recipe.batch_size_per_device % mixup_group else mixup_group
        return model, Models.with_augmentation(model, group)


def _architecture(recipe: Recipe, source: initial_weights.Source, sizes: dict[str, Any]) -> str:
    """Return the JSON of a model like the source's: as the run has recorded it, or of the source's file."""
    import keras

    from Models import transfer

    if source.is_taken_over:
        return (source.file / ARCHITECTURE).read_text(encoding="utf-8")
    distribution = keras.distribution.distribution()
    architecture = transfer.adapted_json(source.file, **sizes, dtype_policy=recipe.dtype_policy)
    keras.backend.clear_session()  # names of variables must not depend on what was loaded
    keras.distribution.set_distribution(distribution)  # it was cleared, too
    return architecture


def _copy_weights(
    model: "keras.Model", dataset: dataset_folder.Dataset, source: initial_weights.Source
) -> initial_weights.TagMatch:
    """Copy the weights of the source into the model, outputs matched by tags; report what differs."""
    from Generators import shard_stats
    from Models import transfer

    match = initial_weights.match_tags(source, dataset.tags)
    frequencies = dataset.frequencies("train")
    if frequencies is None:
        frequencies = shard_stats.label_frequencies(dataset.shards("train"), dataset.num_labels)
    for difference in transfer.copy_weights(source.file, model, match.rows, frequencies):
        console.say(f"warning: the model differs from {source.file}: {difference}")
    return match


def _compile(experiment: Experiment, *, frozen: bool, start_step: int) -> None:
    """Compile the model for steps from ``start_step`` on, the body frozen or not, with a new optimizer."""
    import Models
    from Models import transfer
    from Utils.training import losses, optimizers, schedules

    recipe, devices, model = experiment.recipe, experiment.devices, experiment.model
    source, trained_model = experiment.source, experiment.trained_model
    family = Models.family(recipe.model or (source.model if source else ""))
    loss_options = recipe.loss_options()
    if recipe.tag_weights:
        loss_options["tag_weights"] = tag_list.weights(experiment.dataset.tags, recipe.tag_weights)
    with devices.scope():
        transfer.freeze(model, frozen)
        optimizer = optimizers.build(
            recipe.optimizer,
            schedules.Shifted(experiment.schedule, start_step) if start_step else experiment.schedule,
            weight_decay=recipe.weight_decay,
            agc=recipe.agc or None,
            no_decay=family.NO_DECAY,
            no_clip=family.NO_CLIP,
            rates=transfer.layer_decay_factors(model, recipe.layer_decay),
            ema=recipe.ema or None,
            accumulate=recipe.gradient_accumulation,
            **recipe.optimizer_overrides(),
        )
        trained_model.compile(
            optimizer,
            losses.build(recipe.loss, **loss_options),
            jit_compile=devices.compiles(recipe.jit_compile),
            steps_per_execution=recipe.steps_per_execution,
        )
        # Its state is made here, within the scope and before a checkpoint is restored.
        trained_model.optimizer.build(trained_model.trainable_variables)


def _describe(experiment: Experiment) -> int:
    """Print what a run would be."""
    from Utils.training import memory_estimate

    recipe, facts, source = experiment.recipe, experiment.facts, experiment.source
    steps, last_step = facts["steps_per_epoch"], recipe.epochs * facts["steps_per_epoch"] - 1
    name = recipe.model or (source.model if source else "")
    weights = "fresh"
    if source:
        weights = f"{source.file}: {experiment.match.text if experiment.match else 'begun'}"
    rates = [float(experiment.schedule(step)) for step in (0, last_step)]
    for label, text in {
        "devices": facts["devices"],
        "model": f"{name}, {recipe.image_size} px, {experiment.dataset.num_labels} labels",
        "weights": weights,
        "parameters": f"{experiment.model.count_params():,}",
        "global batch": f"{facts['batch_size']} ({recipe.batch_size_per_device} on each device)",
        "steps": f"{steps} an epoch ({facts['records']} records), {last_step + 1} in {recipe.epochs} epochs",
        "learning rate": f"{rates[0]:.3g} at first, {experiment.schedule.peak:.3g} at the peak, "
        f"{rates[1]:.3g} at last",
        "memory": memory_estimate.describe(
            memory_estimate.estimate(experiment.model, recipe.batch_size_per_device)
        ),
    }.items():
        print(f"{label:<15}{text}")
    return 0


def _train(experiment: Experiment, body: "Freezing", run: Run, name: str) -> int:
    """Train until the last epoch, or until a signal asks to stop."""
    import Models
    from Utils.training import loop, trackers

    recipe, is_first_host = experiment.recipe, experiment.devices.is_first_host
    if experiment.match and is_first_host:
        _save_first_state(experiment, experiment.match, run)
    evaluate = _evaluator(experiment)
    console.say(console.opening_line(experiment.facts, evaluate is not None))

    def export(path: atomic.AnyPath) -> None:
        with atomic.replacing(path) as beside:
            Models.with_probabilities(experiment.model).save(beside)

    opened = trackers.opened(run, name, recipe) if is_first_host else contextlib.nullcontext([])
    with opened as opened_trackers:
        training = loop.TrainingLoop(
            experiment.trained_model,
            run,
            recipe,
            experiment.facts,
            experiment.devices,
            schedule=experiment.schedule,
            freezing=body,
            batches=functools.partial(_batches, experiment),
            evaluate=evaluate,
            export=export,
            trackers=opened_trackers,
        )
        if experiment.match and evaluate:
            console.say(console.scores_line("before the first step", evaluate()))
        if is_first_host and not (run.folder / "batch.png").exists():
            _draw_batch(experiment, run)
        try:
            training.fit()
        except loop.Stopped as stopped:
            console.say(f"{stopped}; the same command continues")
            return 0 if stopped.signal == signal.SIGTERM else 128 + stopped.signal
    return 0


def _save_first_state(experiment: Experiment, match: initial_weights.TagMatch, run: Run) -> None:
    """Save the state before the first step and where it is from: the source is not needed any more."""
    from Models import transfer
    from Utils.training import checkpoints

    recipe, source = experiment.recipe, experiment.source
    console.say(f"weights of {source.file}: {match.text}")
    if not recipe.model:
        with atomic.replacing(run.folder / ARCHITECTURE) as beside:
            beside.write_text(transfer.to_json(experiment.model), encoding="utf-8")
    checkpoints.save(run.checkpoints, 0, checkpoints.capture(experiment.trained_model))
    initial_weights.write_origin(run.folder, recipe.init_from, source, match)


def _batches(experiment: Experiment, start_step: int) -> Any:
    """Return the endless training data from a step on."""
    import Generators

    return Generators.train_dataset(
        experiment.dataset.shards("train"),
        seed=experiment.recipe.seed,
        start_step=start_step,
        num_records=experiment.streams.counts,
        keep=experiment.keep,
        **_reader_options(experiment),
        augmentation=experiment.recipe.group(Augmentation),
    )


def _evaluator(experiment: Experiment) -> Callable[..., dict[str, float]] | None:
    """Return what computes the scores of the validation split, None without one."""
    import Generators
    from Utils.training import validation_metrics

    dataset = experiment.dataset
    if "validation" not in dataset.splits:
        return None
    data = Generators.eval_dataset(
        dataset.shards("validation"),
        pad_batches=True,
        num_records=dataset.record_counts("validation"),
        **_reader_options(experiment),
    )
    with experiment.devices.scope():
        return validation_metrics.evaluator(
            experiment.model, data, dataset.num_labels, experiment.trained_model
        )


def _reader_options(experiment: Experiment) -> dict[str, Any]:
    return {
        "num_labels": experiment.dataset.num_labels,
        "image_size": experiment.recipe.image_size,
        "batch_size": experiment.facts["batch_size"],
        "host": experiment.devices.host,
        "unknown": experiment.unknown,
    }


def _draw_batch(experiment: Experiment, run: Run) -> None:
    """Draw the first batch as the model will see it: ``batch.png`` of the run folder."""
    import Models
    from Utils.report import run_plots

    images, labels = next(iter(_batches(experiment, 0)))
    if experiment.trained_model is not experiment.model:
        images = Models.augment_batch(*images)
    run_plots.plot_batch(images, labels, experiment.dataset.tags["name"], run.folder / "batch.png")


if __name__ == "__main__":
    sys.exit(main())
