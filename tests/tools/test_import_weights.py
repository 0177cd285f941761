"""tools/import_weights.py: files of the original zoo and folders of timm become .keras files."""

import json
import pathlib
import shutil

import keras
import numpy as np
import pytest
from golden import golden_values as golden
from helpers import jpeg, small_hub
from helpers.timm_folders import folder_of

import Models
from tools import export_model, import_weights, tag_images
from Utils.files import model_description
from Utils.tags import tag_categories, tag_list


def test_a_file_of_the_original_zoo_becomes_a_model(tmp_path, capsys):
    spec = golden.load("resnet50.json")
    golden.write_keras2_h5(spec, tmp_path / "weights.h5")
    words = [str(tmp_path / "weights.h5"), "-o", str(tmp_path / "out.keras"), "--model", "ResNet/50"]
    words += ["--image-size", str(spec["image_size"]), "--num-labels", str(spec["num_labels"])]
    assert import_weights.main(words) == 0
    assert "ResNet/50, " in capsys.readouterr().out
    model = keras.saving.load_model(tmp_path / "out.keras")
    assert np.abs(model(golden.golden_input(spec)).numpy() - np.array(spec["outputs"])).max() < 1e-4


@pytest.mark.slow
def test_a_folder_of_timm_becomes_a_model(tmp_path, capsys):
    spec = golden.load("timm_convnext_tiny.json")
    golden.write_timm_folder(spec, tmp_path / "timm")
    out = tmp_path / "out.keras"
    assert import_weights.main([str(tmp_path / "timm"), "-o", str(out)]) == 0
    assert "BGR, as taggers with a selected_tags.csv do" in capsys.readouterr().out
    model = keras.saving.load_model(out)
    assert model.count_params() == spec["params"]
    outputs = model(golden.golden_input(spec)).numpy()
    assert np.abs(outputs - spec["outputs"]).max() < 1e-5


@pytest.mark.reliability(
    "A timm folder that does not tell RGB from BGR", "refused, exit 2, until --source-order is given"
)
def test_an_order_of_channels_that_nothing_tells_is_not_guessed(tmp_path, capsys):
    folder, out = folder_of("resnet18", tmp_path / "timm"), tmp_path / "o.keras"
    (folder / "selected_tags.csv").unlink()
    assert import_weights.main([str(folder), "-o", str(out)]) == 2
    assert "--source-order rgb" in capsys.readouterr().err
    assert not out.exists()
    assert import_weights.main([str(folder), "-o", str(out), "--source-order", "rgb"]) == 0
    assert "RGB, as given" in capsys.readouterr().out


def test_derived_entries_are_skipped_and_broken_folders_are_errors(tmp_path, capsys):
    from safetensors.numpy import load_file, save_file

    folder = folder_of("resnet18", tmp_path / "timm")
    tensors = load_file(folder / "model.safetensors")
    save_file(tensors | {"bn1.num_batches_tracked": np.array(3)}, folder / "model.safetensors")
    assert import_weights.main([str(folder), "-o", str(tmp_path / "o.keras"), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert "bn1.num_batches_tracked" in facts["skipped"]
    assert facts["copied"] == [str(tmp_path / "selected_tags.csv")]
    words = [str(folder), "-o", str(tmp_path / "x.keras")]
    assert import_weights.main([*words, "--num-labels", "9"]) == 2
    assert "says by itself that it is 7; got --num-labels 9" in capsys.readouterr().err
    (folder / "model.safetensors").write_bytes(b"no")
    assert import_weights.main(words) == 2
    assert "cannot be read as safetensors" in capsys.readouterr().err
    (folder / "model.safetensors").unlink()
    assert import_weights.main(words) == 2
    error = capsys.readouterr().err
    assert "no model.safetensors beside" in error and "pickle" not in error
    (folder / "pytorch_model.bin").write_bytes(b"PK")
    assert import_weights.main(words) == 2
    assert "its pytorch_model.bin is a pickle, which is not opened" in capsys.readouterr().err
    (folder / "config.json").write_text("{}")
    assert import_weights.main(words) == 2
    assert "names no architecture" in capsys.readouterr().err
    assert not (tmp_path / "x.keras").exists()


def test_wrong_use_is_an_error_and_leaves_no_file(tmp_path, capsys):
    output = tmp_path / "o.keras"
    words = [str(tmp_path / "absent"), "-o", str(output)]
    model = ["--model", "ConvNext/test", "--image-size", "32", "--num-labels", "7"]
    assert import_weights.main([*words, *model]) == 2
    assert "no weights at" in capsys.readouterr().err
    assert import_weights.main([str(tmp_path / "absent"), "-o", "o.h5"]) == 2
    assert "must end in .keras; got o.h5" in capsys.readouterr().err
    assert not output.exists()
    output.write_bytes(b"")
    assert import_weights.main([*words, *model]) == 2
    assert output.read_bytes() == b""


WD_TAGS = """tag_id,name,category,count
9999999,general,9,50
9999998,sensitive,9,40
9999997,questionable,9,30
9999996,explicit,9,20
1,1girl,0,90
2,smile,0,80
3,reimu,4,9
"""
CATEGORIES = '[{"category": 0, "name": "general"}, {"category": 4, "name": "who"}]'
THRESHOLDS = """scope,category,tag_id,name,threshold,rule,precision,recall,f1,positives
all,,,,0.4,given,0.5,0.5,0.5,9
"""


@pytest.fixture
def tagger(tmp_path):
    """A timm folder as the WD taggers of the third version are, with random weights."""
    folder = folder_of("vit_wd", tmp_path / "wd")
    (folder / "selected_tags.csv").write_text(WD_TAGS)
    (folder / "categories.json").write_text(CATEGORIES)
    (folder / "thresholds.csv").write_text(THRESHOLDS)
    return folder


def tensors(folder):
    from safetensors.numpy import load_file

    return load_file(folder / "model.safetensors")


@pytest.mark.slow
def test_an_imported_tagger_is_exported_again_and_nothing_is_lost(tagger, tmp_path, capsys):
    out, release = tmp_path / "mine" / "wd.keras", tmp_path / "release"
    left = out.parent / ".wd.keras.999999999.part" / "new"  # as a killed process leaves it
    left.mkdir(parents=True)
    (left / "wd.keras").write_bytes(b"half")
    assert import_weights.main([str(tagger), "-o", str(out)]) == 0
    assert not list(out.parent.glob(".*"))
    assert "beside it: selected_tags.csv, categories.json, thresholds.csv" in capsys.readouterr().out
    for name in ("selected_tags.csv", "categories.json", "thresholds.csv"):
        assert (out.parent / name).read_bytes() == (tagger / name).read_bytes()
    description = model_description.read(out)
    assert description.model == "ViT/L16"
    assert description.source["from"] == "wd"
    assert description.source["config"]["architecture"] == "vit_large_patch16_224"
    assert Models.load(out).tags["name"].tolist()[-1] == "reimu"
    assert export_model.main([str(out), "-o", str(release)]) == 0
    assert "model.safetensors are timm's vit_large_patch16_224" in capsys.readouterr().out
    ours, theirs = tensors(release), tensors(tagger)
    assert ours.keys() == theirs.keys()
    assert all(np.array_equal(ours[name].reshape(theirs[name].shape), theirs[name]) for name in theirs)
    assert tag_categories.names_of(tag_list.read(release / "selected_tags.csv")) == {4: "who"}
    again = tmp_path / "again.keras"
    assert import_weights.main([str(release), "-o", str(again)]) == 0, "its order is stated now"
    batch = np.random.default_rng(0).uniform(0, 255, (2, 32, 32, 3)).astype("float32")
    one, other = (keras.saving.load_model(file)(batch) for file in (out, again))
    np.testing.assert_array_equal(one, other)


@pytest.mark.reliability(
    "`import_weights --overwrite` is killed",
    "no model lies beside files of another; the next call puts the old one back or has the new one",
)
def test_a_killed_replacement_is_put_back_by_the_next_call(tmp_path, monkeypatch, capsys):
    folder, out = folder_of("resnet18", tmp_path / "timm"), tmp_path / "mine" / "o.keras"
    words = [str(folder), "-o", str(out), "--source-order", "rgb"]

    def present(place):
        return {path.name: path.read_bytes() for path in place.glob("[!.]*")}

    assert import_weights.main(words) == 0
    before = present(out.parent)
    assert before.keys() == {"o.keras", "o.json", "selected_tags.csv"}
    for name, old, new in (("selected_tags.csv", ",0,", ",4,"), ("config.json", "resnet18", "resnet18.v2")):
        (folder / name).write_text((folder / name).read_text().replace(old, new, 1))
    killed, replace = tmp_path / "killed", pathlib.Path.replace

    def copy_midway(source, target):
        if source.name == out.name:  # the last of the exchange
            shutil.copytree(out.parent, killed)
        return replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(pathlib.Path, "replace", copy_midway)
        assert import_weights.main([*words[:-1], "bgr", "--overwrite"]) == 0
    after = present(out.parent)
    assert before.keys() == after.keys()
    assert all(before[name] != after[name] for name in before)
    assert before.keys() - present(killed).keys() == {"o.keras"}
    words[2] = str(killed / "o.keras")
    assert import_weights.main(words) == 2, "the old one is back"
    assert "was killed while it replaced this one, which is back" in capsys.readouterr().err
    assert present(killed) == before
    (folder / "selected_tags.csv").unlink()
    assert import_weights.main([*words, "--overwrite"]) == 0
    assert "beside it stays what was there and" in capsys.readouterr().out


def test_files_of_another_model_are_kept(tagger, tmp_path, capsys):
    out = tmp_path / "mine" / "wd.keras"
    out.parent.mkdir()
    (out.parent / "selected_tags.csv").write_text("tag_id,name,category,count\n1,x,0,1\n")
    for more in ([], ["--overwrite"]):
        assert import_weights.main([str(tagger), "-o", str(out), *more]) == 2
        assert "it may belong to another model" in capsys.readouterr().err
    assert not out.exists()
    (out.parent / "wd.json").write_text("{}")
    assert import_weights.main([str(tagger), "-o", str(out)]) == 2
    assert "where the description of" in capsys.readouterr().err


def test_a_model_on_the_hub_is_imported_and_tags(tagger, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "a.jpg").write_bytes(jpeg(0, 40))
    with small_hub.serving({"me/wd": tagger}) as (url, _):
        small_hub.use(monkeypatch, url, tmp_path / "home")
        assert import_weights.main(["hf://me/wd@main", "-o", "mine/wd.keras"]) == 0
        assert tag_images.main(["me/wd", "pictures", "--threshold", "0.01"]) == 0
        assert tag_images.main(["me/none", "pictures", "--overwrite"]) == 2
    assert model_description.read(tmp_path / "mine" / "wd.keras").source["from"] == "hf://me/wd@main"
    err = capsys.readouterr().err
    assert "me/wd: 7 tags at 32 px" in err
    assert "a timm folder, ViT/L16: channels BGR, as taggers with a selected_tags.csv do" in err
    assert "1girl" in (tmp_path / "pictures" / "a.txt").read_text()
