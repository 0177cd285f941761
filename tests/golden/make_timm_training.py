"""Make timm_training.npz: 50 steps of small models of timm, from timm's own first weights, in torch.

Needs torch and timm (made with torch 2.14.1, timm 1.0.31): ``python tests/golden/make_timm_training.py``. For
every model: its first weights in float16, from which torch starts, too; by optimizer the loss of every step,
batch norm's statistics, and the norm and a random projection of the first and last gradient and of the change
of every weight. tests/models/test_timm_training.py trains the same models here.
"""

import json
import pathlib
import re
import zlib

import numpy as np

HERE = pathlib.Path(__file__).parent
STEPS, BATCH, LABELS = 50, 8, 7
RESNET = {"layers": [1, 1, 1, 1], "channels": (8, 8, 16, 16), "stem_width": 4}
CONVNEXT = {"depths": [1, 1, 1, 1], "dims": [8, 16, 16, 24]}
VIT = {"img_size": 32, "patch_size": 8, "embed_dim": 24, "depth": 2, "num_heads": 2}
DEPTHS, WIDTHS = (1, 1, 1, 1), (8, 16, 16, 24)
DEEP = {"depths": DEPTHS, "stem": "deep", "shortcut_norm": True, "epsilon": 1e-5}
NORMS = {"qk_norm": True, "pre_norm": True}
TOKENS = {"patch": 8, "depth": 2, "width": 24, "heads": 2}
# name: architecture, arguments of timm, image size, our model, fields of its Spec
CASES = {
    "resnet_basic": ("resnet18d", RESNET, 40, "ResNet/18", DEEP | {"widths": (8, 8, 16, 16)}),
    "resnet_bottleneck": (
        "resnet50d", RESNET | {"avg_down": False, "channels": (8, 8, 8, 8)}, 40,
        "ResNet/50", DEEP | {"widths": (8, 8, 8, 8), "shortcut": "stride"},
    ),
    "convnext": ("convnext_atto", CONVNEXT, 32, "ConvNext/A", {"depths": DEPTHS, "widths": WIDTHS}),
    "convnextv2": ("convnextv2_atto", CONVNEXT, 32, "ConvNext/V2-A", {"depths": DEPTHS, "widths": WIDTHS}),
    "vit": (
        "vit_tiny_patch16_224", VIT | NORMS, 32, "ViT/Ti16",
        TOKENS | {"mlp_width": 96, "class_token": True, "pool": "token", "norm_after_pool": None}
        | {"layer_scale": None} | NORMS,
    ),
    "swinv2": (
        "swinv2_tiny_window8_256",
        {"img_size": 32, "embed_dim": 8, "depths": [2, 1], "num_heads": [2, 2], "window_size": 4}, 32,
        "SwinV2/tiny_window8_256", {"depths": (2, 1), "width": 8, "heads": (2, 2), "window": 4},
    ),
    "siglip": (
        "vit_base_patch16_siglip_224", VIT, 32, "ViT/B16-SigLIP", TOKENS | {"mlp_width": 96},
    ),
    "dinov3": (
        "vit_small_patch16_dinov3", VIT | {"init_values": 0.1}, 32, "DINOv3/S16",
        TOKENS | {"mlp_width": 96, "layer_scale": 0.1},
    ),
    "caformer": (
        "caformer_s18", {"depths": DEPTHS, "dims": (8, 8, 32, 32)}, 32, "MetaFormer/CAFormer-S18",
        {"depths": DEPTHS, "widths": (8, 8, 32, 32)},
    ),
    "eva02": ("eva02_base_patch14_448", VIT, 32, "EVA02/base_patch14_448", TOKENS),
    "nfnet": (
        "eca_nfnet_l0",
        {"depths": [1, 1, 1, 1], "channels": [16, 16, 32, 32], "group_size": 8, "bottle_ratio": 0.5}
        | {"num_features": 48}, 32, "NFNet/L0",
        {"depths": DEPTHS, "widths": (16, 16, 32, 32), "group_size": 8, "bottleneck": 0.5}
        | {"head_factor": 1.5, "attention": "eca", "attention_ratio": 0.25, "skip_init": False}
        | {"variance_in": "kernel", "kernel_epsilon": 1e-5},
    ),
}  # fmt: skip
# name: learning rate, weight decay
OPTIMIZERS = {"sgd": (1e-3, 0.0), "adamw": (5e-4, 0.05)}
MOMENTUM, EPSILON = 0.9, 1e-8
# Larger tensors would fill the file: their numbers are drawn here, with the deviation that timm gives them.
MOST_ELEMENTS = 10_000
# What timm decays and this zoo does not: a matrix for timm by its number of axes alone.
NOT_DECAYED = r"(gain|attn_last\.conv\.weight|attn_pool\.latent)$"


def batch(step, size):
    """Images (B, S, S, 3) uint8 with a color each, labels (B, LABELS) that follow from the colors."""
    random = np.random.default_rng([20261129, step])
    colors = random.normal(size=(BATCH, 3))
    noise = random.normal(size=(BATCH, size, size, 3))
    images = np.clip(128 + 50 * colors[:, None, None] + 30 * noise, 0, 255).astype("uint8")
    directions = np.random.default_rng(7).normal(size=(3, LABELS))
    return images, (colors @ directions + 0.5 * random.normal(size=(BATCH, LABELS)) > 1).astype("float32")


def direction(name, shape):
    """The vector that a weight is projected on."""
    return np.random.default_rng(zlib.crc32(name.encode())).normal(size=shape)


def sketch(name, value):
    """Return (norm, projection) of an array."""
    value = np.asarray(value, "float64")
    return np.linalg.norm(value), np.sum(value * direction(name, value.shape))


def _first_weights(model):
    """Round timm's first weights to float16, in place; return them, None for those that are drawn."""
    import torch

    stored = {}
    for name, value in model.state_dict().items():
        if not value.is_floating_point() or re.search("relative_|attn_mask|rope", name):
            continue
        array = value.numpy().astype("float16")
        if array.size > MOST_ELEMENTS:
            stored[name] = np.float16([value.std()])
            array = drawn(name, value.shape, stored[name])
        else:
            stored[name] = array
        with torch.no_grad():
            value.copy_(torch.from_numpy(array.astype("float32")))
    return stored


def drawn(name, shape, deviation):
    """A large tensor of normals with the deviation of timm's own."""
    return (direction(name, tuple(shape)) * np.float32(deviation)).astype("float16")


def _train(model, name, size):
    """Train; return losses, the sketches of ``sketches`` and the names of what decays."""
    import torch
    from timm.optim import param_groups_weight_decay

    rate, decay = OPTIMIZERS[name]
    skip = model.no_weight_decay() if hasattr(model, "no_weight_decay") else ()
    groups = param_groups_weight_decay(model, decay, no_weight_decay_list=skip)
    names = {parameter: label for label, parameter in model.named_parameters()}
    decayed = [names[parameter] for group in groups if group["weight_decay"] for parameter in group["params"]]
    for group in list(groups):
        kept = [p for p in group["params"] if re.search(NOT_DECAYED, names[p])]
        group["params"] = [p for p in group["params"] if not re.search(NOT_DECAYED, names[p])]
        groups.append({"params": kept, "weight_decay": 0.0})
    if name == "sgd":
        optimizer = torch.optim.SGD(groups, rate, MOMENTUM, nesterov=True)
    else:
        optimizer = torch.optim.AdamW(groups, rate, eps=EPSILON)
    first = {label: value.detach().clone() for label, value in model.named_parameters()}
    losses, gradients = [], []
    for step in range(STEPS):
        images, labels = batch(step, size)
        pixels = (torch.from_numpy(images.astype("float32")) - 127.5) / 127.5
        logits = model(pixels.permute(0, 3, 1, 2))
        terms = torch.nn.functional.binary_cross_entropy_with_logits(
            logits, torch.from_numpy(labels), reduction="none"
        )
        loss = terms.sum(1).mean()
        optimizer.zero_grad()
        loss.backward()
        losses.append(loss.item())
        if step in (0, STEPS - 1):
            gradients.append([sketch(label, value.grad) for label, value in model.named_parameters()])
        optimizer.step()
    changes = [sketch(label, value.detach() - first[label]) for label, value in model.named_parameters()]
    return np.float32(losses), np.float32([*gradients, changes]), decayed


def _statistics(model):
    """Return {name: [mean, variance] (2, C)} of batch norm, and the number of values that a batch gave it."""
    import torch

    norms = {name: m for name, m in model.named_modules() if isinstance(m, torch.nn.BatchNorm2d)}
    values = {name: np.stack([m.running_mean.numpy(), m.running_var.numpy()]) for name, m in norms.items()}
    counts = {}
    for name, module in norms.items():
        module.register_forward_hook(
            lambda module, inputs, output, name=name: counts.update({name: inputs[0][:, 0].numel()})
        )
    return values, counts


def _caformer():
    """Return the arguments by which timm's MetaFormer is a CAFormer."""
    from timm.models import metaformer as timm

    norms = [timm.LayerNorm2dNoBias] * 2 + [timm.LayerNormNoBias] * 2
    return {"token_mixers": [timm.SepConv] * 2 + [timm.Attention] * 2, "norm_layers": norms}


def golden_case(architecture, arguments, size):
    """Return the arrays and the facts of one model."""
    import copy

    import timm
    import torch

    torch.manual_seed(0)
    if architecture == "caformer_s18":  # whose function fixes the depths
        arguments = arguments | _caformer()
        model = timm.models.metaformer.MetaFormer(num_classes=LABELS, **arguments).train()
    else:
        model = timm.create_model(architecture, num_classes=LABELS, drop_path_rate=0.0, **arguments).train()
    weights = _first_weights(model)
    arrays = {f"weight/{name}": value for name, value in weights.items()}
    facts = {"weights": {name: list(model.state_dict()[name].shape) for name in weights}}
    facts["parameters"] = [name for name, _ in model.named_parameters()]
    for optimizer in OPTIMIZERS:
        trained = copy.deepcopy(model)
        arrays[f"{optimizer}/losses"], arrays[f"{optimizer}/sketches"], facts["decayed"] = _train(
            trained, optimizer, size
        )
        statistics, counts = _statistics(trained)
        trained(torch.zeros(BATCH, 3, size, size))
        facts["counts"] = counts
        arrays |= {f"{optimizer}/statistics/{name}": value for name, value in statistics.items()}
    return arrays, facts


if __name__ == "__main__":
    import torch

    torch.set_num_threads(1)
    arrays, facts = {}, {}
    for name, (architecture, arguments, size, *_) in CASES.items():
        case, facts[name] = golden_case(architecture, arguments, size)
        arrays |= {f"{name}/{key}": value for key, value in case.items()}
        print(name, case["sgd/losses"][[0, 9, -1]], case["adamw/losses"][[0, 9, -1]])
    np.savez_compressed(HERE / "timm_training.npz", facts=json.dumps(facts), **arrays)
