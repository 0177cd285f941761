"""ViT L16 at 320 px, trained as ViT B16 with more stochastic depth.

    python train.py vit_l16 --dataset DATASET --run-dir runs/vit_l16

Cost: 100 epochs of 2.8 million images at 320 px, 3.5 times ViT B16; not run here.
Expected: no score of it was published.
"""

import dataclasses

from Utils.recipe.recipes import vit_b16

RECIPE = dataclasses.replace(vit_b16.RECIPE, model="ViT/L16", stochastic_depth=0.2)
