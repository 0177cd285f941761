"""tools/bench_parts/records.py: from a booru to shards, beside copying and a query per image."""

import json
from xml.etree import ElementTree

import pytest
from helpers.in_process import InProcess

from tools import bench
from Utils.bench import timing


def test_it_measures_ours_the_limit_and_the_peer(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(timing, "TimedProcess", InProcess)
    words = ["records", "--images", "12", "--rounds", "1", "--shard-size", "5", "--json"]
    assert bench.main([*words, "--plot", str(tmp_path / "p.svg")]) == 0
    result = json.loads(capsys.readouterr().out)
    ours, limit, peer = result["figures"].values()
    assert min(ours, limit, peer) > 0
    assert result["ratios"] == {"of the limit": ours / limit, "of the peer": ours / peer}
    text = "".join(ElementTree.parse(tmp_path / "p.svg").getroot().itertext())
    assert "select" in text
    assert "tf.py_function and the rest" in text
    assert bench.main(["records", "--images", "0"]) == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--place", "tar", "--peer-images", "3", "--plot", "p.svg"], "leave --peer-images, --plot out"),
        (["--peer", "none", "--peer-images", "3"], "--peer none leaves out"),
    ],
)
def test_options_without_an_effect_are_refused(capsys, words, said):
    assert bench.main(["records", *words]) == 2
    assert said in capsys.readouterr().err


def test_without_the_peer_ours_is_measured_beside_copying(capsys):
    words = ["records", "--images", "12", "--rounds", "1", "--shard-size", "5", "--peer", "none", "--json"]
    assert bench.main(words) == 0
    result = json.loads(capsys.readouterr().out)
    assert list(result["ratios"]) == ["of the limit"] and len(result["figures"]) == 2


@pytest.mark.parametrize("place", ["folder", "tar", "zip", "parquet"])
def test_packing_from_archives_is_measured_beside_packing_from_a_folder(capsys, place):
    words = ["records", "--images", "12", "--rounds", "1", "--shard-size", "5", "--place", place, "--json"]
    assert bench.main(words) == 0
    result = json.loads(capsys.readouterr().out)
    of_folder, of_place = result["figures"].values()
    assert result["ratios"].pop("of the folder, by CPU time") > 0
    assert result["ratios"] == {"of the folder": of_place / of_folder}
    assert 10 < result["setup"]["peak_mb_of_a_process"] < 10_000
