"""A run of a tiny ViT and its release, which the tests of verification copy and break."""

import contextlib
import json
import pathlib

import keras
import onnx

import Models
from helpers.weights import randomized
from tools import export_model
from Utils.tags import tag_list

OPTIONS = {"depth": 1, "width": 32, "mlp_width": 64, "heads": 2, "layer_scale": None}
SIZE, NUM_LABELS = 32, 18


def tag_csv():
    """Ratings, general and character tags: 18."""
    rows = [(9999999 - place, name, 9, 0) for place, name in enumerate(tag_list.RATINGS)]
    for category, number in ((0, 10), (4, 4)):
        rows += [(100 * category + i + 1, f"tag_{category}_({i})", category, 900 - i) for i in range(number)]
    return "tag_id,name,category,count\n" + "".join(f"{','.join(map(str, row))}\n" for row in rows)


def build(**options):
    """The model of the release with other options."""
    return Models.build(
        "ViT/B16",
        image_size=SIZE,
        num_labels=NUM_LABELS,
        **{"classifier_activation": None, **OPTIONS, **options},
    )


def make(folder):
    """Write a run and its release into ``folder``."""
    folder = pathlib.Path(folder)
    keras.utils.set_random_seed(7)
    (folder / "run").mkdir()
    randomized(build()).save(folder / "run" / "best.keras")
    (folder / "run" / "selected_tags.csv").write_text(tag_csv())
    words = ["layer_scale=none", *(f"{name}={value}" for name, value in OPTIONS.items() if value)]
    (folder / "run" / "recipe.json").write_text(json.dumps({"model": "ViT/B16", "model_options": words}))
    assert export_model.main([str(folder / "run"), "-o", str(folder / "release")]) == 0


def altered(exported, **options):
    """The released model with the same weights, built otherwise."""
    model = build(classifier_activation="sigmoid", **options)
    model.set_weights(keras.saving.load_model(exported / "run" / "best.keras").get_weights())
    return model


@contextlib.contextmanager
def editing(folder):
    """Change the model.onnx of a folder in place."""
    model = onnx.load(str(folder / "model.onnx"))
    yield model
    onnx.save(model, str(folder / "model.onnx"))


def without_timm(folder):
    """Remove timm's files, which have a test of their own: torch takes seconds."""
    for name in ("config.json", "model.safetensors"):
        (folder / name).unlink()
    return folder


def faults(verification):
    """The faults that a verification named, each with its rule."""
    return {(failure.rule, failure.fault) for failure in verification.findings.failures if failure.fault}
