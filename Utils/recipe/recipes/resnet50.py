"""ResNet 50 at 320 px, as the original zoo trained it.

    python train.py resnet50 --dataset DATASET --run-dir runs/resnet50

Cost: 100 epochs of 2.8 million images at 320 px; not run here.
Expected: no score of it was published with the README.
Batch norm takes its statistics over the global batch, which should hold 16 images or more.
"""

from Utils.recipe.recipe import Recipe

RECIPE = Recipe(
    model="ResNet/50",
    stochastic_depth=0.1,
    dropout=0.0,  # the builder's default is 0.25
    optimizer="lamb",
    learning_rate=5e-4,
    weight_decay=0.05,
    loss="bce",
    mixup_alpha=0.8,
)
