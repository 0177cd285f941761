"""NFNet L0 with ECA and SiLU at 320 px, as the original zoo trained it.

    python train.py nfnet_l0 --dataset DATASET --run-dir runs/nfnet_l0

Cost: 100 epochs of 2.8 million images at 320 px; all NFNets of the original together took 112 days of TPU
time; not run here.
Expected: no score of it was published with the README. MixUp 0.3 was no better than 0.2; ECA and SiLU were.
The learning rate is for a global batch of 256 (32 on each of 8 replicas) and scales with the batch.
"""

from Utils.recipe.recipe import Recipe

RECIPE = Recipe(
    model="NFNet/L0",
    attention="eca",
    activation="silu",
    compensate_avgpool_var=True,  # as in the released weights; off by default in the builder
    stochastic_depth=0.1,
    optimizer="sgd",
    momentum=0.9,
    learning_rate=0.1,
    warmup="5 epochs",
    # The original clipped each of 8 replicas' share at 0.01 before adding them up, so up to 0.08 on the
    # global gradient; here the global gradient is clipped, which is stricter.
    agc=0.01,
    loss="focal",
    focal_alpha=0.25,
    focal_gamma=2.0,
    mixup_alpha=0.2,
)
