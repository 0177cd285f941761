"""images/s of a training step: ours, and of timm's model of the same shape on torch, in turns.

A step is forward, backward, SGD with momentum, binary cross entropy; both sides have the same
cores; the ratio is the median over rounds.
"""

import contextlib
import os

import numpy as np

from Utils.bench import timing, timm_peer
from Utils.command.backend import prepare_backend
from Utils.command.cli import UserError, assignment

LEARNING_RATE = 1e-5  # the batch is noise: the step is to be real, the weights are to stay finite


def add_arguments(made):
    """Declare the options."""
    made.add_argument("--model", nargs="+", default=["ConvNext/T"], metavar="FAMILY/VARIANT")
    made.add_argument("--image-size", type=int, default=224, help="side of the images (224)")
    made.add_argument("--batch-size", type=int, default=8, help="images in a batch (8)")
    made.add_argument("--num-labels", type=int, default=2380, help="labels (2380)")
    made.add_argument("--rounds", type=int, default=5, help="rounds, each side once in each (5)")
    made.add_argument("--steps", type=int, default=2, help="steps of a round (2)")
    made.add_argument(
        "--threads", type=int, default=timing.cores(), help="cores that each side may use (all)"
    )
    made.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE", help="of every model")
    made.add_argument("--peer", metavar="timm|timm:NAME", help="measure timm's model of the same shape too")


def measure(options):
    """Measure training steps, ours and the peer's in turns, each in a process of its own."""
    for name in ("image_size", "batch_size", "num_labels", "rounds", "steps", "threads"):
        if getattr(options, name) < 1:
            raise UserError(f"--{name.replace('_', '-')} must be at least 1; got {getattr(options, name)}")
    overrides = dict(assignment("--set", text) for text in options.set)
    others = {model: timm_peer.name(model, options.peer) for model in options.model} if options.peer else {}
    setup = {name: getattr(options, name) for name in ("image_size", "batch_size", "num_labels", "threads")}
    setup["load before"] = round(os.getloadavg()[0], 2)
    figures, ratios, rounds = {}, {}, {}
    for model in options.model:
        found = _rounds(model, overrides, others.get(model), options)
        rounds |= found
        figures |= {side: float(np.median(speeds)) for side, speeds in found.items()}
        if others:
            ours, theirs = found.values()
            ratios[f"{model} to {others[model]}"] = float(np.median(np.divide(ours, theirs)))
    result = {"part": "train", "unit": "images/s", "setup": setup, "figures": figures, "ratios": ratios}
    return result | {"rounds": rounds}


def _rounds(model, overrides, peer, options):
    """Return images/s of every round for each side, as ``{what was measured: [...]}``.

    The sides take turns, and the one to begin changes: drift of the machine meets both.
    """
    sizes = {name: getattr(options, name) for name in ("image_size", "batch_size", "num_labels")}
    with contextlib.ExitStack() as stack:

        def side(make, *arguments):
            child = stack.enter_context(timing.Apart(options.threads, make, *arguments))
            child.seconds(2)
            return child, *child.about

        child, label, rates = side(_our_step, model, overrides, sizes)
        sides = {label: child}
        if peer:
            child, label = side(timm_peer.training_step, peer, rates, _noise(**sizes), LEARNING_RATE)
            sides[label] = child
        found = {label: [] for label in sides}
        for number in range(options.rounds):
            for label in list(sides)[:: -1 if number % 2 else 1]:
                seconds = sum(sides[label].seconds(options.steps))
                found[label].append(options.steps * options.batch_size / seconds)
    return found


def _noise(image_size, batch_size, num_labels):
    """Return images (B, S, S, 3), 0..255, and labels of which 1% are true, both float32."""
    random = np.random.default_rng(0)
    images_ = random.random((batch_size, image_size, image_size, 3), np.float32) * 255
    return images_, (random.random((batch_size, num_labels)) < 0.01).astype(np.float32)


def _our_step(model, overrides, sizes):
    """Return a training step as train.py takes it, what it is, and the rates of dropout in timm's words."""
    prepare_backend()
    import Models
    from Utils.training import devices, losses, optimizers

    found = devices.find()
    spec = Models.spec(model, **overrides)
    with found.scope():
        made = Models.build(
            model,
            image_size=sizes["image_size"],
            num_labels=sizes["num_labels"],
            classifier_activation=None,
            **overrides,
        )
        optimizer = optimizers.build("sgd", LEARNING_RATE)
        made.compile(optimizer, losses.build("bce"), jit_compile=found.jit_compile)
    images_, labels = _noise(**sizes)
    rates = {"drop_rate": spec.dropout, "drop_path_rate": spec.stochastic_depth}
    return lambda: made.train_on_batch(images_, labels), f"{model} ({found.text.partition(',')[0]})", rates
