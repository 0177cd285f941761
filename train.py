"""Train a model: ``python train.py RECIPE --dataset DATASET --run-dir RUN [--any-field value] [--dry-run]``.

The composition root: recipe -> devices, data, model, loss, optimizer -> fit. Libraries are imported late.
"""

import contextlib
import dataclasses
import functools
import hashlib
import signal
import sys
from collections.abc import Callable

from Utils.command.backend import prepare_backend
from Utils.command.cli import UserError, command
from Utils.data import dataset_folder, folds, unknown_labels
from Utils.files import atomic
from Utils.images.augmentation import Augmentation
from Utils.recipe import command_line, initial_weights
from Utils.recipe.recipe import Recipe
from Utils.tags import tag_list
from Utils.training.run_folder import Run, say

ARCHITECTURE = "architecture.json"  # of a run whose model is that of a file, not of the recipe


@dataclasses.dataclass(frozen=True)
class Job:
    """What is to be trained on what, where, and what follows from these together."""

    recipe: Recipe
    dataset: dataset_folder.Dataset
    lanes: object  # Generators.host_sharding.Lanes: how the training records are read
    found: object  # Utils.training.devices.Devices
    source: initial_weights.Source | None  # of the first weights
    facts: dict
    keep: Callable | None  # ids of the records that are trained on; None: all
    unknown: Callable | None  # ids -> labels that are not known


@dataclasses.dataclass(frozen=True)
class Built:
    """The model with its first weights, what compiles it, its learning rate, what became of the tags.

    ``trained`` is the model, or one that augments and calls it.
    """

    model: object
    trained: object
    phases: object
    schedule: Callable
    match: initial_weights.Match | None


@command
def main(argv=None):
    """Train as the command line says; return the exit code."""
    with _leaving():
        return _main(argv)


@contextlib.contextmanager
def _leaving():
    """Within, SIGTERM ends without an error: only ``training.fit`` has something to save, and does it."""

    def leave(number, frame):
        say("stopped by SIGTERM, nothing is lost; the same command continues")
        raise SystemExit(0)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)  # None: it was none of Python's


def _main(argv):
    name, arguments = command_line.parse(argv)
    recipe, dataset = arguments.recipe, dataset_folder.load(arguments.dataset)
    source = recipe.init_from and initial_weights.of(recipe.init_from, recipe.which, arguments.run_dir)
    prepare_backend()
    from Utils.training import devices

    job = _job(recipe, dataset, devices.find(), source)
    built = _build(job)  # before the run folder: what cannot be built leaves none
    if arguments.dry_run:
        return _describe(job, built)
    with job.found.in_turn("run folder"):
        run = Run(arguments.run_dir, name, recipe, dataset, job.facts, job.found.first)
    with run:
        return _train(run, name, job, built)


def _job(recipe, dataset, found, source):
    """Return what follows from recipe, data and devices."""
    from Generators import host_sharding, shard_stats

    fold = folds.parse(recipe.fold)
    counts = shard_stats.record_counts(dataset, "train", fold and fold.leaves)
    records = int(counts.sum())
    if not records:
        left = f", fold {fold} left out," if fold else ""
        raise UserError(f"the training split of {dataset.folder}{left} is empty; it needs a record at least")
    unknown_mask = recipe.unknown_labels and unknown_labels.read(recipe.unknown_labels, dataset.tags).mask
    batch_size = recipe.batch_size_per_device * found.replicas
    facts = {
        "devices": found.text,
        "batch_size": batch_size,
        "records": records,
        "steps_per_epoch": recipe.steps(records, batch_size),
        "contents": _contents(recipe, dataset),
    }
    read = host_sharding.Lanes(counts, records, batch_size)
    return Job(recipe, dataset, read, found, source, facts, fold and fold.leaves, unknown_mask or None)


def _contents(recipe, dataset):
    """Return digests, by flag, of what the recipe only names: it may have changed when a run is continued."""
    found = {}
    if recipe.unknown_labels:
        found["--unknown-labels"] = atomic.sha256_of(recipe.unknown_labels)
    if recipe.tag_weights:
        factors = tag_list.factors(dataset.tags, recipe.tag_weights)
        found["--tag-weights"] = hashlib.sha256(factors.tobytes()).hexdigest()
    return found


def _build(job):
    """Return the Built of a Job, compiled for its first step."""
    import keras

    import Models
    from Models import transfer
    from Utils.training import freezing, loop

    recipe, dataset, found, facts, source = job.recipe, job.dataset, job.found, job.facts, job.source
    found.accumulates(recipe.gradient_accumulation)
    sizes = {"image_size": recipe.image_size, "num_labels": dataset.num_labels}
    architecture = None if recipe.model else _architecture(recipe, source, sizes)
    keras.utils.set_random_seed(recipe.seed)
    keras.config.set_dtype_policy(recipe.dtype_policy)
    schedule = loop.schedule(recipe, facts["steps_per_epoch"], facts["batch_size"])
    with found.scope():
        if architecture:
            model = transfer.from_json(architecture)
        else:
            overrides = recipe.model_overrides()
            model = Models.build(recipe.model, classifier_activation=None, **sizes, **overrides)
        on_device = recipe.augment_on == "device"
        trained = Models.with_augmentation(model, _group(job)) if on_device else model
    match = _transfer(model, dataset, source) if source and not source.begun else None
    family = Models.family(recipe.model or source.model)
    compile = functools.partial(_compile, model, trained, job, family, schedule)
    turns = freezing.Phases(recipe.freeze_body_epochs, facts["steps_per_epoch"], compile)
    turns.enter(0)
    return Built(model, trained, turns, schedule, match)


def _group(job):
    """Return how many neighboring rows MixUp partners are of, None where a device has no whole groups."""
    rows = job.lanes.rows
    return None if job.recipe.batch_size_per_device % rows else rows


def _architecture(recipe, source, sizes):
    """Return the JSON of a model like the source's own: what the run has written down, or of the file."""
    import keras

    from Models import transfer

    if source.begun:
        return (source.file / ARCHITECTURE).read_text(encoding="utf-8")
    distribution = keras.distribution.distribution()
    described = transfer.adapted_json(source.file, **sizes, dtype_policy=recipe.dtype_policy)
    keras.backend.clear_session()  # names of variables must not depend on what was loaded
    keras.distribution.set_distribution(distribution)  # it was cleared, too
    return described


def _transfer(model, dataset, source):
    """Give the model the weights of the source, matched by tags; return the match, and say what differs."""
    from Generators import shard_stats
    from Models import transfer

    found = initial_weights.match(source, dataset.tags)
    frequencies = dataset.frequencies("train")
    if frequencies is None:
        frequencies = shard_stats.frequencies(dataset.shards("train"), dataset.num_labels)
    for text in transfer.copy_weights(source.file, model, found.rows, frequencies):
        say(f"warning: the model differs from {source.file}: {text}")
    return found


def _compile(model, trained, job, family, schedule, *, frozen, start):
    """Compile for steps from ``start`` on, with the body frozen or not, and make the optimizer's state."""
    recipe, found = job.recipe, job.found
    from Models import transfer
    from Utils.training import losses, optimizers, schedules

    loss_options = recipe.loss_options()
    if recipe.tag_weights:
        loss_options["tag_weights"] = tag_list.factors(job.dataset.tags, recipe.tag_weights)
    with found.scope():
        transfer.freeze(model, frozen)
        optimizer = optimizers.build(
            recipe.optimizer,
            schedules.Later(schedule, start) if start else schedule,
            weight_decay=recipe.weight_decay,
            agc=recipe.agc or None,
            no_decay=family.NO_DECAY,
            no_clip=family.NO_CLIP,
            rates=transfer.layer_decay_factors(model, recipe.layer_decay),
            ema=recipe.ema or None,
            accumulate=recipe.gradient_accumulation,
            **recipe.optimizer_overrides(),
        )
        trained.compile(
            optimizer,
            losses.build(recipe.loss, **loss_options),
            jit_compile=found.compiles(recipe.jit_compile),
            steps_per_execution=recipe.steps_per_execution,
        )
        trained.optimizer.build(trained.trainable_variables)


def _describe(job, built):
    """Print what a run would be."""
    from Utils.training import memory_estimate

    recipe, facts, source, schedule = job.recipe, job.facts, job.source, built.schedule
    steps, images = facts["steps_per_epoch"], facts["batch_size"]
    last = recipe.epochs * steps - 1
    for what, text in {
        "devices": facts["devices"],
        "model": f"{recipe.model or source.model}, {recipe.image_size} px, {job.dataset.num_labels} labels",
        "weights": f"{source.file}: {built.match.text if built.match else 'begun'}" if source else "fresh",
        "parameters": f"{built.model.count_params():,}",
        "global batch": f"{images} ({recipe.batch_size_per_device} on each device)",
        "steps": f"{steps} an epoch ({facts['records']} records), {last + 1} in {recipe.epochs} epochs",
        "learning rate": f"{float(schedule(0)):.3g} at first, {schedule.peak:.3g} at the peak, "
        f"{float(schedule(last)):.3g} at last",
        "memory": memory_estimate.describe(
            memory_estimate.estimate(built.model, recipe.batch_size_per_device)
        ),
    }.items():
        print(f"{what:<15}{text}")
    return 0


def _train(run, name, job, built):
    """Train until the last epoch, or until a signal asks to stop."""
    import Generators
    import Models
    from Utils.report import run_plots
    from Utils.training import loop

    recipe, dataset, found, facts, model = job.recipe, job.dataset, job.found, job.facts, built.model
    if built.match and found.first:
        _begin(run, job, built)
    form = {
        "num_labels": dataset.num_labels,
        "image_size": recipe.image_size,
        "batch_size": facts["batch_size"],
        "host": found.host,
        "unknown": job.unknown,
    }

    def batches(step):
        return Generators.train_dataset(
            dataset.shards("train"),
            seed=recipe.seed,
            start_step=step,
            num_records=job.lanes.counts,
            keep=job.keep,
            **form,
            augmentation=recipe.group(Augmentation),
        )

    def export(path):
        with atomic.replacing(path) as beside:
            Models.with_probabilities(model).save(beside)

    evaluate = None
    if "validation" in dataset.splits:
        held_out = Generators.eval_dataset(
            dataset.shards("validation"),
            pad_batches=True,
            num_records=dataset.record_counts("validation"),
            **form,
        )
        with found.scope():
            evaluate = loop.evaluator(model, held_out, dataset.num_labels, built.trained)
    say(loop.opening(found.text, facts, evaluate))
    trackers = _trackers(run, name, recipe) if found.first else []

    def log(row):
        for tracker in trackers:
            tracker.log(row)

    phases, schedule = built.phases, built.schedule
    plan = loop.Plan(recipe, facts, schedule, phases, batches, evaluate, export, log, found)
    if built.match and evaluate:
        say(loop.scores_text("before the first step", evaluate()))
    if found.first and not (run.folder / "batch.png").exists():
        images, labels = next(iter(batches(0)))
        images = images if built.trained is model else Models.augment_batch(*images)
        run_plots.plot_batch(images, labels, dataset.tags["name"], run.folder / "batch.png")
    try:
        loop.fit(built.trained, run, plan)
    except loop.Stopped as stopped:
        say(f"{stopped}; the same command continues")
        return 0 if stopped.signal == signal.SIGTERM else 128 + stopped.signal
    finally:
        for tracker in trackers:
            tracker.close()
    return 0


def _trackers(run, name, recipe):
    """Return what is told of every epoch."""
    from Utils.training import trackers

    chosen = trackers.build(recipe.tracker, run.folder, name, recipe.to_dict(), recipe.project)
    return [chosen, trackers.Curves(run.history, run.folder / "curves.png")]


def _begin(run, job, built):
    """Save the state before the first step and what it was made of: the source is not needed any more."""
    from Models import transfer
    from Utils.training import checkpoints

    say(f"weights of {job.source.file}: {built.match.text}")
    if not job.recipe.model:
        with atomic.replacing(run.folder / ARCHITECTURE) as beside:
            beside.write_text(transfer.to_json(built.model), encoding="utf-8")
    checkpoints.save(run.checkpoints, 0, checkpoints.capture(built.trained))
    initial_weights.remember(run.folder, job.recipe.init_from, job.source, built.match)


if __name__ == "__main__":
    sys.exit(main())
