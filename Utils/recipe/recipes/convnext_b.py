"""ConvNext B at 448 px, as the released ConvNextBV1_09_25_2022 was trained.

    python train.py convnext_b --dataset DATASET --run-dir runs/convnext_b

Cost: 200 epochs of 3.1 million images at 448 px; 24 days on TPU, ViT B16 included, says the original.
Expected: F1 0.6941 over 5,500 tags at P = R (threshold 0.3673), published.
"""

import dataclasses

from Utils.recipe.recipes import convnext_t

RECIPE = dataclasses.replace(
    convnext_t.RECIPE, model="ConvNext/B", image_size=448, epochs=200, stochastic_depth=0.5
)
