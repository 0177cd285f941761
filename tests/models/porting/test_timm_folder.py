"""Folders of timm give timm's outputs, ours give the same in timm, and what does not fit is listed."""

import dataclasses
import importlib.util
import json

import keras
import numpy as np
import pytest
from golden import golden_values as golden

import Models
from Models.porting import timm_export, timm_folder
from tools import import_weights
from Utils.command.cli import UserError

SMALL = golden.load("timm_small.json")


def families():
    return Models.timm_families()


def imported(folder, **described):
    """The model of a folder, its description and its Spec."""
    source = timm_folder.read(folder)
    found = timm_folder.describe(source.config, families(), Models.spec, **described)
    model = Models.build(found.name, image_size=found.image_size, num_labels=found.num_labels, **found.fields)
    spec = Models.spec(found.name, **found.fields)
    timm_folder.assign(model, spec, families()[found.name.split("/")[0]], source, found.order)
    return model, found, spec


def folder_of(name, path, model_args=None, **config):
    """Write the folder of a small model, with entries of its config replaced."""
    golden.write_timm_folder(SMALL[name], path)
    content = json.loads((path / "config.json").read_text())
    content["model_args"].update(model_args or {})
    content["pretrained_cfg"].update(config.pop("pretrained_cfg", {}))
    (path / "config.json").write_text(json.dumps(content | config))
    return path


def trainable(model):
    return sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)


def test_the_command_gives_the_outputs_of_timm(tmp_path, capsys):
    spec = golden.load("timm_convnext_tiny.json")
    golden.write_timm_folder(spec, tmp_path / "timm")
    out = tmp_path / "out.keras"
    assert import_weights.main([str(tmp_path / "timm"), "-o", str(out)]) == 0
    assert "BGR, as taggers do" in capsys.readouterr().out
    model = keras.saving.load_model(out)
    assert model.count_params() == spec["params"]
    outputs = model(golden.golden_input(spec)).numpy()
    assert np.abs(outputs - spec["outputs"]).max() < 1e-5


def test_a_tagger_gives_the_outputs_of_timm(tmp_path):
    spec = golden.load("timm_vit_base_wd.json")
    golden.write_timm_folder(spec, tmp_path / "timm")
    model, found, _ = imported(tmp_path / "timm")
    assert (found.name, found.image_size, found.num_labels) == ("ViT/B16", 64, 100)
    assert model.count_params() == spec["params"]
    outputs = model(golden.golden_input(spec)).numpy()
    assert np.abs(outputs - spec["outputs"]).max() < 1e-5


@pytest.mark.parametrize("name", SMALL)
def test_every_option_gives_the_outputs_of_timm_and_makes_the_way_back(name, tmp_path):
    model, found, spec = imported(folder_of(name, tmp_path / "timm"))
    assert trainable(model) == SMALL[name]["params"]
    outputs = model(golden.golden_input(SMALL[name])).numpy()
    assert np.abs(outputs - SMALL[name]["outputs"]).max() < 1e-5
    assert np.ptp(SMALL[name]["outputs"], axis=0).max() > 1e-3  # the images matter
    timm_export.export(model, tmp_path / "back", found.name, spec, families(), Models.spec)
    back = timm_folder.read(tmp_path / "back")
    described = timm_folder.describe(back.config, families(), Models.spec)
    again = Models.spec(described.name, **described.fields)
    assert dataclasses.replace(again, source=spec.source, stochastic_depth=spec.stochastic_depth) == spec
    before = [weight.numpy() for weight in model.weights]
    model.set_weights([np.zeros_like(value) for value in before])
    timm_folder.assign(model, spec, families()[found.name.split("/")[0]], back)
    for weight, value in zip(model.weights, before, strict=True):
        np.testing.assert_array_equal(weight, value, err_msg=weight.path)


def test_timm_loads_what_is_exported(tmp_path):
    """Every family once, with weights that show; timm builds it from config.json alone."""
    pytest.importorskip("torch")
    if importlib.util.find_spec("timm") is None:
        pytest.skip("timm is not installed")
    for name in ("eva02_small", "swinv2_padded", "resnet50"):
        kind = "rgb" if name == "eva02_small" else "bgr"
        model, found, spec = imported(folder_of(name, tmp_path / name))
        out = tmp_path / f"{name}-{kind}"
        timm_export.export(model, out, found.name, spec, families(), Models.spec, order=kind)
        images = golden.golden_input(SMALL[name])
        seen = images[..., ::-1] if kind == "rgb" else images
        assert np.abs(outputs_of_timm(out, seen) - model(images).numpy()).max() < 1e-5, name
    for name, fields in OURS:
        model = moved(Models.build(name, image_size=32, num_labels=5, **fields))
        out = tmp_path / name.replace("/", "-")
        timm_export.export(model, out, name, Models.spec(name, **fields), families(), Models.spec)
        images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3)).astype("float32")
        assert np.abs(outputs_of_timm(out, images) - model(images).numpy()).max() < 1e-5, name


# Models as trained here, smaller.
NARROW = {"depths": (1, 1, 1, 1), "widths": (32, 64, 96, 96), "group_size": 8, "bottleneck": 0.5}
OURS = [
    ("NFNet/L1", NARROW | {"attention": "eca"}),
    ("ConvNext/T", {"depths": (1, 1, 1, 1), "widths": (8, 8, 16, 16), "epsilon": 1e-3, "layer_scale": 0.3}),
    ("ViT/B16", {"depth": 1, "width": 32, "mlp_width": 48, "heads": 2}),
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


def test_channels_and_normalization_of_the_source_are_kept(tmp_path):
    means = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
    images = golden.golden_input(SMALL["vit_wd"])
    plain, _, _ = imported(folder_of("vit_wd", tmp_path / "plain"))
    expected = plain((images / 255 - means["mean"]) / means["std"] * 127.5 + 127.5).numpy()  # images are RGB
    model, found, spec = imported(folder_of("vit_wd", tmp_path / "rgb", pretrained_cfg=means))
    assert (found.order, found.order_from) == ("rgb", "as the means of its config differ")
    np.testing.assert_allclose(model(images[..., ::-1]), expected, atol=1e-5)
    timm_export.export(model, tmp_path / "back", found.name, spec, families(), Models.spec, order="rgb")
    config = json.loads((tmp_path / "back/config.json").read_text())
    assert config["input_order"] == "rgb"
    np.testing.assert_allclose(config["pretrained_cfg"]["mean"], means["mean"])
    np.testing.assert_allclose(config["pretrained_cfg"]["std"], means["std"])
    turned, found, _ = imported(folder_of("vit_wd", tmp_path / "said", input_order="rgb"))
    np.testing.assert_allclose(turned(images[..., ::-1]), plain(images), atol=1e-6)
    assert imported(tmp_path / "said", order="bgr")[1].order == "bgr"
    for mean, deviation, name in ((0.0, 1.0, "simple"), (0.5, 0.5, "inception")):
        scaled = {"mean": [mean] * 3, "std": [deviation] * 3}
        _, found, _ = imported(folder_of("vit_wd", tmp_path / name, pretrained_cfg=scaled))
        assert found.fields["input_scaling"] == name


WRONG = [
    ({"architecture": "vit_giant_patch14_224"}, {}, "no model here corresponds to timm's vit_giant.*did you"),
    ({}, {"reg_tokens": 4}, r"ViT/L16 cannot be what timm's model_args say: reg_tokens=4"),
    ({}, {"window": 4, "qk_norm": True}, "window=4, qk_norm=True"),
    ({}, {"act_layer": "quick_gelu"}, "activation must be"),
    ({}, {"depth": 3}, r"Missing from the file: block2_norm1/gamma \(from blocks.2.norm1.weight\)"),
    ({}, {"depth": 1}, r"Left over in the file: blocks.1.attn.proj.bias"),
    ({}, {"class_token": True}, r"Missing.*cls_token.*Of another shape: pos_embed \(1, 4, 32\)"),
    ({"num_classes": 8}, {}, r"Of another shape: head.weight \(7, 32\) for head_logits/kernel \(32, 8\)"),
    ({}, {"img_size": [32, 48]}, "sizes must be square"),
]


@pytest.mark.parametrize(("config", "arguments", "message"), WRONG)
def test_what_does_not_fit_is_listed(config, arguments, message, tmp_path):
    with pytest.raises(UserError, match=message):
        imported(folder_of("vit_wd", tmp_path / "timm", arguments, **config))


def test_nothing_is_assigned_where_something_does_not_fit(tmp_path):
    source = timm_folder.read(folder_of("vit_wd", tmp_path / "timm"))
    del source.tensors["norm.bias"]
    model, found, spec = imported(tmp_path / "timm")
    before = [keras.ops.convert_to_numpy(weight) + 1 for weight in model.weights]
    model.set_weights(before)
    with pytest.raises(UserError, match=r"head_norm/beta \(from norm.bias\)"):
        timm_folder.assign(model, spec, families()["ViT"], source)
    for weight, value in zip(model.weights, before, strict=True):
        np.testing.assert_array_equal(weight, value)


def test_derived_entries_are_skipped_and_broken_folders_told(tmp_path, capsys):
    from safetensors.numpy import load_file, save_file

    folder = folder_of("resnet18", tmp_path / "timm")
    tensors = load_file(folder / "model.safetensors")
    save_file(tensors | {"bn1.num_batches_tracked": np.array(3)}, folder / "model.safetensors")
    assert import_weights.main([str(folder), "-o", str(tmp_path / "o.keras")]) == 0
    assert "bn1.num_batches_tracked" in capsys.readouterr().out
    words = [str(folder), "-o", str(tmp_path / "x.keras")]
    assert import_weights.main([*words, "--num-labels", "9"]) == 2
    assert "says by itself that it is 7; got --num-labels 9" in capsys.readouterr().err
    (folder / "model.safetensors").write_bytes(b"no")
    assert import_weights.main(words) == 2
    assert "cannot be read as safetensors" in capsys.readouterr().err
    (folder / "model.safetensors").unlink()
    assert import_weights.main(words) == 2
    assert "no model.safetensors beside" in capsys.readouterr().err
    (folder / "config.json").write_text("{}")
    assert import_weights.main(words) == 2
    assert "names no architecture" in capsys.readouterr().err
    assert not (tmp_path / "x.keras").exists()


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


@pytest.mark.parametrize("family", families())
def test_the_rules_of_a_family_name_what_is_there(family):
    module = Models.family(family)
    fields = {field.name for field in dataclasses.fields(module.Spec)}
    rules = module.TIMM
    assert {timm_folder.target(rules, argument)[0] for argument in rules.arguments} | set(
        rules.fields
    ) <= fields
    for variant, differing in rules.models.values():
        Models.spec(f"{family}/{variant}", **rules.fields)
        assert set(differing) <= fields
        assert variant in module.VARIANTS
    assert not set(rules.fixed) & set(rules.arguments)
