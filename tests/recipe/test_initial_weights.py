"""Utils/recipe/initial_weights.py: where a model is found, what its file says, which tags keep weights."""

import json
import zipfile
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from Utils.command.cli import UserError
from Utils.files import model_description
from Utils.files.model_description import ModelDescription
from Utils.recipe import initial_weights
from Utils.recipe.recipe import Recipe, write_recipe
from Utils.tags import tag_list


def layer(kind, **config):
    return {"class_name": kind, "config": config}


def write_model(path, num_labels=3, image_size=64, name="ConvNext-test", norms=()):
    """The JSON of a .keras file, without weights."""
    path.parent.mkdir(parents=True, exist_ok=True)
    layers = [layer("InputLayer", batch_shape=[None, image_size, image_size, 3]), layer("Dense", units=8)]
    config = {"name": name, "layers": [*layers, *norms, layer("Dense", units=num_labels)]}
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", json.dumps({"config": config}))
    return path


def tags(*names, first_id=1):
    ids = range(first_id, first_id + len(names))
    return pd.DataFrame({"tag_id": ids, "name": names, "category": 0, "count": 9})


def write_tags(folder, *names):
    tag_list.write(tags(*names), folder / "selected_tags.csv")


def test_a_file_says_what_model_it_is(tmp_path):
    source = initial_weights.find(write_model(tmp_path / "x.keras", 5, 96, "ViT-B16"))
    assert (source.model, source.image_size, source.num_labels) == ("ViT/B16", 96, 5)
    assert (source.tags, source.recipe, source.is_taken_over) == (None, None, False)


def test_layers_tell_the_momentum_of_their_averages_where_no_recipe_does(tmp_path):
    norm = layer("BatchNorm", momentum=0.9)
    assert initial_weights.find(write_model(tmp_path / "x.keras", norms=[norm])).batch_norm_momentum == 0.9
    assert initial_weights.find(write_model(tmp_path / "y.keras")).batch_norm_momentum is None
    run = tmp_path / "run"
    write_model(run / "best.keras", norms=[norm])
    write_recipe(run / "recipe.json", "small", Recipe())
    assert initial_weights.find(run).batch_norm_momentum is None  # the recipe has one


def test_a_run_has_a_best_and_a_last_model_its_tags_and_its_recipe(tmp_path):
    write_model(tmp_path / "best.keras")
    write_model(tmp_path / "model.keras")
    write_tags(tmp_path, "a", "b", "c")
    write_recipe(tmp_path / "recipe.json", "demo", Recipe(epochs=7))
    source = initial_weights.find(tmp_path)
    assert source.file.name == "best.keras"
    assert source.tags["name"].tolist() == ["a", "b", "c"]
    assert source.recipe == Recipe(epochs=7)
    assert initial_weights.find(tmp_path, "last").file.name == "model.keras"
    with pytest.raises(UserError, match="--which last is for runs"):
        initial_weights.find(tmp_path / "best.keras", "last")


def test_a_folder_with_one_model_is_that_model_whatever_its_name(tmp_path):
    released = write_model(tmp_path / "extra" / "keras" / "model.keras")
    assert initial_weights.find(tmp_path).file == released
    beside = write_model(tmp_path / "ConvNextT_released.keras")
    assert initial_weights.find(tmp_path).file == beside


def test_a_place_without_a_model_is_refused(tmp_path):
    with pytest.raises(UserError, match="is nothing"):
        initial_weights.find(tmp_path / "none")
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(UserError, match=r"a file that does not end in \.keras"):
        initial_weights.find(tmp_path / "notes.txt")
    with pytest.raises(UserError, match=r"has no best\.keras.*it holds notes\.txt"):
        initial_weights.find(tmp_path)
    (tmp_path / "x.keras").write_text("text")
    with pytest.raises(UserError, match="not a Keras model"):
        initial_weights.find(tmp_path / "x.keras")
    write_model(tmp_path / "x.keras", 3)
    write_tags(tmp_path, "a", "b")
    with pytest.raises(UserError, match=r"has 2 tags, but x\.keras gives 3 outputs"):
        initial_weights.find(tmp_path)


def test_the_other_model_of_a_run_is_not_taken_for_the_best(tmp_path):
    write_model(tmp_path / "model.keras")
    write_recipe(tmp_path / "recipe.json", "demo", Recipe())
    with pytest.raises(UserError, match=r"has no best\.keras yet; it has model\.keras, which --which takes"):
        initial_weights.find(tmp_path)
    (tmp_path / "model.keras").unlink()
    with pytest.raises(UserError, match=r"has no best\.keras yet; the command that began it goes on"):
        initial_weights.find(tmp_path)


def source_of(*names):
    return initial_weights.Source(None, "ViT/test", 32, len(names), tags(*names), None)


def test_tags_are_matched_by_id_then_by_name():
    frame = pd.DataFrame(
        {"tag_id": [3, 9, 50, 1], "name": ["c2", "new", "b", "a"], "category": 0, "count": 1}
    )
    match = initial_weights.match_tags(source_of("a", "b", "c", "d"), frame)
    assert match.rows.tolist() == [2, -1, 1, 0]
    assert (match.renamed, match.new, match.dropped) == ((("c", "c2"),), ("new",), ("d",))
    assert match.text == "3 tags kept, 1 of them renamed (c is c2); 1 new (new); 1 dropped (d)"
    assert initial_weights.match_tags(source_of("x"), tags("y", first_id=7)).text == (
        "no tag in common, neither by id nor by name: all 1 are new (y)"
    )


def test_outputs_without_a_list_are_taken_in_order(tmp_path):
    source = initial_weights.find(write_model(tmp_path / "x.keras"))
    match = initial_weights.match_tags(source, tags("a", "b", "c"))
    assert match.rows.tolist() == [0, 1, 2]
    assert match.text.startswith("no selected_tags.csv beside it: its 3 outputs are taken")
    with pytest.raises(UserError, match=r"has no selected_tags\.csv beside it"):
        initial_weights.match_tags(source, tags("a", "b"))


def test_a_run_continues_when_the_model_it_began_with_is_gone(tmp_path):
    folder, run_dir = tmp_path / "source", tmp_path / "run"
    write_model(folder / "best.keras")
    write_recipe(folder / "recipe.json", "demo", Recipe(epochs=7))
    source = initial_weights.resolve(folder, "best", run_dir)
    assert not source.is_taken_over
    match = initial_weights.TagMatch(np.array([0, 2, -1]), (("c", "c2"),), ("n",), ("b",))
    run_dir.mkdir()
    recipe = Recipe(init_from=str(folder))
    initial_weights.write_origin(run_dir, recipe, source, match, {"kept_f1": 0.5}, np.array([5, 0, 31]))
    written = json.loads((run_dir / "initialization.json").read_text())
    assert list(written) == [
        "init_from", "file", "sha256", "model", "image_size", "num_labels", "kept", "renamed", "new",
        "dropped", "rows", "recipe", "options", "probe", "probed", "new_head", "scores", "pictures",
        "batch_norm_momentum",
    ]  # fmt: skip
    assert (written["kept"], written["rows"], written["renamed"]) == (2, [0, 2, -1], [["c", "c2"]])
    assert initial_weights.scores_before(run_dir) == {"kept_f1": 0.5}
    (folder / "best.keras").unlink()
    again = initial_weights.resolve(folder, "best", run_dir)
    assert again.is_taken_over and again.file == run_dir
    assert again.architecture is None
    (run_dir / "architecture.json").write_text("{}")
    assert (again.architecture, source.architecture) == ("{}", None)
    assert again.pictures is not None and again.pictures.tolist() == [5, 0, 31]
    assert initial_weights.match_tags(again, tags("a", "b", "c")).rows.tolist() == [0, 2, -1]
    with pytest.raises(UserError, match="a list of 3 tags; the dataset has 4. Give another --run-dir"):
        initial_weights.is_new(again, tags("a", "b", "c", "d"))
    assert (again.model, again.image_size, again.recipe) == ("ConvNext/test", 64, Recipe(epochs=7))
    with pytest.raises(UserError, match="is nothing"):
        initial_weights.resolve(tmp_path / "another", "best", run_dir)


def write_safetensors(path, *names):
    """The head of a safetensors file."""
    head = json.dumps(dict.fromkeys(names)).encode()
    path.write_bytes(len(head).to_bytes(8, "little") + head)


def described_timm(folder, order):
    """What `Models.loading.describe_timm` would say."""
    return SimpleNamespace(
        name="ViT/Ti16", image_size=48, num_labels=2, fields={"epsilon": 1e-5}, order=order or "bgr"
    )


def test_a_timm_folder_is_a_source_where_somebody_can_describe_it(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    write_safetensors(tmp_path / "model.safetensors", "head.weight")
    write_tags(tmp_path, "a", "b")
    with pytest.raises(UserError, match=r"it holds config\.json, model\.safetensors"):
        initial_weights.find(tmp_path)
    source = initial_weights.find(tmp_path, "best", described_timm, "rgb")
    assert (source.file, source.model, source.order) == (tmp_path, "ViT/Ti16", "rgb")
    assert source.built_as == ("ViT/Ti16", {"epsilon": 1e-5})
    assert source.tags["name"].tolist() == ["a", "b"]
    assert source.batch_norm_momentum is None
    write_safetensors(tmp_path / "model.safetensors", "bn1.running_mean")
    source = initial_weights.find(tmp_path, "best", described_timm)
    assert source.batch_norm_momentum == Recipe().batch_norm_momentum
    write_tags(tmp_path, "a")
    with pytest.raises(UserError, match="has 1 tag, but"):
        initial_weights.find(tmp_path, "best", described_timm)
    (tmp_path / "selected_tags.csv").unlink()
    source = initial_weights.find(tmp_path, "best", described_timm)
    assert initial_weights.match_tags(source, tags("a", "b")).rows.tolist() == [-1, -1], "classes, not tags"


def test_an_imported_file_says_how_it_is_built(tmp_path):
    file = write_model(tmp_path / "x.keras", name="ViT-Ti16")
    assert initial_weights.find(file).built_as is None
    model_description.write(file, ModelDescription("ViT/Ti16", {"epsilon": 1e-5}, {}))
    assert initial_weights.find(file).built_as == ("ViT/Ti16", {"epsilon": 1e-5})
    model_description.write(file, ModelDescription("ViT/B16", {}, {}))
    with pytest.raises(UserError, match="says ViT/B16, but .* is a ViT/Ti16"):
        initial_weights.find(file)


def test_tags_that_a_probe_has_learned_count_as_new(tmp_path):
    write_model(tmp_path / "best.keras")
    write_tags(tmp_path, "a", "b", "c")
    write_recipe(tmp_path / "recipe.json", "finetune", Recipe())
    (tmp_path / "initialization.json").write_text(json.dumps({"probe": True, "new": ["b"]}))
    source = initial_weights.find(tmp_path)
    assert source.probed == ("b",)
    assert initial_weights.is_new(source, tags("a", "b", "x", first_id=1)).tolist() == [False, True, False]
    assert initial_weights.is_new(source, tags("a", "b", "x", first_id=90)).tolist() == [False, True, True]


def test_of_another_head_no_output_is_kept():
    """Nor of a timm folder without a list, whose outputs are classes of something else."""
    fields = {"recorded": None, "tags": None, "order": "rgb", "new_head": False, "file": "x", "num_labels": 2}
    for more in ({}, {"new_head": True, "tags": tags("a", "b")}):
        match = initial_weights.match_tags(SimpleNamespace(**fields | more), tags("a", "b"))
        assert (match.rows.tolist(), match.new, match.new_head) == ([-1, -1], ("a", "b"), bool(more))
