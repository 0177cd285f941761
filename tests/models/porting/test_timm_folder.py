"""Folders of timm give timm's outputs, ours give the same in timm, and what does not fit is listed."""

import dataclasses
import json

import keras
import numpy as np
import pytest
import safetensors.numpy
from golden import golden_values as golden
from helpers import zoo
from helpers.quick import slow_but
from helpers.timm_folders import SMALL, families, folder_of, imported

import Models
from Models import loading, transfer
from Models.porting import timm_export, timm_folder
from Utils.command.cli import UserError


def trainable(model):
    return sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)


@pytest.mark.slow
def test_a_tagger_gives_the_outputs_of_timm(tmp_path):
    spec = golden.load("timm_vit_base_wd.json")
    golden.write_timm_folder(spec, tmp_path / "timm")
    model, description, _ = imported(tmp_path / "timm")
    assert (description.name, description.image_size, description.num_labels) == ("ViT/B16", 64, 100)
    assert model.count_params() == spec["params"]
    outputs = model(golden.golden_input(spec)).numpy()
    assert np.abs(outputs - spec["outputs"]).max() < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "name"),
    [
        pytest.param("timm_caformer_s18.json", "MetaFormer/CAFormer-S18", marks=pytest.mark.slow),
        pytest.param("timm_dinov2_reg_small.json", "ViT/S14-DINOv2-reg4", marks=pytest.mark.slow),
        ("timm_dinov3_small.json", "DINOv3/S16"),
        pytest.param("timm_siglip_base.json", "ViT/B16-SigLIP", marks=pytest.mark.slow),
    ],
)
def test_backbones_of_full_size_give_the_outputs_of_timm(file, name, tmp_path):
    spec = golden.load(file)
    golden.write_timm_folder(spec, tmp_path / "timm")
    model, description, _ = imported(tmp_path / "timm", order="bgr")
    assert description.name == name
    assert model.count_params() == spec["params"]
    assert np.abs(model(golden.golden_input(spec)).numpy() - spec["outputs"]).max() < 1e-5


# One of each family, and those with weights that the others have not.
QUICK = (
    "vit_map",
    "eva02_small",
    "swinv2_wd",
    "convnextv2",
    "resnet50d",
    "dinov3",
    "nfnet_eca",
)


@pytest.mark.parametrize("name", slow_but(SMALL, *QUICK))
def test_every_option_gives_the_outputs_of_timm_and_makes_the_way_back(name, tmp_path):
    model, description, spec = imported(folder_of(name, tmp_path / "timm"))
    assert trainable(model) == SMALL[name]["params"]
    outputs = model(golden.golden_input(SMALL[name])).numpy()
    assert np.abs(outputs - SMALL[name]["outputs"]).max() < 1e-5
    assert np.ptp(SMALL[name]["outputs"], axis=0).max() > 1e-3  # the images matter
    timm_export.export(model, tmp_path / "back", description.name, spec, families(), Models.spec)
    back, source = timm_folder.read(tmp_path / "back"), timm_folder.read(tmp_path / "timm")
    if name != "eva02_small":  # it comes back with q, k and v apart
        assert _bytes(back) == _bytes(source)
    described = timm_folder.describe(back.config, families(), Models.spec)
    again = Models.spec(described.name, **described.fields)
    assert dataclasses.replace(again, source=spec.source, stochastic_depth=spec.stochastic_depth) == spec
    before = [weight.numpy() for weight in model.weights]
    model.set_weights([np.zeros_like(value) for value in before])
    timm_folder.assign(model, spec, families()[description.name.split("/")[0]], back)
    for weight, value in zip(model.weights, before, strict=True):
        np.testing.assert_array_equal(weight, value, err_msg=weight.path)


def _bytes(source):
    return {key: value.tobytes() for key, value in source.tensors.items()}


def test_channels_and_normalization_of_the_source_are_kept(tmp_path):
    means = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
    images = golden.golden_input(SMALL["vit_wd"])
    plain, _, _ = imported(folder_of("vit_wd", tmp_path / "plain"))
    expected = plain((images / 255 - means["mean"]) / means["std"] * 127.5 + 127.5).numpy()  # images are RGB
    model, description, spec = imported(folder_of("vit_wd", tmp_path / "rgb", pretrained_cfg=means))
    assert (description.order, description.order_from) == ("rgb", "as the means of its config differ")
    np.testing.assert_allclose(model(images[..., ::-1]), expected, atol=1e-5)
    timm_export.export(model, tmp_path / "back", description.name, spec, families(), Models.spec, order="rgb")
    config = json.loads((tmp_path / "back/config.json").read_text())
    assert config["input_order"] == "rgb"
    np.testing.assert_allclose(config["pretrained_cfg"]["mean"], means["mean"])
    np.testing.assert_allclose(config["pretrained_cfg"]["std"], means["std"])
    turned, description, _ = imported(folder_of("vit_wd", tmp_path / "said", input_order="rgb"))
    np.testing.assert_allclose(turned(images[..., ::-1]), plain(images), atol=1e-6)
    assert imported(tmp_path / "said", order="bgr")[1].order == "bgr"
    for mean, deviation, name in ((0.0, 1.0, "simple"), (0.5, 0.5, "inception")):
        scaled = {"mean": [mean] * 3, "std": [deviation] * 3}
        _, description, _ = imported(folder_of("vit_wd", tmp_path / name, pretrained_cfg=scaled))
        assert description.fields["input_scaling"] == name


@pytest.mark.parametrize(
    ("content", "order"),
    [
        ({"test": [{"type": "to_tensor"}], "val": []}, "rgb"),  # as animetimm's
        ({"stages": [{"type": "to_tensor"}]}, "rgb"),
        ({"channels": "BGR", "range": [0, 255], "test": []}, "bgr"),
        ({"output": "logits"}, "bgr"),  # it does not say: as WD's
    ],
)
def test_a_preprocess_json_tells_the_channels_where_the_config_does_not(tmp_path, content, order):
    folder = folder_of("vit_wd", tmp_path)
    (folder / "selected_tags.csv").write_text("tag_id,name,category,count\n")
    (folder / "preprocess.json").write_text(json.dumps(content))
    assert timm_folder.described_by(folder, families(), Models.spec).order == order


def test_models_of_clip_have_its_normalization_its_epsilon_and_openai_its_gelu():
    means, deviations = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
    published = {"mean": means, "std": deviations, "num_classes": 512, "input_size": [3, 336, 336]}
    described = [
        timm_folder.describe({"architecture": name, "pretrained_cfg": published}, families(), Models.spec)
        for name in ("vit_large_patch14_clip_336.laion2b", "vit_large_patch14_clip_quickgelu_336.openai")
    ]
    assert {(each.name, each.image_size, each.order) for each in described} == {("ViT/L14-CLIP", 336, "rgb")}
    specs = [Models.spec(each.name, **each.fields) for each in described]
    assert [spec.activation for spec in specs] == ["gelu", "quick_gelu"]
    for spec in specs:
        assert spec.input_scaling == (*means[::-1], *deviations[::-1])
        assert (spec.pre_norm, spec.qk_norm, spec.epsilon, spec.layer_scale) == (True, False, 1e-5, None)


def test_pixels_in_no_patch_are_left_out_and_counted():
    published = {"mean": [0.5] * 3, "std": [0.5] * 3, "num_classes": 0, "input_size": [3, 384, 384]}
    config = {"architecture": "vit_so400m_patch14_siglip_384", "pretrained_cfg": published}
    described = timm_folder.describe(config, families(), Models.spec, "rgb")
    assert (described.image_size, described.uncovered) == (27 * 14, 6)


def test_a_pretrained_body_without_a_classifier_is_taken_but_says_no_tags(tmp_path):
    folder = folder_of("vit_map", tmp_path / "whole")
    facts = {"num_classes": 0, "pretrained_cfg": {"num_classes": 0}, "input_order": "bgr"}
    body = folder_of("vit_map", tmp_path / "body", **facts)
    (body / "selected_tags.csv").unlink()
    tensors = safetensors.numpy.load_file(body / "model.safetensors")
    for name in ("head.weight", "head.bias"):
        del tensors[name]
    safetensors.numpy.save_file(tensors, body / "model.safetensors")
    whole = imported(folder)[0]
    model, described, _ = loading.import_timm(body)
    assert (described.num_labels, model.output_shape[-1]) == (0, 1)
    images = golden.golden_input(SMALL["vit_map"])
    features = [
        keras.Model(each.input, each.get_layer("head_logits").input)(images) for each in (model, whole)
    ]
    np.testing.assert_array_equal(*features)
    target = Models.build(
        described.name, image_size=64, num_labels=3, classifier_activation=None, **described.fields
    )
    biases = np.array([-1.0, 0.0, 2.0], "float32")
    transfer.copy_weights(body, target, np.full(3, -1), biases, "bgr")
    np.testing.assert_allclose(target(zoo.draw_images(2, 64)), [biases] * 2, atol=1e-6)
    with pytest.raises(UserError, match="a pretrained body without a classifier"):
        Models.load(body)


WRONG = [
    ({"architecture": "vit_giant_patch14_224"}, {}, "no model here corresponds to timm's vit_giant.*did you"),
    ({}, {"proj_bias": False}, r"ViT/L16 cannot be what timm's model_args say: proj_bias=False"),
    ({}, {"window": 4, "proj_bias": False}, "window=4, proj_bias=False"),
    ({}, {"act_layer": "mish"}, "activation must be"),
    (
        {},
        {"qk_norm": True},
        r"Missing.*block0_attention/query_norm/gamma \(from blocks.0.attn.q_norm.weight\)",
    ),
    ({}, {"pre_norm": True}, r"Missing.*stem_norm/gamma \(from norm_pre.*Left over.*: patch_embed.proj.bias"),
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
    model, description, spec = imported(tmp_path / "timm")
    before = [keras.ops.convert_to_numpy(weight) + 1 for weight in model.weights]
    model.set_weights(before)
    with pytest.raises(UserError, match=r"head_norm/beta \(from norm.bias\)"):
        timm_folder.assign(model, spec, families()["ViT"], source)
    for weight, value in zip(model.weights, before, strict=True):
        np.testing.assert_array_equal(weight, value)
