"""Which release a folder holds, what tells how it is run, and errors that name what would tell."""

import json

import pytest
from helpers import foreign_releases

from Utils.command.cli import UserError
from Utils.serving import onnx_tagger
from Utils.taggers import description


def test_a_folder_without_onnx_is_no_release(tmp_path):
    assert description.find(tmp_path) is None
    (tmp_path / "x.txt").write_text("x")
    assert description.find(tmp_path / "x.txt") is None


@pytest.mark.parametrize(
    ("name", "weights", "said"),
    [
        ("joytag", "model.safetensors", r"JoyTag, by top_tags.txt, without the ONNX file.*put it beside"),
        ("cl_tagger", "x.safetensors", "cl_tagger, by tag_mapping.json, without"),
        ("camie", "x.pth", "camie, by metadata.json, without"),
    ],
)
def test_a_release_in_another_form_says_which_file_is_run(tmp_path, name, weights, said):
    folder, _ = foreign_releases.make(tmp_path, name)
    for graph in folder.glob("*.onnx"):
        graph.rename(folder / weights)
    (folder / "config.json").write_text('{"class": "ViT"}')
    with pytest.raises(UserError, match=said):
        onnx_tagger.load(folder, pytest.fail)
    with pytest.raises(UserError, match=said):
        onnx_tagger.find(folder)


def test_what_is_missing_is_named(tmp_path):
    folder, _ = foreign_releases.make(tmp_path / "a", "cl_tagger")
    (folder / "tag_mapping.json").unlink()
    with pytest.raises(UserError, match=r"tag_mapping.json \(cl_tagger\).*top_tags.txt \(JoyTag\)"):
        description.find(folder)
    folder, _ = foreign_releases.make(tmp_path / "b", "animetimm")
    (folder / "preprocess.json").unlink()
    with pytest.raises(UserError, match=r"channels come first.*preprocess.json"):
        onnx_tagger.open_release(folder)
    (folder / "preprocess.json").write_text('{"channels": "RGB", "range": [0, 1], "output": "logits"}')
    told = onnx_tagger.open_release(folder).evidence
    assert any("RGB, 0..1" in sentence and "by preprocess.json" in sentence for sentence in told)
    assert any("logits" in sentence for sentence in told)


def test_of_several_models_one_must_be_named(tmp_path):
    folder, _ = foreign_releases.make(tmp_path, "pair")
    foreign_releases.graph(folder / "y.onnx", channels_first=False)
    foreign_releases.table(folder / "y.csv")
    with pytest.raises(UserError, match=r"several models, x.onnx, y.onnx"):
        description.find(folder)
    release = description.find(folder / "y.onnx")
    assert (release.model.name, release.tags_file.name) == ("y.onnx", "y.csv")
    foreign_releases.graph(folder / "model.onnx", channels_first=False)
    foreign_releases.table(folder / "selected_tags.csv")
    assert description.find(folder).model.name == "model.onnx"


def test_thresholds_of_categories(tmp_path):
    folder, _ = foreign_releases.make(tmp_path / "wd", "wd")
    (folder / "thresholds.csv").write_text("category,threshold\n0,0.2\n4,0.6\n0,0.9\n")
    thresholds, source = onnx_tagger.open_release(folder).published
    assert thresholds[4:].tolist() == [0.2, 0.2, 0.2, 0.6]
    assert source == "thresholds.csv"
    (folder / "thresholds.csv").write_text("category,threshold\n0,20\n")
    with pytest.raises(UserError, match="between 0 and 1; got 20"):
        onnx_tagger.open_release(folder)
    folder, _ = foreign_releases.make(tmp_path / "camie", "camie")
    content = {"general": {"balanced": {"threshold": 0.3}}, "character": 0.7}
    (folder / "threshold.json").write_text(json.dumps(content))
    assert onnx_tagger.open_release(folder).published[0][4:].tolist() == [0.3, 0.3, 0.3, 0.7]


def test_pictures_of_any_size_need_a_size(tmp_path):
    folder, _ = foreign_releases.make(tmp_path, "joytag")
    foreign_releases.graph(
        folder / "model.onnx", channels_first=True, sigmoids=(False,), outputs=("output",), side="side"
    )
    (folder / "preprocess.json").write_text('{"channels": "RGB", "range": [0, 1]}')
    with pytest.raises(UserError, match="image_size"):
        onnx_tagger.open_release(folder)
    (folder / "preprocess.json").write_text('{"channels": "RGB", "range": [0, 1], "image_size": 16}')
    assert onnx_tagger.open_release(folder).image_size == 16
    folder, _ = foreign_releases.make(tmp_path / "pair", "pair")
    foreign_releases.graph(folder / "x.onnx", channels_first=False, scale=255.0, side="side")
    with pytest.raises(UserError, match="takes pictures of any size"):
        onnx_tagger.open_release(folder)


def test_lists_that_do_not_fit_are_refused_before_they_are_read(tmp_path):
    folder, _ = foreign_releases.make(tmp_path / "long", "joytag")
    (folder / "top_tags.txt").write_text("tag\n" * 5000)
    with pytest.raises(UserError, match="top_tags.txt has 5000 lines, but model.onnx gives 8 probabilities"):
        onnx_tagger.open_release(folder)
    folder, _ = foreign_releases.make(tmp_path / "short", "deepdanbooru")
    (folder / "tags.txt").write_text("\n".join(foreign_releases.NAMES[:7]))
    with pytest.raises(UserError, match="tags.txt has 7 rows, but model-resnet_custom_v3.onnx gives 8"):
        onnx_tagger.open_release(folder)
    (folder / "tags.txt").unlink()
    with pytest.raises(UserError, match="a tag a line expected at .*tags.txt"):
        onnx_tagger.open_release(folder)
    folder, _ = foreign_releases.make(tmp_path / "camie", "camie")
    (folder / "metadata.json").write_text('{"dataset_info": {"tag_mapping": 3}}')
    with pytest.raises(UserError, match="lacks idx_to_tag"):
        onnx_tagger.open_release(folder)


def test_names_of_several_outputs_are_said(tmp_path):
    folder, _ = foreign_releases.make(tmp_path, "joytag")
    (folder / "top_tags.txt").write_text("\n".join([*foreign_releases.NAMES[:7], "solo"]))
    assert "1 name of several outputs: solo" in onnx_tagger.open_release(folder).evidence
