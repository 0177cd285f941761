"""NFResNet 50 with ReLU and no attention at 320 px, otherwise trained as NFNet L0.

    python train.py nfresnet50 --dataset DATASET --run-dir runs/nfresnet50

Cost: 100 epochs of 2.8 million images at 320 px; not run here.
Expected: no score of it was published, and the original has no script of its own for it.
"""

import dataclasses

from Utils.recipe.recipes import nfnet_l0

RECIPE = dataclasses.replace(nfnet_l0.RECIPE, model="NFResNet/50", attention="none", activation="relu")
