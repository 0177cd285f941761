"""The wheel is whole: installed elsewhere it imports, builds, loads and tags with its pages and commands."""

import os
import pathlib
import subprocess
import sys
import zipfile

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PACKAGES = ("Models", "Generators", "Utils", "tools")
ASSETS = {".html", ".js", ".css", ".typed", ".yaml"}
USE = """
import pathlib, sys
import numpy as np
import Generators, Models, Utils, tools
site, model_file = map(pathlib.Path, sys.argv[1:])
for package in (Generators, Models, Utils, tools):
    assert pathlib.Path(package.__file__).is_relative_to(site), package.__file__
model = Models.build("ConvNext/test", image_size=32, num_labels=2)
model.save(model_file)
(model_file.parent / "selected_tags.csv").write_text("tag_id,name,category,count\\n1,cat,0,9\\n2,dog,0,8\\n")
tags = Models.load(model_file).tag(np.full((40, 30, 3), 200, np.uint8), threshold=0.0)
assert sorted(tags) == ["cat", "dog"], tags
assert "ViT" in Models.available(), Models.available()
from tools.__main__ import main
sys.argv[:] = ["/elsewhere/bin/swcv"]
assert main(["train", "--help"]) == 0
assert main(["tag", "--no-such-flag"]) == 2
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel of the working tree, built without network."""
    folder = tmp_path_factory.mktemp("wheel")
    files = (*PACKAGES, "train.py", "README.md", "pyproject.toml")
    words = ["pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder)]
    source = folder / "source"  # setuptools leaves build/ beside what it builds
    tracked = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", *files],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.splitlines()  # fmt: skip
    for name in tracked:
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    subprocess.run([sys.executable, "-m", *words, str(source)], check=True, cwd=folder)
    return next(folder.glob("*.whl"))


def test_the_wheel_has_every_module_and_page(wheel):
    packed = set(zipfile.ZipFile(wheel).namelist())
    needed = {
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.suffix in {".py", *ASSETS} and "__pycache__" not in path.parts
    }
    assert (needed | {"train.py"}) - packed == set()
    assert not any(name.split("/")[0] in ("tests", "demo") for name in packed)
    (scripts,) = (name for name in packed if name.endswith("/entry_points.txt"))
    assert "swcv = Utils.command.programs:run_entry" in zipfile.ZipFile(wheel).read(scripts).decode()


@pytest.mark.slow
def test_the_wheel_is_enough_to_build_load_and_tag(wheel, tmp_path):
    site = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(site)
    done = subprocess.run(
        [sys.executable, "-c", USE, str(site), str(tmp_path / "model.keras")],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(site)}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "usage: swcv train RECIPE" in done.stdout
    assert "(see swcv tag --help, docs/tagging.md)" in done.stderr
