"""Train a model: ``python train.py RECIPE --dataset DATASET --run-dir RUN [--any-field value] [--dry-run]``.

The composition root: recipe -> devices, data, model, loss, optimizer -> fit. It names no architecture, loss
or backend. Keras and tensorflow are imported inside the functions: ``--help`` and mistakes need neither.
"""

import Utils.command.interrupt  # noqa: F401  first: imports take long

import contextlib
import functools
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from Utils.command.backend import deferred, prepare_backend, prepare_compiler
from Utils.command.cli import command
from Utils.data import dataset_folder, shard_damage
from Utils.data.dataset_folder import Dataset
from Utils.evaluation import soft_labels
from Utils.files import atomic
from Utils.images.augmentation import Augmentation
from Utils.recipe import command_line, initial_weights
from Utils.recipe.initial_weights import Source, TagMatch
from Utils.recipe.recipe import Recipe
from Utils.training import console, stopping
from Utils.training.run_folder import Run, as_recorded

if TYPE_CHECKING:
    import keras
    import numpy as np

    from Generators.training_records import TrainingRecords
    from Utils.training.devices import Devices
    from Utils.training.experiment import Experiment
    from Utils.training.freezing import Freezing


@command
def main(argv: Sequence[str] | None = None) -> int:
    """Train as the command line says; return the exit code."""
    with contextlib.ExitStack() as of_a_run:
        of_a_run.enter_context(stopping.exit_on_sigterm())
        prepare = prepare_compiler if command_line.names_topology(argv) else prepare_backend
        functions = (deferred(function, prepare) for function in command_line.FUNCTIONS)
        name, arguments = command_line.parse(argv, *functions)
        if arguments.dry_run:  # nothing to continue: SIGTERM ends it as other commands
            of_a_run.close()
        dataset = dataset_folder.load(arguments.dataset)
        with shard_damage.named(dataset):
            prepare()
            return _run(name, arguments, dataset)


def _run(name: str, arguments: command_line.ParsedArguments, dataset: Dataset) -> int:
    recipe = arguments.recipe
    for choice in arguments.choices:
        console.say(choice.text(recipe))
    import Models
    from Utils.training import compiled_step, dry_run, freezing, topology, weight_sharding
    from Utils.training.devices import find as find_devices
    from Utils.training.devices import of_topology
    from Utils.training.rematerialization import decide

    target = topology.find(arguments.topology)
    family = Models.family(recipe.model or (arguments.source.model if arguments.source else ""))
    sharding = weight_sharding.build(recipe.shard_model, family.SHARD_AXES)
    devices = of_topology(target, sharding) if target else find_devices(sharding)
    recipe = devices.settled(as_recorded(recipe, arguments.run_dir))
    # A dry run does all of this too, so that it refuses what the run would: the folder is made afterwards.
    with compiled_step.weights_without_memory() if target else contextlib.nullcontext():
        experiment = _set_up(recipe, dataset, devices, arguments.source, arguments.run_dir)
        if recipe.rematerialize == "auto":
            experiment = decide(experiment, target, arguments, _trained_model, _compile)
        steps = experiment.facts["steps_per_epoch"]
        body = freezing.Freezing(recipe.freeze_body_epochs, steps, functools.partial(_compile, experiment))
        # A body that is frozen at first needs less than it does later.
        body.compile_for(recipe.epochs * steps - 1 if target else 0)
    if arguments.dry_run:
        return dry_run.show(experiment, arguments, target)
    with devices.first_host_first("run folder"):
        run = Run(
            arguments.run_dir, name, experiment.recipe, dataset, experiment.facts, devices.is_first_host
        )
    with run:
        return _train(experiment, body, run, name)


def _set_up(
    recipe: Recipe, dataset: Dataset, devices: "Devices", source: Source | None, run_dir: str
) -> "Experiment":
    """Return the experiment, its model with its first weights, not compiled yet.

    A model takes long to build: all that can be refused without it is refused before.
    """
    from Generators import shard_stats, training_records
    from Utils.training import losses, probing, run_folder, schedules
    from Utils.training.experiment import Experiment, groups

    _check(recipe, dataset, devices, run_dir)
    for split in filter(("train", "validation").__contains__, dataset.splits):
        dataset.require_shards(split)
    records = training_records.choose(dataset, soft_labels.read, seed=recipe.seed, **recipe.record_options())
    of_records = (records.keep, records.unknown, records.repeats)
    frequencies = functools.partial(shard_stats.label_frequencies, dataset, "train", *of_records, smoothing=0)
    recipe = losses.settled(recipe, dataset.num_labels, lambda: float(frequencies().sum()))
    facts, batches, validation, mixup_rows = _data(recipe, dataset, devices, records)
    schedule = schedules.build(recipe, facts["steps_per_epoch"], facts["batch_size"])
    if run_dir:  # a dry run may do without
        run_folder.check(run_dir, recipe, dataset, facts)
    for make in (lambda: batches(0), validation):
        if make and not recipe.probe:  # a probe reads no training batches of pictures
            make()  # reads no record, but finds the shards
    model, trained_model = _models(recipe, dataset, devices, source, mixup_rows)
    match, pictures = _start(model, recipe, dataset, source, run_dir, facts["records"], records)
    experiment = Experiment(
        recipe=recipe,
        dataset=dataset,
        devices=devices,
        facts=facts,
        batches=batches,
        validation=validation,
        model=model,
        trained_model=trained_model,
        schedule=schedule,
        source=source,
        match=match,
        records=records,
        pictures=pictures,
        groups=groups(recipe, dataset, source, pictures),
        mixup_rows=mixup_rows,
    )
    if recipe.probe:
        probing.require_possible(experiment, run_dir)
    return experiment


def _check(recipe: Recipe, dataset: Dataset, devices: "Devices", run_dir: str) -> None:
    """Raise UserError for what cannot be trained, as far as neither records nor a model are needed to see it.

    What one field of the recipe allows, the recipe itself has checked.
    """
    import Models
    from Utils.training import checkpoint_savers, losses, optimizers

    if recipe.model:
        Models.spec(recipe.model, **recipe.model_overrides())
    losses.build(recipe, dataset.tag_weights(recipe.tag_weights))
    optimizers.check(recipe)
    devices.require_accumulation(recipe.gradient_accumulation)
    checkpoint_savers.check(run_dir, devices)
    devices.compiles(recipe.jit_compile)


def _data(
    recipe: Recipe, dataset: Dataset, devices: "Devices", records: "TrainingRecords"
) -> tuple[dict[str, Any], Callable[..., Any], Callable[[], Any] | None, int]:
    """Return facts, batches and validation of the experiment, and the rows of a batch that MixUp mixes."""
    import Generators
    from Generators import host_sharding, shard_stats
    from Utils.training import experiment

    counts = shard_stats.record_counts(dataset, "train", records.keep)
    facts = experiment.derive_facts(recipe, dataset, devices, int(counts.sum()), records)
    streams = host_sharding.RecordStreams(counts, facts["records"], facts["batch_size"])
    # A host reads its own rows of every global batch; the batches are the same for any number of hosts.
    shared_options = records.batch_options(dataset, recipe.image_size, facts["batch_size"])
    shared_options["host"] = devices.host

    packed = shard_stats.room_for_packed_labels(
        dataset, recipe.packed_labels, bool(recipe.unknown_labels or recipe.teacher), bool(recipe.mixup_alpha)
    )

    def batches(step: int, when_ready: Callable[[int], None] | None = None) -> Any:
        return Generators.train_dataset(
            dataset.shards("train"),
            seed=recipe.seed,
            start_step=step,
            num_records=streams.counts,
            **records.train_options,
            augmentation=recipe.group(Augmentation),
            packed_labels=packed["train"],
            when_ready=when_ready,
            **shared_options,
        )

    def validation() -> Any:
        counts, room = dataset.record_counts("validation"), packed["validation"]
        options = {"pad_batches": True, "num_records": counts, "packed_labels": room, **shared_options}
        return Generators.eval_dataset(dataset.shards("validation"), **options)

    return facts, batches, validation if "validation" in dataset.splits else None, streams.rows_each


def _models(
    recipe: Recipe, dataset: Dataset, devices: "Devices", source: Source | None, mixup_rows: int
) -> "tuple[keras.Model, keras.Model]":
    """Return the model with fresh weights, and the model that is trained: it, or one around it."""
    import keras

    import Models
    from Models import transfer

    sizes = {"image_size": recipe.image_size, "num_labels": dataset.num_labels}
    architecture = source and source.architecture
    if source and not (architecture or recipe.model):
        architecture = transfer.adapted_json(source.file, **sizes, dtype_policy=recipe.dtype_policy)
    keras.utils.set_random_seed(recipe.seed)
    keras.config.set_dtype_policy(recipe.dtype_policy)
    Models.set_attention_implementation(recipe.attention_implementation)
    with devices.scope():
        if architecture:
            model = transfer.from_json(architecture)
        else:
            overrides = recipe.model_overrides()
            model = Models.build(recipe.model, classifier_activation=None, **sizes, **overrides)
        if recipe.probe:
            return model, transfer.split_at_head(model, bool(source and source.new_head))[1]
        return model, _trained_model(model, recipe, mixup_rows)


def _trained_model(model: "keras.Model", recipe: Recipe, mixup_rows: int) -> "keras.Model":
    """Return what is trained of a model: it, or one around it that has its weights."""
    import Models

    trained_model = Models.rematerialized(model) if recipe.rematerialize == "blocks" else model
    if recipe.augment_on == "host":
        return trained_model
    # Partners are among neighboring rows, as on the host, if every device has whole groups of them.
    has_groups = recipe.batch_size_per_device % mixup_rows == 0
    return Models.with_augmentation(trained_model, mixup_rows if has_groups else None)


def _start(
    model: "keras.Model",
    recipe: Recipe,
    dataset: Dataset,
    source: Source | None,
    run_dir: str,
    records: int,
    chosen: "TrainingRecords",
) -> "tuple[TagMatch | None, np.ndarray | None]":
    """Give the model its first weights; of a source: return how tags match, and each one's pictures."""
    from Generators import shard_stats
    from Models import transfer
    from Utils.training import checkpoints, classifier_prior, finetune_report, run_folder

    # A run that has begun takes all weights from a checkpoint; counting tags may mean to read many shards.
    begun = bool(run_dir) and checkpoints.newest(atomic.to_path(run_dir) / run_folder.CHECKPOINTS)
    if source.is_taken_over if source else begun:
        return None, source and source.pictures
    count = functools.partial(shard_stats.label_frequencies, dataset, "train", chosen.keep, chosen.unknown)
    frequencies = count()
    biases = classifier_prior.first_biases(recipe, count(chosen.repeats) if chosen.repeats else frequencies)
    if source is None:
        transfer.set_classifier_bias(model, biases)
        return None, None
    match = initial_weights.match_tags(source, dataset.tags)
    differences = transfer.copy_weights(source.file, model, match.rows, biases, source.order, source.new_head)
    finetune_report.warn_of_differences(source.file, differences)
    pictures = shard_stats.counts(frequencies, records)
    finetune_report.warn_of_counts(dataset.tags["name"], pictures, match.rows < 0, records)
    return match, pictures


def _compile(experiment: "Experiment", *, frozen: bool, start_step: int) -> None:
    """Compile the model for steps from ``start_step`` on, the body frozen or not, with a new optimizer."""
    import Models
    from Models import transfer
    from Utils.training import batch_norm_statistics, gradient_precision, losses, optimizers, schedules
    from Utils.training.probing import steps_per_execution

    recipe, devices, schedule = experiment.recipe, experiment.devices, experiment.schedule
    model, trained_model = experiment.model, experiment.trained_model
    family = Models.family(experiment.model_name)
    with devices.scope():
        transfer.freeze(model, frozen, experiment.new_head)
        batch_norm_statistics.set_momentum(model, recipe.batch_norm_momentum)
        optimizer = optimizers.build(
            recipe,
            schedules.Shifted(schedule, start_step) if start_step else schedule,
            no_decay=family.NO_DECAY,
            no_clip=family.NO_CLIP,
            rate_factors=transfer.learning_rate_factors(
                model, recipe.layer_decay, recipe.learned_rate_factor, experiment.is_new, experiment.new_head
            ),
        )
        loss = losses.build(recipe, experiment.dataset.tag_weights(recipe.tag_weights))
        trained_model.compile(
            optimizer,
            loss,
            metrics=loss.states or None,  # an empty list makes a metric that has no result before a step
            jit_compile=devices.compiles(recipe.jit_compile),  # pyright: ignore[reportArgumentType]
            steps_per_execution=steps_per_execution(experiment),
        )
        gradient_precision.apply(trained_model, recipe.gradient_dtype)
        # Its state is made here: within the scope, and before a checkpoint is restored into it.
        trained_model.optimizer.build(trained_model.trainable_variables)


def _train(experiment: "Experiment", body: "Freezing", run: Run, name: str) -> int:
    """Train until the last epoch, or until a signal asks to stop; return the exit code."""
    if not experiment.recipe.probe:
        return _fit(experiment, body, run, name)
    from Utils.training import probing

    with _features(experiment, run) as on_features:
        code = _fit(on_features, body, run, name)
    if run.last.exists() and probing.BestHead(run.folder, experiment.trained_model).put_back():
        _export(experiment, run.best)
    return code


def _export(experiment: "Experiment", path: atomic.AnyPath) -> None:
    import Models

    with atomic.replacing(path) as beside:
        Models.with_probabilities(experiment.model).save(beside)


@contextlib.contextmanager
def _features(experiment: "Experiment", run: Run) -> "Iterator[Experiment]":
    """Compute what the body makes of every picture; yield the experiment that trains the head on that."""
    from Generators import feature_cache
    from Models import transfer
    from Utils.training import probing

    dataset, recipe = experiment.dataset, experiment.recipe
    body, head = transfer.split_at_head(experiment.model, experiment.new_head)
    body.compile(jit_compile=experiment.devices.compiles(recipe.jit_compile))  # pyright: ignore[reportArgumentType]
    folder, made_by = run.folder / probing.FEATURES, probing.made_by(body, experiment)
    counts, sizes = probing.record_counts(experiment), (head.input_shape[-1], dataset.num_labels)
    with feature_cache.FeatureCache(folder, *sizes, made_by, recipe.flip) as cache:
        records = experiment.records
        options = records.batch_options(dataset, recipe.image_size, recipe.batch_size_per_device)
        kept = {"train": records.keep}
        feature_cache.fill_splits(cache, dataset, counts, kept, body.predict_on_batch, options)
        yield probing.on_features(experiment, cache, counts)


def _fit(experiment: "Experiment", body: "Freezing", run: Run, name: str) -> int:
    """Train an experiment whose model is compiled; return the exit code."""
    from Utils.training import batch_norm_statistics, closing, finetune_report, loop, probing, trackers
    from Utils.training.validation_metrics import of_experiment

    is_first_host, probe = experiment.devices.is_first_host, experiment.recipe.probe
    evaluate = of_experiment(experiment) if experiment.validation else None
    console.say(console.opening_line(experiment.facts, evaluate is not None))
    if experiment.devices.sharding is not None:
        console.say(experiment.devices.sharding.text(experiment.model.weights))
    before = evaluate() if experiment.match and evaluate else None
    if before:
        console.say(console.scores_line("before the first step", before))
    if experiment.source and experiment.match and not run.has_begun_with_weights:
        _save_first_state(experiment, experiment.source, experiment.match, run, before)
    if is_first_host and not probe and not (run.folder / "batch.png").exists():
        _draw_batch(experiment, run)

    def export(path: atomic.AnyPath) -> None:
        if path == run.best and evaluate and experiment.groups:
            finetune_report.write_tag_scores(run.folder, experiment, evaluate.tag_counts)
        if probe and path == run.best:
            probing.BestHead(run.folder, experiment.trained_model).keep()
        else:
            _export(experiment, path)

    measured = batch_norm_statistics.of_experiment(experiment)
    tracking = trackers.opened(run, name, experiment.recipe) if is_first_host else contextlib.nullcontext([])
    try:
        with tracking as opened_trackers:
            training = loop.TrainingLoop(experiment, run, body, evaluate, export, opened_trackers, measured)
            training.fit()
    except stopping.Stopped as stopped:
        console.say(f"{stopped}; the same command continues")
        return 0 if stopped.signal == signal.SIGTERM else 128 + stopped.signal
    closing.say(experiment, run, training.selected_by)
    return 0


def _save_first_state(
    experiment: "Experiment", source: Source, match: TagMatch, run: Run, scores: dict[str, float] | None
) -> None:
    """Save the state before the first step and where it is from: the source is not needed any more."""
    from Models import transfer
    from Utils.training import checkpoint_savers

    checkpoint_savers.save_now(run.checkpoints, experiment.trained_model, 0, experiment.devices)
    if not experiment.devices.is_first_host:
        return
    console.say(f"weights of {source.file}: {match.text}")
    if not experiment.recipe.model or transfer.has_moved_groups(experiment.model):
        with atomic.replacing(run.folder / initial_weights.ARCHITECTURE) as beside:
            beside.write_text(transfer.to_json(experiment.model), encoding="utf-8")
    initial_weights.write_origin(run.folder, experiment.recipe, source, match, scores, experiment.pictures)


def _draw_batch(experiment: "Experiment", run: Run) -> None:
    """Draw the first batch as the model will see it: ``batch.png`` of the run folder."""
    import numpy as np

    import Models
    from Generators import packed_labels
    from Utils.report import run_plots

    images, labels = next(iter(experiment.batches(0)))
    labels = packed_labels.unpack(np.asarray(labels), experiment.dataset.num_labels)
    if experiment.recipe.augment_on == "device":
        images = Models.augment_batch(*images)
    names = experiment.dataset.tags["name"].tolist()
    run_plots.plot_batch(images, labels, names, run.folder / "batch.png")


if __name__ == "__main__":
    sys.exit(main())
