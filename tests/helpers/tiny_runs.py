"""Runs of a tiny ConvNext: their command line, and what they leave in their folder."""

import csv
import json

import numpy as np

# Stochastic depth and MixUp are on, as in every run of convnext_t. Most of the time is tracing, of which two
# stages and SGD have less.
TINY = """convnext_t --model ConvNext/test --model-options depths=1,1 widths=8,16 --image-size 32
--batch-size-per-device 4 --tracker none --optimizer sgd
--learning-rate 0.01 --learning-rate-batch-size 0 --stochastic-depth 0.3"""


def command(dataset, folder, *more):
    return [*TINY.split(), "--dataset", str(dataset), "--run-dir", str(folder), *more]


def history(folder):
    with (folder / "history.csv").open() as file:
        return list(csv.DictReader(file))


def state(folder):
    newest = json.loads((folder / "checkpoints" / "newest.json").read_text())[0]
    with np.load(folder / "checkpoints" / newest["file"]) as stored:
        return {name: stored[name] for name in stored.files}
