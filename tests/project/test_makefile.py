"""Makefile: names of folders reach the commands as they are; what make did not write is not deleted."""

import json
import pathlib
import shutil
import subprocess
import sys

import pytest

from Utils.files import atomic

# Stands for Python: it notes its arguments and leaves the file that training would.
STAND_IN = """#!{python} -IS
import json, pathlib, sys
with open({log!r}, "a") as file:
    file.write(json.dumps(sys.argv[1:]) + "\\n")
if sys.argv[1] == "train.py":
    run = pathlib.Path(sys.argv[sys.argv.index("--run-dir") + 1])
    run.mkdir(parents=True)
    (run / "model.keras").touch()
"""


@pytest.fixture
def clone(tmp_path):
    """Return a folder with the Makefile and a stand-in for Python."""
    shutil.copy(atomic.ROOT / "Makefile", tmp_path)
    stand_in = tmp_path / "stand_in"
    stand_in.write_text(STAND_IN.format(python=sys.executable, log=str(tmp_path / "log")))
    stand_in.chmod(0o755)
    return tmp_path


def make(clone, *words):
    fixed = ["make", f"PY={clone / 'stand_in'}", f"PYTHON={sys.executable}", "-o", ".venv/.installed"]
    return subprocess.run([*fixed, *words], cwd=clone, capture_output=True, text=True)


def calls(clone):
    return [json.loads(line) for line in (clone / "log").read_text().splitlines()]


@pytest.mark.reliability(
    "make own with folders of any name: spaces, quotes, $, parentheses, a dash in front, ., ..",
    "the folder that was named is read, and what is written stays under own/",
)
@pytest.mark.parametrize(
    ("name", "own"),
    [
        ("pictures", "pictures"), ("my pics (1)", "my_pics__1_"), ("cash$money", "cash_money"),
        ("it's \"so\"", "it_s__so_"), ("-pics", "_pics"), ("a:b;c#d%e&f", "a_b_c_d_e_f"), ("絵本", "絵本"),
        ("`touch x`", "_touch_x_"), ("$(touch x)", "__touch_x_"), (".", None), ("..", None),
    ],
)  # fmt: skip
def test_make_own_takes_folders_of_any_name(clone, name, own):
    (clone / name).mkdir(exist_ok=True)
    (clone / "cash").mkdir()  # what make would make of cash$money
    own = own or (clone / name).resolve().name
    done = make(clone, "own", f"IMAGES={name}", "FROM=a tagger's $1")
    assert done.returncode == 0, done.stderr
    words = {word for call in calls(clone) for word in call}
    assert f"--from={name}" in words
    assert "--init-from=a tagger's $1" in words
    outputs = {word for word in words if word.startswith("own/")}
    assert outputs
    assert all(word.startswith(f"own/{own}/") for word in outputs)
    assert (clone / "own" / own / "begun_with").is_file()
    assert not (clone / "x").exists()
    assert make(clone, "own", f"IMAGES={name}", "FROM=a tagger's $1").returncode == 0
    other = make(clone, "own", f"IMAGES={name}", "FROM=another")
    assert other.returncode == 2
    assert "was begun with other words" in other.stderr


def test_words_that_make_own_cannot_take(clone):
    assert "error: there is nothing at IMAGES=a $b" in make(clone, "own", "IMAGES=a $b", "FROM=x").stderr
    assert "error: make own IMAGES=" in make(clone, "own", "FROM=x").stderr
    for word in ("OWN=a b", "OWN=a(b)", "DEMO=my demo", "DEMO=-x"):
        refused = make(clone, "own", "IMAGES=.", "FROM=x", word)
        assert refused.returncode == 2
        assert "takes a folder without spaces" in refused.stderr
    assert not (clone / "log").exists()


def test_a_dataset_that_was_deleted_is_packed_again(clone):
    for folder in ("demo", "demo/labels"):
        (clone / folder).mkdir()
        (clone / folder / "dataset.packed").touch()
    (clone / "demo/dataset").mkdir()
    (clone / "demo/dataset/selected_tags.csv").touch()
    shutil.rmtree(clone / "demo/dataset")
    for words in (("help",), ("-n", "demo")):  # which change nothing
        make(clone, *words)
        assert (clone / "demo/dataset.packed").exists()
        assert (clone / "demo/labels/dataset.packed").exists()
    assert not (clone / "log").exists()
    make(clone, "demo")
    assert ["tools/write_records.py", "demo/dataset"] in [call[:2] for call in calls(clone)]


@pytest.mark.reliability(
    "make clean where somebody keeps files of their own, or DEMO names another folder",
    "what make demo did not write stays, and is named",
)
def test_make_clean_deletes_only_what_make_demo_wrote(clone):
    files = ["demo/booru/truth.csv", "demo/run/model.keras", "demo/dataset.packed", "demo/mine/notes.txt"]
    for name in (*files, "photos/run/a.jpg"):
        (clone / name).parent.mkdir(parents=True, exist_ok=True)
        (clone / name).touch()
    refused = make(clone, "clean", "DEMO=photos")
    assert refused.returncode == 2
    assert "no booru that make demo drew is in photos; nothing was deleted" in refused.stderr
    assert "demo keeps what make did not write: mine" in make(clone, "clean").stdout
    left = {path.relative_to(clone).as_posix() for path in pathlib.Path(clone).rglob("*") if path.is_file()}
    assert left == {"Makefile", "stand_in", "demo/mine/notes.txt", "photos/run/a.jpg"}
    shutil.rmtree(clone / "demo/mine")
    (clone / "demo/booru").mkdir()
    (clone / "demo/booru/truth.csv").touch()
    assert make(clone, "clean").returncode == 0
    assert not (clone / "demo").exists()
    assert make(clone, "clean").returncode == 0
