"""ConvNext T at 320 px, as the original zoo trained it.

    python train.py convnext_t --dataset DATASET --run-dir runs/convnext_t

Cost: 100 epochs of 2.8 million images; on 8 TPU v3 cores some days.
Expected: the original's sweep ended at F1 0.6701 over 2,380 tags at P = R, with this loss (results/).
"""

from Utils.config import Recipe

RECIPE = Recipe(
    model="ConvNext/T",
    stochastic_depth=0.1,
    optimizer="lamb",
    learning_rate=5e-4,  # at a global batch of 256: 32 on each of 8 replicas
    weight_decay=0.005,
    loss="bce",  # what the original called ASL 0 0 0
    mixup_alpha=0.8,
)
