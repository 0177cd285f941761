"""ViT B16 at 320 px, as the original zoo trained it.

    python train.py vit_b16 --dataset DATASET --run-dir runs/vit_b16

Cost: 100 epochs of 2.8 million images at 320 px; not run here.
Expected: the released ViTB16_09_25_2022 (448 px) published F1 0.6918 over 5,500 tags at P = R (threshold
0.3663), and is better than ConvNext B on the rarer tags. Its author found it sensitive to the learning rate.
"""

from Utils.recipe.recipe import Recipe

RECIPE = Recipe(
    model="ViT/B16",
    stochastic_depth=0.05,
    optimizer="lamb",
    learning_rate=1e-3,
    warmup="5 epochs",
    weight_decay=0.05,
    loss="bce",
    mixup_alpha=0.8,
)
