"""Train a model: ``python train.py RECIPE --dataset DATASET --run-dir RUN [--any-field value] [--dry-run]``.

The composition root: recipe -> devices, data, model, loss, optimizer -> fit. Libraries are imported late.
"""

import functools
import os
import signal
import sys

from Utils import command_line, datasets, files, folds, sources, tags, unknown
from Utils.commands import UserError, command
from Utils.runs import Run, say

ARCHITECTURE = "architecture.json"  # of a run whose model is that of a file, not of the recipe


@command
def main(argv=None):
    """Train as the command line says; return the exit code."""
    name, arguments = command_line.parse(argv)
    recipe, dataset = arguments.recipe, datasets.load(arguments.dataset)
    source = recipe.init_from and sources.of(recipe.init_from, recipe.which, arguments.run_dir)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    from Utils import devices

    found = devices.find()
    facts = _facts(recipe, dataset, found)
    if arguments.dry_run:
        return _describe(recipe, dataset, found, facts, source)
    with found.in_turn("run folder"):
        run = Run(arguments.run_dir, name, recipe, dataset, facts, found.first)
    with run:
        return _train(run, name, recipe, dataset, found, facts, source)


def _facts(recipe, dataset, found):
    """Return what follows from recipe, data and devices together."""
    records, fold = dataset.num_records("train"), folds.parse(recipe.fold)
    if fold:
        from Generators import counting

        records = int(fold.leaves(counting.post_ids(dataset, "train")).sum())
    if not records:
        left = f", fold {fold} left out," if fold else ""
        raise UserError(f"the training split of {dataset.folder}{left} is empty; it needs a record at least")
    batch_size = recipe.batch_size_per_device * found.replicas
    steps = recipe.steps(records, batch_size)
    return {"devices": found.text, "batch_size": batch_size, "records": records, "steps_per_epoch": steps}


def _build(recipe, dataset, found, facts, source):
    """Return the model with its first weights, what compiles it, the learning rate, the match of tags."""
    import keras

    import Models
    from Models import transfer
    from Utils import phases, training

    found.accumulates(recipe.gradient_accumulation)
    sizes = {"image_size": recipe.image_size, "num_labels": dataset.num_labels}
    architecture = None if recipe.model else _architecture(recipe, source, sizes)
    keras.backend.clear_session()  # names of variables must not depend on what the process did before
    keras.utils.set_random_seed(recipe.seed)
    keras.config.set_dtype_policy(recipe.dtype_policy)
    schedule = training.schedule(recipe, facts["steps_per_epoch"], facts["batch_size"])
    with found.scope():
        if architecture:
            model = transfer.rebuild(architecture)
        else:
            overrides = recipe.model_overrides()
            model = Models.build(recipe.model, classifier_activation=None, **sizes, **overrides)
    match = _transfer(model, dataset, source) if source and not source.begun else None
    family = Models.family(recipe.model or source.model)
    compile = functools.partial(_compile, model, recipe, dataset, found, family, schedule)
    turns = phases.Phases(recipe.freeze_body_epochs, facts["steps_per_epoch"], compile)
    turns.enter(0)
    return model, turns, schedule, match


def _architecture(recipe, source, sizes):
    """Return the JSON of a model like the source's own: what the run has written down, or of the file."""
    from Models import transfer

    if source.begun:
        return (source.file / ARCHITECTURE).read_text(encoding="utf-8")
    return transfer.like(source.file, **sizes, dtype_policy=recipe.dtype_policy)


def _transfer(model, dataset, source):
    """Give the model the weights of the source, matched by tags; return the match, and say what differs."""
    from Generators import counting
    from Models import transfer

    found = sources.match(source, dataset.tags)
    frequencies = dataset.frequencies("train")
    if frequencies is None:
        frequencies = counting.frequencies(dataset.shards("train"), dataset.num_labels)
    for text in transfer.transfer(source.file, model, found.rows, frequencies):
        say(f"warning: the model differs from {source.file}: {text}")
    return found


def _compile(model, recipe, dataset, found, family, schedule, *, frozen, start):
    """Compile for steps from ``start`` on, with the body frozen or not, and make the optimizer's state."""
    from Models import transfer
    from Utils import losses, optimizers, schedules

    loss_options = recipe.loss_options()
    if recipe.tag_weights:
        loss_options["tag_weights"] = tags.factors(dataset.tags, recipe.tag_weights)
    with found.scope():
        transfer.freeze(model, frozen)
        optimizer = optimizers.build(
            recipe.optimizer,
            schedules.Later(schedule, start) if start else schedule,
            weight_decay=recipe.weight_decay,
            agc=recipe.agc or None,
            no_decay=family.NO_DECAY,
            no_clip=family.NO_CLIP,
            rates=transfer.layer_rates(model, recipe.layer_decay),
            ema=recipe.ema or None,
            accumulate=recipe.gradient_accumulation,
            **recipe.optimizer_overrides(),
        )
        model.compile(
            optimizer,
            losses.build(recipe.loss, **loss_options),
            jit_compile=found.compiles(recipe.jit_compile),
            steps_per_execution=recipe.steps_per_execution,
        )
        model.optimizer.build(model.trainable_variables)


def _describe(recipe, dataset, found, facts, source):
    """Print what a run would be."""
    from Utils import memory

    model, _, schedule, match = _build(recipe, dataset, found, facts, source)
    steps, images = facts["steps_per_epoch"], facts["batch_size"]
    last = recipe.epochs * steps - 1
    for what, text in {
        "devices": found.text,
        "model": f"{recipe.model or source.model}, {recipe.image_size} px, {dataset.num_labels} labels",
        "weights": f"{source.file}: {match.text if match else 'begun'}" if source else "fresh",
        "parameters": f"{model.count_params():,}",
        "global batch": f"{images} ({recipe.batch_size_per_device} on each device)",
        "steps": f"{steps} an epoch ({facts['records']} records), {last + 1} in {recipe.epochs} epochs",
        "learning rate": f"{float(schedule(0)):.3g} at first, {schedule.peak:.3g} at the peak, "
        f"{float(schedule(last)):.3g} at last",
        "memory": memory.describe(memory.estimate(model, recipe.batch_size_per_device)),
    }.items():
        print(f"{what:<15}{text}")
    return 0


def _train(run, name, recipe, dataset, found, facts, source):
    """Train until the last epoch, or until a signal asks to stop."""
    import Generators
    import Models
    from Utils import plots, tracking, training

    model, phases, schedule, match = _build(recipe, dataset, found, facts, source)
    if match and found.first:
        _begin(run, recipe, model, source, match)
    labels, size, fold = dataset.num_labels, recipe.image_size, folds.parse(recipe.fold)
    sizes = {"num_labels": labels, "image_size": size, "batch_size": facts["batch_size"], "host": found.host}
    if recipe.unknown_labels:
        sizes["unknown"] = unknown.read(recipe.unknown_labels, dataset.tags).mask

    def batches(step):
        return Generators.train_dataset(
            dataset.shards("train"),
            seed=recipe.seed,
            start_step=step,
            num_records=facts["records"],
            keep=fold and fold.leaves,
            **sizes,
            **recipe.augmentation(),
        )

    def export(path):
        with files.replacing(path) as beside:
            Models.with_probabilities(model).save(beside)

    evaluate = None
    if "validation" in dataset.splits:
        held_out = Generators.eval_dataset(
            dataset.shards("validation"),
            pad_batches=True,
            num_records=dataset.num_records("validation"),
            **sizes,
        )
        with found.scope():
            evaluate = training.evaluator(model, held_out, labels)
    say(training.opening(found.text, facts, evaluate))
    kind = recipe.tracker if found.first else "none"
    tracker = tracking.build(kind, run.folder, name, recipe.to_dict(), recipe.project)
    plan = training.Plan(recipe, facts, schedule, phases, batches, evaluate, export, tracker.log, found)
    if match and evaluate:
        say(training.scores_text("before the first step", evaluate()))
    if not run.continued:
        plots.batch(*next(iter(batches(0))), dataset.tags["name"], run.folder / "batch.png")
    try:
        training.fit(model, run, plan)
    except training.Stopped as stopped:
        say(f"{stopped}; the same command continues")
        return 0 if stopped.signal == signal.SIGTERM else 128 + stopped.signal
    finally:
        tracker.close()
        if found.first:
            plots.curves(run.history.rows, run.folder / "curves.png")
    return 0


def _begin(run, recipe, model, source, match):
    """Save the state before the first step and what it was made of: the source is not needed any more."""
    from Models import transfer
    from Utils import checkpoints

    say(f"weights of {source.file}: {match.text}")
    if not recipe.model:
        with files.replacing(run.folder / ARCHITECTURE) as beside:
            beside.write_text(transfer.describe(model), encoding="utf-8")
    checkpoints.save(run.checkpoints, 0, checkpoints.capture(model))
    sources.remember(run.folder, recipe.init_from, source, match)


if __name__ == "__main__":
    sys.exit(main())
