"""The three commands on somebody's pictures: numbered files in sub-folders, mixed formats and captions."""

import json
import os
import signal
import subprocess
import sys

import cv2
import keras
import numpy as np
import pandas as pd
import pytest

import Models
import train
from tools import select_tags, write_records
from Utils.data import dataset_folder
from Utils.files import atomic
from Utils.tags import tag_list

COLORS = {"blue": (255, 0, 0), "green": (0, 255, 0), "red": (0, 0, 255), "black": (0, 0, 0)}
FORMATS = (".jpg", ".png", ".webp", ".bmp")
NUMBER, FOLDERS = 200, 4  # pictures; all sub-folders number theirs from 1


def caption(path, tags, style):
    """Write tags beside a picture, as one of the ways in which people have them."""
    if style == 0:
        path.with_suffix(".txt").write_text(", ".join(tags))
    elif style == 1:
        path.with_suffix(".caption").write_text("\n".join(tags))
    elif style == 2:
        path.with_name(f"{path.name}.txt").write_text(", ".join(tags) + ", A sentence that describes it all.")
    else:
        path.with_suffix(".json").write_text(json.dumps({"tags": tags}))


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Pictures of two colors, top and bottom; their tags are the colors."""
    folder, random = tmp_path_factory.mktemp("own") / "pictures", np.random.default_rng(0)
    for number in range(NUMBER):
        place = folder / f"set_{number % FOLDERS}" / f"{1 + number // FOLDERS:04}{FORMATS[number % 3]}"
        place.parent.mkdir(parents=True, exist_ok=True)
        halves = random.integers(4, size=2)
        image = np.zeros((40, 40, 3), np.uint8)
        image[:20], image[20:] = (list(COLORS.values())[half] for half in halves)
        noisy = np.clip(image + random.normal(0, 20, image.shape), 0, 255).astype(np.uint8)
        assert cv2.imwrite(str(place), noisy)
        caption(place, sorted({list(COLORS)[half] for half in halves}), number % 4)
    return folder


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A tagger that knows blue, green and red, as a .keras file with its list: trained on plain halves."""
    folder, random = tmp_path_factory.mktemp("base"), np.random.default_rng(1)
    halves = random.integers(4, size=(256, 2))
    colors = np.array(list(COLORS.values()), np.float32)
    images = np.repeat(colors[halves], 16, axis=1)[:, :, None].repeat(32, axis=2)
    images = np.clip(images + random.normal(0, 20, images.shape), 0, 255)
    labels = np.stack([(halves == color).any(axis=1) for color in range(3)], axis=1).astype("float32")
    keras.utils.set_random_seed(0)
    model = Models.build("ConvNext/test", image_size=32, num_labels=3, depths=(1, 1), widths=(8, 16))
    model.compile(keras.optimizers.AdamW(0.01), "binary_crossentropy")
    model.fit(images, labels, batch_size=16, epochs=12, verbose=0)
    model.save(folder / "base.keras")
    frame = pd.DataFrame(
        {"tag_id": [11, 12, 13], "name": ["blue", "green", "red"], "category": 0, "count": 9}
    )
    tag_list.write(frame, folder / "selected_tags.csv")
    return folder / "base.keras"


@pytest.mark.reliability(
    "Pictures that share numbers, in several formats, with captions of several kinds",
    "none is lost; a tagger that lacked a tag says it after three commands",
)
def test_three_commands_make_a_tagger_of_ones_own(pictures, base, tmp_path, capsys):
    data, run = tmp_path / "dataset", tmp_path / "run"
    assert select_tags.main(["--from", str(pictures), "-o", str(data)]) == 0
    assert write_records.main([str(data)]) == 0
    dataset = dataset_folder.load(data)
    assert sum(dataset.num_records(split) for split in dataset.splits) == NUMBER, "no picture is lost"
    assert set(dataset.tags["name"]) == set(COLORS), "no sentence is a tag"
    capsys.readouterr()
    words = ["--dataset", str(data), "--init-from", str(base), "--run-dir", str(run), "--tracker", "none"]
    assert train.main(["finetune", *words, "--epochs", "8"]) == 0
    said = capsys.readouterr().err
    assert "3 tags kept, 0 of them renamed; 1 new (black); 0 dropped" in said
    assert f"next: python tools/export_model.py {run}" in said
    before = json.loads((run / "initialization.json").read_text())["scores"]
    history = pd.read_csv(run / "history.csv")
    best = history.loc[history["val_loss"].idxmin()]
    assert best["val_new_f1"] > 0.7
    assert best["val_kept_f1"] > before["kept_f1"] - 0.02


def make_own(pictures, base, folder):
    """Start `make own`, its processes in a group of their own; its output is one text."""
    words = ["make", f"PY={sys.executable}", "-o", ".venv/.installed", "own", f"IMAGES={pictures}"]
    words += [f"FROM={base}", f"OWN={folder}", "FINETUNE=--epochs 6 --tracker none"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen(words, cwd=atomic.ROOT, start_new_session=True, **pipes)


def interrupt(process, number, text):
    """Send a signal to all processes of a group when ``text`` is printed."""
    lines = []
    with process:
        for line in process.stdout:
            lines.append(line)
            if text in line:
                os.killpg(process.pid, number)
    assert any(text in line for line in lines), "".join(lines)
    assert process.returncode != 0


@pytest.mark.slow
@pytest.mark.reliability(
    "`make own` is stopped or killed while it selects, trains and predicts, and run again",
    "the tagger and the thresholds of a chain that was not, bit for bit",
)
def test_make_own_goes_on_wherever_it_was_killed(pictures, base, tmp_path):
    killed, straight = tmp_path / "killed", tmp_path / "straight"
    interrupt(make_own(pictures, base, killed), signal.SIGKILL, "read as sidecars")
    interrupt(make_own(pictures, base, killed), signal.SIGTERM, "epoch 2/6")
    interrupt(make_own(pictures, base, killed), signal.SIGKILL, "epoch 4/6")
    interrupt(make_own(pictures, base, killed), signal.SIGINT, "tools/predict.py")
    for folder in (killed, straight, killed):
        process = make_own(pictures, base, folder)
        said = process.communicate()[0]
        assert process.returncode == 0, said
        assert f"the tagger is {folder}/run" in said
    assert "tools/" not in said.split("the tagger is")[0], "run again, nothing is done twice"
    for name in ("thresholds.csv", "run/selected_tags.csv"):
        assert (killed / name).read_bytes() == (straight / name).read_bytes()
    weights = [Models.load(folder / "run").model.get_weights() for folder in (killed, straight)]
    assert all(np.array_equal(one, other) for one, other in zip(*weights, strict=True))
    # Another start, or other pictures, would be passed over without a word.
    for other in ((pictures, "owner/name"), (pictures.parent, base)):
        process = make_own(*other, killed)
        assert "was begun with other words" in process.communicate()[0]
        assert process.returncode == 2
