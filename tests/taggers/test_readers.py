"""Eight projects' releases of random graphs give the probabilities computed by hand."""

import io
import json

import numpy as np
import pytest
from helpers import foreign_releases
from PIL import Image

from Utils.command.cli import UserError
from Utils.serving import onnx_tagger, tag_selection
from Utils.tags import tag_categories, tag_list

SIDE = foreign_releases.SIDE


def pictures(count=3):
    rng = np.random.default_rng(3)
    return rng.integers(0, 256, (count, SIDE, SIDE, 3), dtype=np.uint8)


def png(rgb):
    file = io.BytesIO()
    Image.fromarray(rgb).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize("name", foreign_releases.LAYOUTS)
def test_probabilities_are_those_computed_by_hand(tmp_path, name):
    folder, by_hand = foreign_releases.make(tmp_path, name)
    tagger = onnx_tagger.load(folder, pytest.fail)
    rgb = pictures()
    prepared = np.stack([tagger.prepare(png(picture), None) for picture in rgb])
    assert np.abs(tagger.probabilities(prepared) - by_hand(rgb)).max() < 1e-5
    assert tagger.tags["name"].tolist() == foreign_releases.NAMES
    assert len(tagger.evidence) >= 3


def test_categories_and_published_thresholds(tmp_path):
    seen = {}
    for name in foreign_releases.LAYOUTS:
        tagger = onnx_tagger.load(foreign_releases.make(tmp_path / name, name)[0], pytest.fail)
        names = tag_categories.names_of(tagger.tags)
        categories = [tag_categories.name_of(code, names) for code in tagger.tags["category"]]
        seen[name] = (categories, *tag_selection.thresholds_of(tagger))
    assert seen["camie"][0] == seen["cl_tagger"][0] == foreign_releases.WORDS
    assert seen["e621"][0][4:7] == ["meta", "category 7", "category 8"]
    names = tmp_path / "e621" / "categories.json"
    for is_named in (False, True):
        evidence = onnx_tagger.open_release(tmp_path / "e621").evidence
        assert any("5 is shown as meta" in sentence for sentence in evidence) != is_named
        names.write_text('[{"category": 5, "name": "species"}]')
    assert seen["joytag"][0] == ["general"] * 8
    assert seen["deepdanbooru"][0] == ["general"] * 7 + ["character"]
    assert np.abs(seen["animetimm"][1] - 0.1 * np.arange(8)).max() < 1e-12
    assert set(seen["joytag"][1]) == {0.4}
    assert set(seen["deepdanbooru"][1]) == {0.5}
    assert set(seen["cl_tagger"][1]) == {0.35, 0.85}


def test_row_numbers_are_no_ids_of_tags(tmp_path):
    folder, _ = foreign_releases.make(tmp_path, "animetimm")
    text = (folder / "selected_tags.csv").read_text()
    assert onnx_tagger.open_release(folder).tags["tag_id"].tolist() == list(range(100, 108))
    (folder / "selected_tags.csv").write_text(text.replace("\n10", "\n"))  # 0, 1, 2, ...
    ids = onnx_tagger.open_release(folder).tags["tag_id"].tolist()
    assert ids == [tag_list.name_id(name) for name in foreign_releases.NAMES]


def test_camies_second_version_is_normalized_and_says_so(tmp_path):
    folder, by_hand = foreign_releases.make(tmp_path, "camie")
    mapping = json.loads((folder / "metadata.json").read_text())
    rgb = pictures(1)
    f = foreign_releases
    normalized = f.sigmoid(f.logits((rgb / np.float32(255) - np.float32(f.MEAN)) / np.float32(f.STD), seed=1))
    for extra, expected in (
        ({"model_info": {"img_size": SIDE}}, normalized),
        ({"input_spec": {"normalization": "ImageNet: mean=[0.485, ...]"}}, normalized),
        ({"model_info": {"img_size": SIDE}, "input_spec": {"normalization": "none"}}, by_hand(rgb)),
    ):
        content = {"dataset_info": {"tag_mapping": mapping}, **extra}
        (folder / "metadata.json").write_text(json.dumps(content))
        tagger = onnx_tagger.open_release(folder)
        found = tagger.probabilities(tagger.prepare(png(rgb[0]), None)[None])
        assert np.abs(found - expected).max() < 1e-5


@pytest.mark.reliability(
    "A tagger of another project with a tag list that is damaged or incomplete", "one error that names it"
)
@pytest.mark.parametrize(
    ("name", "file", "content", "said"),
    [
        ("camie", "metadata.json", "{}", "lacks idx_to_tag"),
        ("camie", "metadata.json", '{"idx_to_tag": {"1": "a"}, "tag_to_category": {}}', "none is 0"),
        ("camie", "metadata.json", '{"idx_to_tag": {"0": "a"}, "tag_to_category": {}}', "no category.*'a'"),
        ("cl_tagger", "tag_mapping.json", '{"0": "a"}', "tag 0 is a"),
        ("cl_tagger", "tag_mapping.json", '{"0": {"tag": 5, "category": "general"}}', "are texts; got 5"),
        ("cl_tagger", "tag_mapping.json", "[]", "an object"),
        ("joytag", "top_tags.txt", "\n", "is empty"),
        ("joytag", "top_tags.txt", "one\n", "has 1 row, but model.onnx gives 8"),
        ("deepdanbooru", "project.json", '{"image_width": 5, "image_height": 6}', "squares are known"),
        ("animetimm", "selected_tags.csv", "id,name\n1,a\n", "lacks the column category"),
        ("animetimm", "preprocess.json", '{"stages": [{"type": "resise"}]}', "did you mean resize"),
    ],
)
def test_wrong_files_are_one_error(tmp_path, name, file, content, said):
    folder, _ = foreign_releases.make(tmp_path, name)
    (folder / file).write_text(content)
    with pytest.raises(UserError, match=said):
        onnx_tagger.open_release(folder)


def test_deepdanboorus_categories_by_where_they_start(tmp_path):
    folder, _ = foreign_releases.make(tmp_path, "deepdanbooru")
    starts = [("General", 0), ("Character", 5), ("System", 7)]
    (folder / "categories.json").write_text(json.dumps([{"name": n, "start_index": i} for n, i in starts]))
    codes = onnx_tagger.open_release(folder).tags["category"].tolist()
    assert codes == [0] * 5 + [4] * 2 + [5]
    (folder / "categories.json").write_text(json.dumps([{"name": "General", "start_index": -1}]))
    with pytest.raises(UserError, match=r"categories\.json: a start_index is 0 or more; got -1"):
        onnx_tagger.open_release(folder)
