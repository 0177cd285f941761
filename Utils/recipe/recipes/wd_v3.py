"""ViT B16 at 448 px from scratch, as WD ViT tagger v3 was trained, as far as its author published it.

    python train.py wd_v3 --dataset DATASET --run-dir runs/wd_v3

Cost: 10 epochs of 5.75 million images at 448 px; 19.4 GB a device by the compiler for a v4-8; not run here.
Expected: wd-vit-tagger-v3 published macro F1 0.4402 over 10,861 tags at P = R, after an earlier training that
is not published.

Source: the command line of issue 10 of SmilingWolf/JAX-CV (2024-03-12) and that program's defaults.
Not published: devices (so the global batch), and the weights of tags in the loss of version 2; --tag-weights
takes a column of such weights. Stochastic depth grows from block to block there; here it is the same for all.
"""

from Utils.recipe.recipe import Recipe

RECIPE = Recipe(
    model="ViT/B16",
    image_size=448,
    activation="gelu_tanh",
    epsilon=1e-5,
    stochastic_depth=0.2,
    model_options=("layer_scale=none",),
    dtype_policy="mixed_bfloat16",
    batch_size_per_device=32,
    epochs=10,
    optimizer="lamb",
    learning_rate=5e-4,
    learning_rate_batch_size=0,  # its program does not scale it by the batch
    weight_decay=0.005,
    global_clipnorm=1.0,
    loss="bce",
    mixup_alpha=0.6,
    rotation=0.0,
)
