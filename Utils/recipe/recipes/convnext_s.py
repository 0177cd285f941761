"""ConvNext S at 320 px, trained as ConvNext T.

    python train.py convnext_s --dataset DATASET --run-dir runs/convnext_s

Cost: 100 epochs of 2.8 million images at 320 px, 1.9 times ConvNext T; not run here.
Expected: no score of it was published.
"""

import dataclasses

from Utils.recipe.recipes import convnext_t

RECIPE = dataclasses.replace(convnext_t.RECIPE, model="ConvNext/S")
