"""A small residual network, from scratch on 5,000 to 50,000 pictures: 64 to 128 px on a laptop, more on a GPU.

    python train.py small --dataset my/dataset --run-dir runs/small
    python train.py small --dataset my/dataset --run-dir runs/small_224 --image-size 224 --batch-size-per-device 64

Cost: 5 ms a picture and epoch at 64 px on one core; it grows with the number of pixels.

Chosen by `tools/studies/learning.py` (results/learning/README.md has the figures) against timm's nets of this
size. What counted, in order: batch norm on the shortcuts that change the width, a classifier that starts at the
tags' frequencies, a fourth stage, a stem of two 3x3 convolutions, and a head that sees where things are.
"""

from Utils.recipe.recipe import Recipe

RECIPE = Recipe(
    model="ResNet/18",
    model_options=(
        "depths=1,1,1,1", "stem=convolutions", "shortcut_norm=true", "pool_cells=2", "pool_overlap=true",
    ),
    stochastic_depth=0.0,
    dropout=0.0,
    image_size=64,
    batch_size_per_device=32,
    epochs=20,
    rotation=0.0,
    crop=(0.9, 1.0),
    methods=("area",),
    mixup_alpha=0.0,
    loss="bce",
    optimizer="adamw",
    learning_rate=3e-3,
    learning_rate_batch_size=32,
    warmup="1 epoch",
    weight_decay=0.05,
    tracker="none",  # nothing leaves the machine
)  # fmt: skip
