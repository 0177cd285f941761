"""Utils/files/model_description.py: what is written comes back; other JSON is none."""

import pytest

from Utils.command.cli import UserError
from Utils.files import model_description
from Utils.files.model_description import ModelDescription


def test_a_description_comes_back(tmp_path):
    file = tmp_path / "wd.keras"
    assert model_description.read(file) is None
    description = ModelDescription("ViT/B16", {"epsilon": 1e-5, "depths": [1, 2]}, {"from": "me/mine"})
    model_description.write(file, description)
    assert (tmp_path / "wd.json").is_file()
    assert model_description.read(file) == description


def test_another_json_is_none_and_a_wrong_one_is_refused(tmp_path):
    file = tmp_path / "x.keras"
    for text in ("[1]", '{"a": 1}'):
        (tmp_path / "x.json").write_text(text)
        assert model_description.read(file) is None
    (tmp_path / "x.json").write_text('{"model": 3, "options": {}}')
    with pytest.raises(UserError, match=r"x\.json: model must be text"):
        model_description.read(file)
