"""Find out up to which learning rate NFNet trains, with and without adaptive gradient clipping.

A small NFNet with the optimizer and loss of the recipe nfnet_l0 is trained from the same weights at every
learning rate of a grid, each twice the one before. It trains where the final loss (the mean of the last tenth
of the steps) is below half of the initial one.
"""

import csv
import math
import pathlib
import sys

import numpy as np

from Utils import config, datasets, startup
from Utils.commands import Parser, UserError, command, progress
from Utils.files import replacing, require_absent

COLUMNS = ("agc", "learning_rate", "seed", "initial_loss", "final_loss", "trains")


def parser():
    """Return the argument parser."""
    made = Parser(prog="agc_grid.py", description=__doc__)
    made.add_argument("--dataset", required=True, help="dataset folder")
    made.add_argument(
        "-o", "--output", required=True, type=pathlib.Path, metavar="CSV", help="table to write"
    )
    made.add_argument("--model", default="NFNet/test", help="Family/Variant (NFNet/test)")
    made.add_argument("--image-size", type=int, default=32, help="side of the images in pixels (32)")
    made.add_argument("--batch-size", type=int, default=32, help="images in a step (32)")
    made.add_argument("--steps", type=int, default=60, help="steps of each training (60)")
    made.add_argument("--first", type=float, default=0.0125, help="lowest learning rate (0.0125)")
    made.add_argument("--count", type=int, default=10, help="learning rates, each twice the one before (10)")
    made.add_argument("--agc", type=float, default=0.01, help="factor of the clipping (0.01)")
    made.add_argument("--seeds", type=int, default=3, help="initial weights and orders of the data (3)")
    made.add_argument("--overwrite", action="store_true", help="replace an existing table")
    return made


@command
def main(argv=None):
    """Run the command."""
    options = parser().parse_args(argv)
    if min(options.count, options.seeds, options.batch_size) < 1 or options.steps < 10:
        raise UserError("--count, --seeds and --batch-size must be 1 or more, --steps 10 or more")
    require_absent(options.output, options.overwrite)
    dataset = datasets.load(options.dataset)
    dataset.shards("train")
    startup.tensorflow()
    rates = [options.first * 2**place for place in range(options.count)]
    data = _data(dataset, options)
    rows = []
    for agc in (0.0, options.agc):
        rows += _half(agc, rates, data, options)
    with replacing(options.output) as beside, beside.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    for agc in (0.0, options.agc):
        print(_verdict(rows, agc, rates))
    return 0


def _data(dataset, options):
    """Return all training images and labels, (N, S, S, 3) uint8 and (N, num_labels) float32."""
    from Generators import eval_dataset

    sizes = {"num_labels": dataset.num_labels, "image_size": options.image_size, "batch_size": 64}
    batches = [(x.numpy(), y.numpy()) for x, y in eval_dataset(dataset.shards("train"), **sizes)]
    return tuple(np.concatenate(arrays) for arrays in zip(*batches, strict=True))


def _half(agc, rates, data, options):
    """Train at every learning rate from the weights of every seed; return the rows of the table."""
    from Utils import checkpoints

    num_labels, seeds = data[1].shape[1], range(options.seeds)
    starts = [_built(seed, num_labels, options).get_weights() for seed in seeds]
    model = _compiled(_built(0, num_labels, options), agc, options)
    fresh, rows = checkpoints.capture(model), []
    plan = [(seed, rate) for seed in seeds for rate in rates]
    for seed, rate in progress(plan, label=f"agc {agc:g}", unit="trainings"):
        checkpoints.restore(model, fresh)
        model.set_weights(starts[seed])
        model.optimizer.learning_rate = rate
        losses = _losses(model, seed, data, options)
        whole = len(losses) == options.steps
        final = float(np.mean(losses[-(options.steps // 10) :])) if whole else math.nan
        numbers = (agc, rate, seed, round(losses[0], 4), round(final, 4), int(final < losses[0] / 2))
        rows.append(dict(zip(COLUMNS, numbers, strict=True)))
    return rows


def _built(seed, num_labels, options):
    """Return the model with the weights of a seed."""
    import keras

    import Models

    recipe = config.recipe("nfnet_l0")
    keras.utils.set_random_seed(seed)
    sizes = {"image_size": options.image_size, "num_labels": num_labels}
    chosen = {"attention": recipe.attention, "compensate_avgpool_var": recipe.compensate_avgpool_var}
    return Models.build(options.model, classifier_activation=None, **sizes, **chosen)


def _compiled(model, agc, options):
    import Models
    from Utils import losses, optimizers

    recipe, exempt = config.recipe("nfnet_l0"), Models.family(options.model).NO_CLIP
    optimizer = optimizers.build("sgd", 0.1, momentum=recipe.momentum, agc=agc or None, no_clip=exempt)
    model.compile(optimizer, losses.build(recipe.loss, **recipe.loss_options()), jit_compile=False)
    model.optimizer.build(model.trainable_variables)
    return model


def _losses(model, seed, data, options):
    """Return the loss of each step, up to the first that is no number."""
    random, found = np.random.default_rng(seed), []
    for _ in range(options.steps):
        rows = random.integers(0, len(data[0]), options.batch_size)
        model.reset_metrics()
        found.append(float(model.train_on_batch(data[0][rows], data[1][rows])))
        if not math.isfinite(found[-1]):
            break
    return found


def _verdict(rows, agc, rates):
    """Say up to which learning rate every seed trains."""
    fails = {row["learning_rate"] for row in rows if row["agc"] == agc and not row["trains"]}
    good = [rate for rate in rates if rate not in fails]
    name = f"AGC {agc:g}" if agc else "without AGC"
    return f"{name}: every seed trains at {', '.join(f'{rate:g}' for rate in good) or 'none'}"


if __name__ == "__main__":
    sys.exit(main())
