"""Models/porting/timm_export.py: timm computes the same; what timm cannot express is named."""

import errno
import importlib.util
import json
import os

import numpy as np
import pytest
import safetensors
from golden import golden_values as golden
from helpers.timm_folders import SMALL, families, folder_of, imported

import Models
from Models.porting import timm_export
from Utils.command.cli import UserError


def test_timm_loads_what_is_exported(tmp_path):
    """Every family once, with weights that show; timm builds it from config.json alone."""
    pytest.importorskip("torch")
    if importlib.util.find_spec("timm") is None:
        pytest.skip("timm is not installed")
    for name in ("eva02_small", "swinv2_padded", "resnet50"):
        kind = "rgb" if name == "eva02_small" else "bgr"
        model, description, spec = imported(folder_of(name, tmp_path / name))
        out = tmp_path / f"{name}-{kind}"
        timm_export.export(model, out, description.name, spec, families(), Models.spec, order=kind)
        images = golden.golden_input(SMALL[name])
        seen = images[..., ::-1] if kind == "rgb" else images
        assert np.abs(outputs_of_timm(out, seen) - model(images).numpy()).max() < 1e-5, name
    for name, fields in OURS:
        model = moved(Models.build(name, image_size=32, num_labels=5, **fields))
        out = tmp_path / name.replace("/", "-")
        timm_export.export(model, out, name, Models.spec(name, **fields), families(), Models.spec)
        images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3)).astype("float32")
        assert np.abs(outputs_of_timm(out, images) - model(images).numpy()).max() < 1e-5, name


def test_others_may_read_the_weights_and_a_full_disk_is_told(tmp_path, monkeypatch):
    fields = {"depths": (1, 1, 1, 1), "widths": (8, 8, 8, 8)}
    model, spec = (
        Models.build("ConvNext/T", image_size=32, num_labels=2, **fields),
        Models.spec("ConvNext/T", **fields),
    )
    timm_export.export(model, tmp_path / "a", "ConvNext/T", spec, families(), Models.spec)
    assert len({file.stat().st_mode for file in (tmp_path / "a").iterdir()}) == 1

    def full(*_, **__):
        raise safetensors.SafetensorError(f"I/O error: {os.strerror(errno.ENOSPC)} (os error 28)")

    monkeypatch.setattr("safetensors.numpy.save_file", full)
    with pytest.raises(OSError, match=r"model\.safetensors"):
        timm_export.export(model, tmp_path / "b", "ConvNext/T", spec, families(), Models.spec)
    assert not (tmp_path / "b").exists()


def test_the_config_states_the_width_of_the_features(tmp_path):
    options = {"depth": 1, "width": 32, "mlp_width": 48, "heads": 2}
    model = Models.build("ViT/B16", image_size=32, num_labels=5, **options)
    spec = Models.spec("ViT/B16", **options)
    timm_export.export(model, tmp_path / "timm", "ViT/B16", spec, families(), Models.spec)
    config = json.loads((tmp_path / "timm" / "config.json").read_text())
    assert (config["num_features"], config["num_classes"]) == (32, 5)


# Models as trained here, smaller.
NARROW = {"depths": (1, 1, 1, 1), "widths": (32, 64, 96, 96), "group_size": 8, "bottleneck": 0.5}


OURS = [
    ("NFNet/L1", NARROW | {"attention": "eca"}),
    ("ConvNext/T", {"depths": (1, 1, 1, 1), "widths": (8, 8, 16, 16), "epsilon": 1e-3, "layer_scale": 0.3}),
    ("ViT/B16", {"depth": 1, "width": 32, "mlp_width": 48, "heads": 2}),
    ("ViT/B16-CLIP", {"depth": 1, "width": 32, "heads": 4, "qk_norm": True, "activation": "quick_gelu"}),
]


def moved(model):
    """The model with weights that are not where they start."""
    random = np.random.default_rng(3)
    for weight in model.weights:
        if weight.dtype == "float32":
            weight.assign(weight + 0.1 * np.abs(random.standard_normal(weight.shape)))
    return model


def outputs_of_timm(folder, images):
    from Utils.bench import timm_peer

    torch = timm_peer.import_torch()
    import timm as library

    torch.set_num_threads(1)
    model = library.create_model(f"local-dir:{folder}", pretrained=True).eval()
    config = model.pretrained_cfg
    mean, deviation = (np.array(config[key], "float32") for key in ("mean", "std"))
    pixels = (images / 255 - mean) / deviation
    with torch.no_grad():
        return torch.sigmoid(model(torch.from_numpy(pixels.astype("float32")).permute(0, 3, 1, 2))).numpy()


REFUSED = [
    ("ViT/B16", {"epsilon": 1e-3}, "epsilon is 0.001, not 1e-06"),
    ("NFNet/L0", {"compensate_avgpool_var": True}, "compensate_avgpool_var is True, not False"),
    ("ResNet/50", {}, "shortcut_norm is False, not True"),
    ("ConvNext/T", {"norm": "affine"}, "norm is 'affine'"),
    ("ConvNext/T", {"attention": "eca"}, "attention is 'eca'"),
    ("SwinV2/base_window8_256", {"epsilon": 1e-6}, "epsilon"),
    ("NFResNet/50", {}, "timm has no models that correspond to NFResNet"),
]


@pytest.mark.parametrize(("name", "fields", "message"), REFUSED)
def test_an_export_names_the_field_that_timm_cannot_express(name, fields, message, tmp_path):
    with pytest.raises(UserError, match=message):
        spec = Models.spec(name, **fields)
        timm_export.export(None, tmp_path / "out", name, spec, families(), Models.spec)
    assert not (tmp_path / "out").exists()


EXPRESSED = [
    ("ViT/B16", {}, "vit_base_patch16_224"),
    ("ViT/B16", {"qk_norm": True, "pre_norm": True}, "vit_base_patch16_224"),
    ("ViT/B16", {"epsilon": 1e-5}, "vit_base_patch32_clip_224"),
    ("ViT/L14-CLIP", {"activation": "quick_gelu"}, "vit_large_patch14_clip_224"),
    ("ConvNext/T", {"epsilon": 1e-3}, "convnext_tiny"),
    ("ConvNext/T", {"layer_scale": None}, "convnextv2_tiny"),
    ("ConvNext/V2-P", {}, "convnextv2_pico"),
    ("NFNet/L1", {}, "eca_nfnet_l1"),
    ("EVA02/large_patch14_448", {}, "eva02_large_patch14_448"),
]


@pytest.mark.parametrize(("name", "fields", "architecture"), EXPRESSED)
def test_our_own_models_have_an_architecture_there(name, fields, architecture):
    spec, rules = Models.spec(name, **fields), families()[name.split("/")[0]]
    assert timm_export._architecture(name, spec, rules, Models.spec) == architecture
