"""Real programs give a release's probabilities; they run in a Python of their own.

SWCV_CLIENTS_PYTHON is one in which dghs-imgutils and waifutagger are installed with onnxruntime; without it
nothing is run here, and docs/releasing.md says what was.
"""

import json
import os
import pathlib
import shutil
import subprocess

import numpy as np
import pytest
from helpers import small_hub
from PIL import Image

from tools import export_model
from Utils.clients import preprocessing
from Utils.serving import onnx_tagger

PYTHON = os.environ.get("SWCV_CLIENTS_PYTHON")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not PYTHON, reason="SWCV_CLIENTS_PYTHON names no Python with the programs"),
]
REPOSITORY, EMBEDDINGS = "SmilingWolf/wd-swinv2-tagger-v3", "deepghs/wd14_tagger_with_embeddings"
# Each prints {picture: {tag: probability}} of the pictures that it is given; waifutagger drops underscores.
PROGRAMS = {
    "imgutils": """
import json, sys
from imgutils.tagging import get_wd14_tags
def tags(path):
    parts = get_wd14_tags(path, general_threshold=-1, character_threshold=-1)
    return {name: value for part in parts for name, value in part.items()}
print(json.dumps({path: tags(path) for path in sys.argv[1:]}))
""",
    "waifutagger": """
import json, sys
from waifutagger import WaifuTagger
tagger = WaifuTagger("swinv2-v3")
def tags(path):
    found = tagger.predict(path, general_threshold=-1, character_threshold=-1)
    return {name: float(value) for kind in ("general_tags", "character_tags") for name, value in
            found[kind].items()}
print(json.dumps({path: tags(path) for path in sys.argv[1:]}))
""",
}


@pytest.fixture(scope="module")
def release(exported, tmp_path_factory):
    folder = tmp_path_factory.mktemp("real") / "with_features"
    assert export_model.main([str(exported / "run"), "-o", str(folder), "--embedding"]) == 0
    return folder


def pictures(folder):
    """Write a wide picture, a gray one, one with transparency and a small one; return their paths."""
    rng = np.random.default_rng(0)
    for name, shape in (
        ("wide", (60, 90, 3)),
        ("gray", (50, 50)),
        ("clear", (70, 40, 4)),
        ("small", (9, 6, 3)),
    ):
        Image.fromarray(rng.integers(0, 256, shape, np.uint8)).save(folder / f"{name}.png")
    return sorted(str(path) for path in folder.glob("*.png"))


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_gives_the_probabilities_of_its_preparation(release, tmp_path, program):
    features = tmp_path / "features" / REPOSITORY
    features.mkdir(parents=True)
    shutil.copy(release / "model.onnx", features)
    paths = pictures(tmp_path)
    with small_hub.serving({REPOSITORY: release, EMBEDDINGS: tmp_path / "features"}) as (url, _):
        settings = {"HF_ENDPOINT": url, "HF_HOME": str(tmp_path / "home"), "HF_HUB_DISABLE_XET": "1"}
        answer = subprocess.run(
            [str(PYTHON), "-c", PROGRAMS[program], *paths],
            env=os.environ | settings, capture_output=True, text=True, check=False,
        )  # fmt: skip
    assert answer.returncode == 0, answer.stderr
    tagger = onnx_tagger.open_release(release)
    prepare = preprocessing.imgutils if program == "imgutils" else preprocessing.bicubic
    for path, found in json.loads(answer.stdout).items():
        with Image.open(path) as picture:
            values = tagger.probabilities(prepare(picture, tagger.image_size)[None])[0]
        ours = {name: float(value) for name, value in zip(tagger.tags["name"], values, strict=True)}
        spaced = {name.replace("_", " "): value for name, value in ours.items()}
        known = ours if program == "imgutils" else spaced
        assert len(found) >= len(ours) - 4, pathlib.Path(path).name  # waifutagger gives the best rating only
        assert max(abs(known[name] - value) for name, value in found.items()) < 1e-4, path
