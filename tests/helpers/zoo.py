"""Small models of the zoo and images for them."""

import dataclasses

import numpy as np

import Models

SIZE, LABELS = 32, 5


def spec_fields(name):
    """The names of the fields of a model's Spec."""
    return {field.name for field in dataclasses.fields(Models.spec(name))}


def build_small(name, **options):
    """A model that gives logits, of 32 px and 5 labels unless ``options`` say otherwise."""
    options = {"image_size": SIZE, "num_labels": LABELS, "classifier_activation": None} | options
    return Models.build(name, **options)


def draw_images(count=3, size=SIZE, seed=0):
    """Random images (count, size, size, 3), 0..255, float32."""
    return np.random.default_rng(seed).integers(0, 256, (count, size, size, 3)).astype("float32")
