"""SigLIP 2 B16 fine-tuned at 448 px for some 10,000 tags, on one or more GPUs of 24 GB.

    python train.py siglip2_b16 --dataset DATASET --init-from timm/vit_base_patch16_siglip_384.v2_webli \
      --run-dir runs/siglip2_b16

Cost: 12.7 GB for 16 images a device by the TPU's compiler (22.3 GB for 32); not run here. --rematerialize
blocks makes room for more.
Expected: no score was published. SigLIP 2 is the source of JTP-3 and cl_tagger v2.

Source: the fine-tuning of CLIP B16 at 384 px in arXiv:2212.06138 (peak 7e-4 at a batch of 2,048, layer decay
0.6, averages of 0.9998, a fifth of the epochs as warm-up, neither MixUp nor stochastic depth). The epochs are
ours: 10 over millions of pictures instead of 50 over ImageNet. The head is its own attention pooling.
"""

from Utils.recipe.recipe import Recipe

RECIPE = Recipe(
    model="ViT/B16-SigLIP",
    image_size=448,
    source_order="rgb",  # its means are equal, so its files do not tell
    dtype_policy="mixed_bfloat16",
    batch_size_per_device=16,
    gradient_accumulation=16,
    epochs=10,
    warmup="2 epochs",
    optimizer="adamw",
    learning_rate=7e-4,
    learning_rate_batch_size=2048,
    weight_decay=0.05,
    layer_decay=0.6,
    ema=0.9998,
    loss="bce",
    mixup_alpha=0.0,
    rotation=0.0,
)
