"""tools/bench_parts/compile.py: which steps are compiled, what is kept, the dataset that they are of."""

import json

import pytest

from tools import bench
from tools.bench_parts import compile as part
from Utils.bench import compiled_steps
from Utils.command import accelerators
from Utils.command.cli import WorkError
from Utils.data import dataset_folder
from Utils.training import topology

ANSWER = {
    "device_kind": "TPU v5 lite", "devices": 8, "memory_limit_bytes": 100, "memory_bytes": 80,
    "argument_bytes": 30, "temporary_bytes": 50, "fits": True, "flops": 10, "matrix_flops": 9,
    "bytes_accessed": 7, "collectives": {"all-reduce": 5}, "compile_seconds": 1.0,
}  # fmt: skip
WORDS = ["compile", "--topologies", "v5e-8", "v3-8", "--recipes", "convnext_t", "vit_b16", "--json"]


@pytest.fixture
def compiled(monkeypatch):
    """What was compiled; ViT fits with rematerialized blocks only, and the compiler fails for NFNet."""
    calls = []

    def dry_run(dataset, key):
        calls.append((key["recipe"], key["topology"], key["rematerialize"]))
        if key["recipe"] == "nfnet_l0":
            raise WorkError("no")
        return ANSWER | {"fits": key["recipe"] != "vit_b16" or key["rematerialize"] == "blocks"}

    monkeypatch.setattr(part, "dry_run", dry_run)
    monkeypatch.setattr(accelerators, "has_libtpu", lambda: True)
    monkeypatch.setattr(topology, "versions", lambda: {"jax": "1", "libtpu": "2"})
    return calls


def test_blocks_are_rematerialized_where_a_step_does_not_fit(compiled, capsys):
    assert bench.main(WORDS) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert compiled == [
        (recipe, name, form)
        for name in ("v5e:2x4", "v3:2x2")
        for recipe, form in (("convnext_t", "none"), ("vit_b16", "none"), ("vit_b16", "blocks"))
    ]
    assert [row["fits"] for row in rows] == [True, False, True] * 2
    assert rows[0]["image_size"] == 320, "the recipe's"


def test_rows_that_are_there_are_kept_and_an_interrupted_table_is_continued(compiled, tmp_path, capsys):
    file = tmp_path / "steps.csv"
    words = ["-o", str(file), "--topologies", "v5e-8", "--recipes", "resnet50", "nfnet_l0", "convnext_t"]
    assert bench.main(["compile", *words]) == 1
    assert "nfnet_l0 on v5e:2x4: no" in capsys.readouterr().err
    assert [row["recipe"] for row in compiled_steps.read(file)] == ["resnet50", "convnext_t"]
    compiled.clear()
    assert bench.main(["compile", *words]) == 1
    assert compiled == [("nfnet_l0", "v5e:2x4", "none")]
    compiled.clear()
    assert bench.main(["compile", *words[:-2], "--overwrite"]) == 0
    assert compiled == [("resnet50", "v5e:2x4", "none")]
    assert len(compiled_steps.read(file)) == 2


def test_what_cannot_be_compiled_is_refused(compiled, monkeypatch, tmp_path, capsys):
    assert bench.main(["compile", "--topologies", "v9-8"]) == 2
    assert bench.main(["compile", "--recipes", "finetune"]) == 2, "it has no model of its own"
    (tmp_path / "other.csv").write_text("a\n1\n")
    assert bench.main([*WORDS, "-o", str(tmp_path / "other.csv")]) == 2
    monkeypatch.setattr(accelerators, "has_libtpu", lambda: False)
    assert bench.main(WORDS) == 2
    assert "requirements-tpu.txt" in capsys.readouterr().err
    assert not compiled


def test_the_dataset_has_tags_and_one_record(tmp_path):
    part.write_dataset(tmp_path, 7)
    dataset = dataset_folder.load(tmp_path)
    assert (dataset.num_labels, dataset.splits) == (7, ("train",))
