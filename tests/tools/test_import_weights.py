"""tools/import_weights.py: files of the original zoo and folders of timm become .keras files."""

import keras
import numpy as np
import pytest
from golden import golden_values as golden
from helpers.timm_folders import folder_of

from tools import import_weights


def test_a_file_of_the_original_zoo_becomes_a_model(tmp_path, capsys):
    spec = golden.load("resnet50.json")
    golden.write_keras2_h5(spec, tmp_path / "weights.h5")
    words = [str(tmp_path / "weights.h5"), "-o", str(tmp_path / "out.keras"), "--model", "ResNet/50"]
    words += ["--image-size", str(spec["image_size"]), "--num-labels", str(spec["num_labels"])]
    assert import_weights.main(words) == 0
    assert "ResNet/50, " in capsys.readouterr().out
    model = keras.saving.load_model(tmp_path / "out.keras")
    assert np.abs(model(golden.golden_input(spec)).numpy() - np.array(spec["outputs"])).max() < 1e-4


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
