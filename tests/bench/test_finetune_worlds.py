"""Worlds of the study of fine-tuning: the base lacks tags, own pictures become folders that people have."""

import numpy as np
import pytest
from helpers import jpeg

from Utils.bench import finetune_worlds as worlds
from Utils.command.cli import UserError
from Utils.tags import captions


@pytest.fixture
def world():
    labels = np.random.default_rng(0).random((50, 70)) < 0.2
    names = np.array([f"long_{number}_(t)" for number in range(70)], object)
    jpegs = [jpeg(number, 24) for number in range(50)]
    return worlds.World(jpegs, labels, labels, names, (20, 20, 10), np.arange(60))


def test_the_base_lacks_the_new_tags_and_own_pictures_have_some(world):
    assert world.columns(0).tolist() == list(range(60, 70))
    assert world.columns(5).tolist() == [*range(5), *range(60, 70)]
    assert [world.posts(part)[[0, -1]].tolist() for part in range(3)] == [[0, 19], [20, 39], [40, 49]]


def test_own_pictures_are_drawn_by_the_seed_and_have_tags(world):
    posts = world.own_posts(8, 5, 1)
    assert posts.tolist() == world.own_posts(8, 5, 1).tolist() != world.own_posts(8, 5, 2).tolist()
    assert set(posts) <= set(range(20, 40))
    assert world.labels[np.ix_(posts, world.columns(5))].any(axis=1).all()
    with pytest.raises(UserError, match="own pictures with a tag; got 21"):
        world.own_posts(21, 5, 1)


def test_a_folder_has_repeating_numbers_mixed_formats_and_captions_with_spaces(world, tmp_path):
    columns = world.columns(5)
    world.write_pictures(tmp_path / "pictures", np.arange(20, 40), columns)
    pictures = sorted((tmp_path / "pictures").rglob("*"))
    suffixes = [path.suffix for path in pictures if path.is_file()]
    assert {suffix: suffixes.count(suffix) for suffix in set(suffixes)} == {
        ".jpg": 7, ".png": 7, ".webp": 6, ".txt": 10, ".caption": 10
    }  # fmt: skip
    text = (tmp_path / "pictures" / "first" / "1.txt").read_text()
    assert [captions.tag_name(tag) for tag in captions.parse(text).tags] == world.names[
        columns[world.labels[20, columns]]
    ].tolist()
    assert not (tmp_path / ".pictures").exists()


def test_a_world_is_stored_without_pickle_and_read_back(tmp_path, monkeypatch):
    names = [f"tag_{number}" for number in range(70)]
    jpegs = [jpeg(number, 24) for number in range(worlds.MIN_IMAGES + 3)]
    arrays = worlds._arrays(jpegs, [set(names)] * len(jpegs), [{"tag_1"}] * len(jpegs), names, (31, 1, 1))
    monkeypatch.setattr(worlds, "_draw", lambda booru, style: arrays)
    made = worlds.load(tmp_path, "faces")
    monkeypatch.setattr(worlds, "_draw", None)
    again = worlds.load(tmp_path, "faces")
    assert made.jpegs == again.jpegs == jpegs
    assert again.names.tolist() == names and again.parts == (31, 1, 1)
    assert again.labels.all() and again.true.sum() == len(jpegs)
    assert again.new.tolist() == made.new.tolist() and len(set(again.new)) == worlds.MOST_NEW


def test_tags_that_captions_spell_otherwise_or_that_are_rare_are_left_out():
    names = ["1girl", "\\(o\\)", "rare"]
    tags = [{"1girl", "\\(o\\)"}] * worlds.MIN_IMAGES + [{"rare"}, {"1girl"}]
    arrays = worlds._arrays([b""] * len(tags), tags, tags, names, (worlds.MIN_IMAGES + 1, 1, 9))
    assert arrays["names"].tolist() == ["1girl"]
    assert arrays["parts"].tolist() == [worlds.MIN_IMAGES + 1, 1, 0]
    assert arrays["labels"].sum() == worlds.MIN_IMAGES + 1
