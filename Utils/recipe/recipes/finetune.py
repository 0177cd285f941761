"""Fine-tuning: one's own pictures and a trained tagger in, a tagger that says one's own tags out.

    python train.py finetune --dataset DATASET --init-from SOURCE --run-dir runs/mine

SOURCE is a run, a .keras file, a release, a timm folder or a model on the hub (owner/name).

Cost: 40 epochs or fewer; --dry-run measures a few steps and says how long they take here.
Expected: on 1,000 drawn pictures with 20 new tags, F1 0.806 on these (0.807 with --probe, 0.753 from scratch)
and 0.847 on kept tags (0.849 before), three seeds; results/finetune has the study.

Model, loss and augmentation are those that SOURCE was trained with. The rest follows from the number of
pictures, kept and new tags; the command says what and why, and flags win. In the study, LAMB at a rate
scaled down for the batch left 17 of 20 new tags unpredicted; AdamW at 3e-3 taught them. Few pictures spoil
kept tags through their rows of the classifier, less through the body, so both learn at 0.03 of that rate.
MixUp of 0.2 was better than none, twice as many epochs were not, and the loss chose better epochs than the
F1 of 30 validation pictures.
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
        teacher="",
        teacher_thresholds="",
        teacher_weight=1.0,
        sampling="uniform",
        sampling_threshold=None,
        tag_weights="",
    )


RECIPE = after(
    Recipe(model="", optimizer="lamb", learning_rate=5e-4, weight_decay=0.005, loss="bce", mixup_alpha=0.2)
)
