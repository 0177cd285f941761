"""DINOv3 L16 fine-tuned at 448 px for some 10,000 tags, on a TPU v4-8.

    python train.py dinov3_l16 --dataset DATASET --init-from timm/vit_large_patch16_dinov3.lvd1689m \
      --run-dir runs/dinov3_l16

Cost: 12.3 of 33 GB on each of four chips, 64 images on each, by the TPU's compiler (`--dry-run --topology
v4-8`); not run here.
Expected: no score was published; DINOv3 is scored with its body frozen.

Source: the fine-tuning of ViT L16 after self-supervised training in arXiv:2111.06377 and its code (peak 1e-3
for a batch of 256, layer decay 0.75, stochastic depth 0.2, MixUp 0.8, a tenth of the epochs as warm-up). The
epochs are ours: 10 over millions of pictures instead of 50 over ImageNet. Blocks are computed
twice, which makes room.
"""

from Utils.recipe.recipe import Recipe

RECIPE = Recipe(
    model="DINOv3/L16",
    image_size=448,
    stochastic_depth=0.2,
    dtype_policy="mixed_bfloat16",
    rematerialize="blocks",
    batch_size_per_device=64,
    epochs=10,
    warmup="1 epochs",
    optimizer="adamw",
    learning_rate=1e-3,
    learning_rate_batch_size=256,
    weight_decay=0.05,
    layer_decay=0.75,
    loss="bce",
    mixup_alpha=0.8,
    rotation=0.0,
)
