"""Train a model: ``python train.py RECIPE --dataset DATASET --run-dir RUN [--any-field value] [--dry-run]``.

The composition root: recipe -> devices, data, model, loss, optimizer -> fit. Libraries are imported late.
"""

import os
import signal
import sys

from Utils import config, datasets, files
from Utils.commands import UserError, command
from Utils.runs import Run, say


@command
def main(argv=None):
    """Train as the command line says; return the exit code."""
    name, arguments = config.parse(argv)
    recipe, dataset = arguments.recipe, datasets.load(arguments.dataset)
    records = dataset.num_records("train")
    if not records:
        raise UserError(f"the training split of {dataset.folder} is empty; at least one record is needed")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    from Utils import devices

    found = devices.find()
    batch_size = recipe.batch_size_per_device * found.replicas
    facts = {
        "devices": found.text,
        "batch_size": batch_size,
        "records": records,
        "steps_per_epoch": recipe.steps(records, batch_size),
    }
    if arguments.dry_run:
        return _describe(recipe, dataset, found, facts)
    with found.in_turn("run folder"):
        run = Run(arguments.run_dir, name, recipe, dataset, facts, found.first)
    with run:
        return _train(run, name, recipe, dataset, found, facts)


def _build(recipe, dataset, found, facts):
    """Return the compiled model with its optimizer's state made, and the schedule of the learning rate."""
    import keras

    import Models
    from Utils import losses, optimizers, training

    found.accumulates(recipe.gradient_accumulation)
    keras.backend.clear_session()  # names of variables must not depend on what the process did before
    keras.utils.set_random_seed(recipe.seed)
    keras.config.set_dtype_policy(recipe.dtype_policy)
    schedule = training.schedule(recipe, facts["steps_per_epoch"], facts["batch_size"])
    family = Models.family(recipe.model)
    with found.scope():
        model = Models.build(
            recipe.model,
            image_size=recipe.image_size,
            num_labels=dataset.num_labels,
            classifier_activation=None,
            **recipe.model_overrides(),
        )
        optimizer = optimizers.build(
            recipe.optimizer,
            schedule,
            weight_decay=recipe.weight_decay,
            agc=recipe.agc or None,
            no_decay=family.NO_DECAY,
            no_clip=family.NO_CLIP,
            ema=recipe.ema or None,
            accumulate=recipe.gradient_accumulation,
            **recipe.optimizer_overrides(),
        )
        model.compile(
            optimizer,
            losses.build(recipe.loss, **recipe.loss_options()),
            jit_compile=found.compiles(recipe.jit_compile),
            steps_per_execution=recipe.steps_per_execution,
        )
        model.optimizer.build(model.trainable_variables)
    return model, schedule


def _describe(recipe, dataset, found, facts):
    """Print what a run would be."""
    from Utils import memory

    model, schedule = _build(recipe, dataset, found, facts)
    steps, images = facts["steps_per_epoch"], facts["batch_size"]
    last = recipe.epochs * steps - 1
    for what, text in {
        "devices": found.text,
        "model": f"{recipe.model}, {recipe.image_size} px, {dataset.num_labels} labels",
        "parameters": f"{model.count_params():,}",
        "global batch": f"{images} ({recipe.batch_size_per_device} on each device)",
        "steps": f"{steps} an epoch ({facts['records']} records), {last + 1} in {recipe.epochs} epochs",
        "learning rate": f"{float(schedule(0)):.3g} at first, {schedule.peak:.3g} at the peak, "
        f"{float(schedule(last)):.3g} at last",
        "memory": memory.describe(memory.estimate(model, recipe.batch_size_per_device)),
    }.items():
        print(f"{what:<15}{text}")
    return 0


def _train(run, name, recipe, dataset, found, facts):
    """Train until the last epoch, or until a signal asks to stop."""
    import Generators
    import Models
    from Utils import plots, tracking, training

    model, schedule = _build(recipe, dataset, found, facts)
    labels, size = dataset.num_labels, recipe.image_size
    sizes = {"num_labels": labels, "image_size": size, "batch_size": facts["batch_size"], "host": found.host}

    def batches(step):
        return Generators.train_dataset(
            dataset.shards("train"),
            seed=recipe.seed,
            start_step=step,
            num_records=facts["records"],
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
    plan = training.Plan(recipe, facts, schedule, batches, evaluate, export, tracker.log, found)
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


if __name__ == "__main__":
    sys.exit(main())
