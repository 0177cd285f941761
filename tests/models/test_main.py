"""python -m Models: exact sizes of published models, the list of variants, the table of a model.

All in one process of its own, because an outline leaves variables without values behind.
"""

import importlib.util
import json
import os
import pathlib
import subprocess
import sys

import pytest

import Models

ROOT = pathlib.Path(__file__).resolve().parents[2]
# Counts of the released models: name, image size, labels, options, parameters.
SIZES = [
    ("ConvNext/T", 320, 2380, {}, 29_650_348),
    ("ConvNext/S", 320, 2380, {}, 51_284_908),
    ("ConvNext/B", 320, 2380, {}, 90_005_964),
    ("ConvNext/B", 448, 5500, {}, 93_203_964),
    ("ConvNext/V2-T", 64, 100, {}, 27_943_396),
    ("NFNet/L0", 320, 2380, {}, 27_324_776),
    ("NFNet/L1", 320, 2380, {}, 45_648_372),
    ("NFNet/L2", 320, 2380, {}, 60_962_944),
    ("NFNet/L0", 320, 2380, {"attention": "eca"}, 27_324_836),
    ("NFNet/L1", 320, 2380, {"attention": "eca"}, 45_648_492),
    ("NFNet/L2", 320, 2380, {"attention": "eca"}, 60_963_124),
    ("NFNet/L0", 64, 100, {"attention": "eca"}, 22_069_436),
    ("NFResNet/50", 64, 100, {}, 23_712_884),
    ("ResNet/50", 64, 100, {}, 23_754_532),
    ("ViT/B16", 64, 100, {}, 85_754_212),
    ("ViT/B16", 448, 5500, {}, 90_496_636),
    # As timm counts its models.
    ("SwinV2/base_window8_256", 448, 1000, {"window": 14}, 87_918_816),
    ("EVA02/large_patch14_448", 448, 1000, {}, 305_080_232),
    ("NFNet/F0", 224, 1000, {"attention": "se"}, 71_489_284),
]

OUTLINES = """
import contextlib, io, json, sys
import Models.__main__ as command
for words in ("ConvNext/T --image-size 224 --num-labels 1000 --json", "EVA02 --json", "ViT"):
    text = io.StringIO()
    with contextlib.redirect_stdout(text):
        assert command.main(words.split()) == 0
    print(json.dumps(text.getvalue()))
rows = json.loads(sys.argv[1])
print([command.outline(name, size, labels, **options).count_params() for name, size, labels, options in rows])
"""


def outlined(sizes):
    """What a process prints: the table of ConvNext/T, the lists of EVA02 and ViT, the counts of ``sizes``."""
    rows = json.dumps([row[:4] for row in sizes])
    backend = (
        "jax" if importlib.util.find_spec("jax") else "tensorflow"
    )  # jax starts faster; counts are equal
    environment = os.environ | {"KERAS_BACKEND": backend, "JAX_PLATFORMS": "cpu"}
    words = [sys.executable, "-c", OUTLINES, rows]
    done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def outlines():
    return outlined(SIZES[::4])


def test_exact_parameter_counts(outlines):
    assert outlines[3] == [row[4] for row in SIZES[::4]]


@pytest.mark.slow
def test_exact_parameter_counts_of_all():
    assert outlined(SIZES)[3] == [row[4] for row in SIZES]


def test_the_table_of_a_model(outlines):
    table = json.loads(outlines[0])
    assert table["parameters"] == 28_589_128  # as timm counts convnext_tiny
    assert 4.4e9 < table["macs"] < 4.5e9  # the paper says 4.5
    assert sum(row["parameters"] for row in table["rows"]) == table["parameters"]


def test_every_variant_takes_the_image_size_of_the_list(outlines):
    rows = json.loads(outlines[1])["models"]  # of EVA02, whose patches divide the fewest sizes
    names = [name for name in Models.variants("EVA02") if not name.endswith("test")]
    assert [row["model"] for row in rows] == [f"EVA02/{name}" for name in names]
    sizes = {row["model"].split("/")[1].split("_")[0]: row["parameters"] for row in rows}
    assert sorted(sizes.values()) == [sizes[size] for size in ("tiny", "small", "base", "large")]


def test_the_list_for_people(outlines):
    lines = outlines[2].splitlines()
    assert lines[0] == "at 448 px, 2,380 labels"
    assert lines[1].split() == ["model", "parameters", "GFLOPs", "source", "of", "the", "variant"]
    assert lines[2] == "ViT (arXiv:2010.11929)"
    names = [f"ViT/{name}" for name in Models.variants("ViT") if not name.endswith("test")]
    assert [line.split()[0] for line in lines[3:]] == names
    assert names[:2] == ["ViT/Ti16", "ViT/S16"]
    counts = {line.split()[0]: line.split()[1] for line in lines[3:]}
    assert counts["ViT/g14"] == f"{_vit_parameters(14, 40, 1408, 6144, 448, 2380):,}"
    assert counts["ViT/L16"] == f"{_vit_parameters(16, 24, 1024, 4096, 448, 2380):,}"


def _vit_parameters(patch, depth, width, mlp_width, size, labels):
    """The closed form, with LayerScale and a norm after the averages of all tokens."""
    attention, mlp = 4 * (width + 1) * width, 2 * width * mlp_width + width + mlp_width
    block = attention + mlp + 2 * 2 * width + 2 * width
    stem = (3 * patch**2 + 1) * width + (size // patch) ** 2 * width
    return stem + depth * block + 2 * width + (width + 1) * labels


def test_a_field_needs_a_model(capsys):
    from Models import __main__ as command

    assert command.main(["--set", "attention=eca"]) == 2
    assert "--set needs a model" in capsys.readouterr().err
