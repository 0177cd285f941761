"""Fine-tuning: one's own pictures and a trained tagger in, a tagger that says one's own tags out.

    python train.py finetune --dataset DATASET --init-from SOURCE --run-dir runs/mine

SOURCE is a run, a .keras file, a release, a timm folder or a model on the hub (owner/name).

Cost: 40 epochs or fewer; --dry-run measures a few steps and says how long they take here.
Expected: new tags learned, kept tags as good as before; results/finetune has the study.

Model, loss and augmentation are those that SOURCE was trained with. Optimizer, rates, epochs, MixUp and image
size follow from the number of pictures, kept tags and new tags; the command says them and why, and flags win.
"""

import dataclasses

from Utils.recipe.finetuning import choose  # noqa: F401  the rule of this recipe
from Utils.recipe.recipe import Recipe


def after(recipe: Recipe) -> Recipe:
    """Return the recipe that continues a training by ``recipe``, before its rule has chosen."""
    return dataclasses.replace(
        recipe,
        image_size=None,
        epochs=10,
        steps_per_epoch=None,
        warmup="0 epochs",
        schedule="cosine",
        layer_decay=1.0,
        learned_rate_factor=1.0,
        freeze_body_epochs=0,
        probe=False,
        early_stopping=0,
        best_by="f1",
        init_from="",
        which="best",
        source_order="auto",
        fold="",
        unknown_labels="",
        tag_weights="",
    )


RECIPE = after(
    Recipe(model="", optimizer="lamb", learning_rate=5e-4, weight_decay=0.005, loss="bce", mixup_alpha=0.2)
)
