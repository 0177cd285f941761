"""NFNet L2 with ECA and SiLU at 320 px, trained as NFNet L0.

    python train.py nfnet_l2 --dataset DATASET --run-dir runs/nfnet_l2

Cost: 100 epochs of 2.8 million images at 320 px; 2.2 times the weights of NFNet L0; 232 hours
of processor time on TPUs, says the original. Not run here.
Expected: no score of it was published with the README. The original overfitted from epoch 70 of 100 on.
"""

import dataclasses

from Utils.recipe.recipes import nfnet_l0

RECIPE = dataclasses.replace(nfnet_l0.RECIPE, model="NFNet/L2")
