"""The models of a run, with fresh weights: the one that is evaluated and saved, and the one that trains."""

from typing import Any

import keras

import Models
from Models import transfer
from Utils.recipe.initial_weights import Source
from Utils.recipe.recipe import Recipe
from Utils.training.devices import Devices

ARCHITECTURE = "architecture.json"  # of a run that takes its model from --init-from, not from the recipe


def build_models(
    recipe: Recipe, num_labels: int, devices: Devices, source: Source | None, mixup_rows: int
) -> tuple[keras.Model, keras.Model]:
    """Return the model, and the model that is trained: it, or one around it with the same weights.

    That augments images first, or rematerializes blocks, as the recipe says; ``mixup_rows`` are those that
    MixUp mixes. For a probe it is the head alone. Sets Keras' random seed and dtype policy, and the form of
    attention.
    """
    sizes = {"image_size": recipe.image_size, "num_labels": num_labels}
    architecture = None
    if source and (not recipe.model or (source.is_taken_over and (source.file / ARCHITECTURE).exists())):
        architecture = _architecture(recipe, source, sizes)
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
        trained_model = Models.rematerialized(model) if recipe.rematerialize == "blocks" else model
        if recipe.augment_on == "host":
            return model, trained_model
        # Partners are among neighboring rows, as on the host, if every device has whole groups of them.
        has_groups = recipe.batch_size_per_device % mixup_rows == 0
        return model, Models.with_augmentation(trained_model, mixup_rows if has_groups else None)


def _architecture(recipe: Recipe, source: Source, sizes: dict[str, Any]) -> str:
    """Return the JSON of a model like the source's: as the run has recorded it, or of the source's file."""
    if source.is_taken_over:
        return (source.file / ARCHITECTURE).read_text(encoding="utf-8")
    distribution = keras.distribution.distribution()
    architecture = transfer.adapted_json(source.file, **sizes, dtype_policy=recipe.dtype_policy)
    keras.backend.clear_session()  # names of variables must not depend on what was loaded
    keras.distribution.set_distribution(distribution)  # it was cleared, too
    return architecture
