"""tools/bench_parts/tag.py: the command beside its two limits and a loop, in a process of its own."""

import json

from helpers import small_releases

from tools import bench


def test_it_measures_the_command_beside_the_model_and_the_decoder(tmp_path, capsys):
    release = small_releases.make(tmp_path / "tiny")
    words = ["--batch-size", "2", "--rounds", "1", "--seconds", "0.02", "--picture-size", "32", "--json"]
    assert bench.main(["tag", "--model", str(release), *words]) == 0
    result = json.loads(capsys.readouterr().out)
    figures, ratios = result["figures"], result["ratios"]
    assert list(figures) == [
        "tag_images", "limit: the model alone", "limit: decoding alone", "one picture at a time",
    ]  # fmt: skip
    assert figures["limit: the model alone"] > 0
    assert ratios["of the model alone"] == figures["tag_images"] / figures["limit: the model alone"]
    assert result["setup"]["model"] == "tiny"
