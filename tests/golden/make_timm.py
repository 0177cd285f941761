"""Make timm_small.json, what timm computes for small models, and timm_parameters.json, how large its own are.

Needs torch (2.13 and 2.14 made them) and timm (1.0.31): ``python tests/golden/make_timm.py``. Weights and
inputs are drawn as golden_values.py draws them, so that the file holds names, shapes and outputs only.
"""

import json
import pathlib
import sys

import numpy as np

HERE = pathlib.Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent.parent)]

import golden_values as golden  # noqa: E402

from Utils.bench import timm_peer  # noqa: E402

VIT = {"img_size": 32, "embed_dim": 32, "depth": 2, "num_heads": 2}
EVA = {"img_size": 42, "embed_dim": 48, "depth": 2, "num_heads": 2}
SWIN = {"embed_dim": 16, "depths": [2, 2, 2], "num_heads": [2, 2, 4]}
CONVNEXT = {"depths": [1, 1, 2, 1], "dims": [8, 16, 24, 32]}
NFNET = {"depths": [1, 2, 1, 1], "channels": [32, 64, 96, 96], "group_size": 8, "num_features": 160}
# name: architecture, model_args, image size
CASES = {
    "vit_class_token": ("vit_base_patch16_224", VIT, 32),
    "vit_average_of_class": ("vit_base_patch16_224", VIT | {"global_pool": "avg", "init_values": 0.1}, 32),
    "vit_wd": (
        "vit_large_patch16_224",
        VIT | {"global_pool": "avg", "fc_norm": False, "class_token": False, "act_layer": "gelu_tanh"},
        32,
    ),
    "eva02_large": ("eva02_large_patch14_448", EVA, 42),
    "eva02_small": ("eva02_small_patch14_224", EVA | {"class_token": False}, 42),
    "eva02_token": ("eva02_base_patch14_448", EVA | {"global_pool": "token"}, 42),
    "swinv2_wd": (
        "swinv2_base_window8_256",
        SWIN | {"img_size": 64, "window_size": 8, "act_layer": "gelu_tanh"},
        64,
    ),
    "swinv2_padded": (
        "swinv2_base_window12to16_192to256",
        SWIN | {"img_size": 72, "window_size": 5, "pretrained_window_sizes": [4, 3, 0]},
        72,
    ),
    "convnext": ("convnext_base", CONVNEXT | {"act_layer": "gelu_tanh"}, 32),
    "convnext_conv_mlp": ("convnext_atto", CONVNEXT, 32),
    "convnextv2": ("convnextv2_tiny", CONVNEXT | {"norm_eps": 1e-5}, 32),
    "resnet18": ("resnet18", {"layers": [1, 1, 1, 1]}, 40),
    "resnet50": ("resnet50", {"layers": [1, 2, 1, 1]}, 40),
    "resnet50d": ("resnet50d", {"layers": [1, 1, 1, 1]}, 40),
    "vit_map": (
        "vit_base_patch16_siglip_256",
        VIT | {"mlp_ratio": 3.0, "act_layer": "gelu_tanh"},
        32,
    ),
    "vit_gap": ("vit_large_patch16_siglip_gap_256", VIT, 32),
    "vit_dinov2": ("vit_small_patch14_dinov2", VIT | {"img_size": 42}, 42),
    "vit_clip": ("vit_base_patch32_clip_quickgelu_224", VIT | {"patch_size": 16}, 32),
    "vit_norms": (
        "vit_small_patch16_224",
        VIT | {"num_heads": 4, "qk_norm": True, "pre_norm": True, "global_pool": "avg", "reg_tokens": 1},
        32,
    ),
    "vit_registers": ("vit_small_patch14_reg4_dinov2", VIT | {"img_size": 42, "reg_tokens": 2}, 42),
    "vit_registers_gap": ("vit_medium_patch16_reg4_gap_256", VIT, 32),
    "vit_registers_so150m": ("vit_so150m_patch16_reg4_gap_256", VIT | {"mlp_ratio": 3.0}, 32),
    "vit_gap_unbiased": ("vit_medium_patch16_gap_256", VIT, 32),
    "dinov3": ("vit_small_patch16_dinov3", VIT | {"img_size": 48, "num_reg_tokens": 2}, 48),
    "dinov3_gated": (
        "vit_small_plus_patch16_dinov3_qkvb",
        VIT | {"img_size": 48, "global_pool": "token", "mlp_ratio": 2.0},
        48,
    ),
    "nfnet_se": ("nfnet_l0", NFNET | {"bottle_ratio": 0.5}, 40),
    "nfnet_eca": ("eca_nfnet_l0", NFNET | {"bottle_ratio": 0.5}, 40),
    "nfnet_deepmind": ("dm_nfnet_f0", NFNET, 40),
}


def golden_case(architecture, arguments, size, num_labels=7):
    """Return the description of one model of timm's, with the outputs for its golden input."""
    import timm
    import torch

    model = timm.create_model(architecture, num_classes=num_labels, **arguments).eval()
    weights = []
    for place, (name, value) in enumerate(model.state_dict().items()):
        if name.endswith("num_batches_tracked"):
            continue
        weight = {"name": name, "shape": list(value.shape), "k": place}
        if name.endswith(("gain", "logit_scale")):
            # timm starts some gains at 0, which would hide the rest of their branch.
            weight["base"] = [float(item) if item else 0.5 for item in value.flatten()]
        weights.append(weight)
    spec = {
        "timm": architecture,
        "model_args": arguments,
        "image_size": size,
        "num_labels": num_labels,
        "params": sum(value.numel() for value in model.parameters()),
        "weights": weights,
        "input_seed": 7,
    }
    values = {weight["name"]: golden.weight_value(weight, timm=True) for weight in weights}
    state = {name: torch.from_numpy(np.asarray(value)) for name, value in values.items()}
    model.load_state_dict(state, strict=False)
    images = torch.from_numpy((golden.golden_input(spec) - 127.5) / 127.5).permute(0, 3, 1, 2)
    with torch.no_grad():
        outputs = torch.sigmoid(model(images)).double().numpy()
    return spec | {"outputs": np.round(outputs, 7).tolist()}


def parameter_counts():
    """Return ``{architecture: number of trained parameters with 1,000 labels}`` of all that families name."""
    import timm
    import torch

    import Models

    counts = {}
    for rules in Models.timm_families().values():
        for architecture in rules.models:
            with torch.device("meta"):  # no memory
                model = timm.create_model(architecture, num_classes=1000)
            counts[architecture] = sum(value.numel() for value in model.parameters())
    return counts


if __name__ == "__main__":
    timm_peer.import_torch()
    (HERE / "timm_parameters.json").write_text(json.dumps(parameter_counts(), indent=1) + "\n")
    cases = {name: golden_case(*case) for name, case in CASES.items()}
    text = json.dumps(cases).replace('}, "', '},\n"').replace('}, {"name"', '},\n{"name"')
    (HERE / "timm_small.json").write_text(text + "\n")
    print({name: np.round(case["outputs"][0], 3).tolist() for name, case in cases.items()})
