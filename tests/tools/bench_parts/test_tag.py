"""tools/bench_parts/tag.py: the command beside its two limits and a loop, in a process of its own."""

import argparse
import json
from typing import Any, cast

import pytest
from helpers import small_releases

from tools import bench
from tools.bench_parts import tag


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


@pytest.mark.parametrize(
    ("few", "many", "expected"),
    [(1.0, 1.4, 2 * (40 + 1)), (1.0, 1.0, 2 * (320 + 1)), (1.0, 0.5, 2 * (640 + 1))],
    ids=["longer", "as long", "shorter by noise"],
)
def test_a_round_has_a_bounded_number_of_pictures(few, many, expected):
    class Process:
        def seconds(self, rounds: int, side: str, count: int) -> list[float]:
            return [few if count == 2 else many]

    options = argparse.Namespace(batch_size=2, seconds=4.0)
    assert tag._count(cast(Any, Process()), "tag", options) == expected


def test_a_model_that_is_waited_for_takes_its_time_and_no_core(tmp_path, capsys):
    release = small_releases.make(tmp_path / "tiny")
    words = ["--batch-size", "2", "--rounds", "1", "--seconds", "0.2", "--picture-size", "32", "--json"]
    assert bench.main(["tag", "--model", str(release), *words, "--device-ms", "20"]) == 0
    figures = json.loads(capsys.readouterr().out)["figures"]
    assert figures["limit: the model alone"] < 1000 / 20 < figures["limit: decoding alone"]
    assert figures["one picture at a time"] < 1000 / 20
