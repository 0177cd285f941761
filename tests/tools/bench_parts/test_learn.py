"""tools/bench_parts/learn.py: which runs are trained, and what comes out of them."""

import dataclasses
import json

import pytest
from helpers import jpeg, small_dataset
from helpers.learning_runs import finished_run

from tools import bench
from tools.bench_parts import learn
from Utils.bench import learning
from Utils.command.cli import UserError
from Utils.recipe.recipe import load_recipe


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return small_dataset(tmp_path_factory.mktemp("data"))


@pytest.fixture
def trained(monkeypatch, tmp_path):
    """The runs that were asked for; each becomes a folder, ours better at the rate 0.002."""
    runs = []

    def train(run, folder, python):
        runs.append(run)
        better = 0.6 if (run.side, run.recipe.learning_rate) == ("ours", 0.002) else 0.1
        return finished_run(tmp_path / f"run{len(runs)}", run.recipe.seed, better)

    monkeypatch.setattr(learning, "train", train)
    monkeypatch.setattr(learn, "_peer_name", lambda options, recipe: "resnet10t")
    return runs


def test_both_sides_are_trained_at_every_rate_and_seed_and_compared_at_their_best(
    dataset, trained, tmp_path, capsys
):
    words = [
        "learn",
        "--data",
        str(dataset),
        "--recipe",
        "demo",
        "--peer",
        "timm:resnet10t",
        "-o",
        str(tmp_path / "out"),
    ]
    words += [
        "--learning-rates",
        "1e-3",
        "2e-3",
        "--seeds",
        "0",
        "1",
        "--presentations",
        "1280",
        "--evaluations",
        "2",
    ]
    assert bench.main([*words, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert [(run.side, run.recipe.learning_rate, run.recipe.seed) for run in trained] == [
        (side, rate, seed) for rate in (1e-3, 2e-3) for side in ("ours", "timm") for seed in (0, 1)
    ]
    assert {(run.recipe.epochs, run.recipe.steps_per_epoch) for run in trained} == {(2, 20)}
    assert len({run.name for run in trained}) == len(trained)
    best = next(row for row in result["rows"] if (row["side"], row["learning_rate"]) == ("ours", "0.002"))
    assert result["figures"]["ours micro"] == pytest.approx(100 * best["micro_F1"], abs=0.01)
    assert result["ratios"]["micro F1, ours to timm"] > 1
    assert (tmp_path / "out" / "learn.svg").is_file()
    assert len((tmp_path / "out" / "learn.csv").read_text().splitlines()) == 5
    assert bench.main(words) == 0
    assert "ours above timm, each at its best rate: micro F1 +" in capsys.readouterr().out


@pytest.mark.slow
def test_captioned_pictures_are_packed_first(trained, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the commands that pack run in the project's folder
    for row in range(80):
        (tmp_path / "pictures").mkdir(exist_ok=True)
        (tmp_path / "pictures" / f"{row}.jpg").write_bytes(jpeg(row, 32))
        (tmp_path / "pictures" / f"{row}.txt").write_text("1girl, solo" if row % 2 else "1girl, cat")
    words = ["learn", "--data", "pictures", "--recipe", "demo", "-o", "out"]
    for _ in range(2):
        assert bench.main([*words, "--presentations", "640", "--evaluations", "2"]) == 0
    assert {run.dataset for run in trained} == {str(tmp_path / "out" / "dataset-pictures")}
    assert (tmp_path / "out" / "dataset-pictures" / "train").is_dir()
    assert "micro F1" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--peer", "keras"], "--peer is timm or timm:NAME"),
        (
            ["--peer", "timm:resnet10t", "--peer-python", "/nowhere/python"],
            "needs torch, torchvision and timm in",
        ),
        (["--same"], "--same needs --peer"),
        (["--presentations", "8"], "--presentations must be at least 256"),
        (["--data", "/nowhere"], "/nowhere"),
    ],
)
def test_mistakes_are_told_before_anything_is_trained(dataset, tmp_path, capsys, words, message):
    base = ["learn", "--data", str(dataset), "--recipe", "demo", "-o", str(tmp_path / "out")]
    assert bench.main([*base, *words]) == 2
    assert message in capsys.readouterr().err


def test_the_same_shape_has_as_many_weights_as_timms():
    import Models

    for name, parameters in (
        ("resnet18", 11_689_512),
        ("convnext_atto", 3_702_280),
        ("resnet10t", 5_435_000),
    ):
        model, options = learn.shape_of_peer(name)
        recipe = dataclasses.replace(load_recipe("demo"), model=model, model_options=options)
        net = Models.build(model, image_size=64, num_labels=1000, **recipe.model_overrides())
        trained = sum(weight.numpy().size for weight in net.trainable_weights)
        assert trained == pytest.approx(parameters, rel=0.002), name
    with pytest.raises(UserError, match="no family has the layers"):
        learn.shape_of_peer("mobilenetv3_small_100")
