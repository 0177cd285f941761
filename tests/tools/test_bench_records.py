"""The parts of tools/bench.py that measure the way from a booru to shards, and the picture of it."""

import json
import xml.etree.ElementTree as ET

from tools import bench
from tools.bench_parts import selection
from Utils.data import sources


def test_records_measures_ours_the_limit_and_the_peer(tmp_path, capsys):
    words = ["records", "--images", "12", "--rounds", "1", "--shard-size", "5", "--json"]
    assert bench.main([*words, "--plot", str(tmp_path / "p.svg")]) == 0
    result = json.loads(capsys.readouterr().out)
    ours, limit, peer = result["figures"].values()
    assert min(ours, limit, peer) > 0
    assert result["ratios"] == {"of the limit": ours / limit, "of the peer": ours / peer}
    text = "".join(ET.parse(tmp_path / "p.svg").getroot().itertext())
    assert "select" in text
    assert "tf.py_function and the rest" in text


def test_selection_measures_time_and_memory_at_two_sizes(capsys):
    assert bench.main(["selection", "--posts", "2000", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert min(result["figures"].values()) > 0
    few, many = result["setup"]["MB at 500"], result["setup"]["MB at 2,000"]
    assert 20 < few <= many + 20
    assert bench.main(["selection", "--posts", "9"]) == 2
    assert bench.main(["records", "--images", "0"]) == 2


def test_all_sources_of_the_benchmark_hold_the_same_posts(tmp_path):
    found = []
    for kind, draw in selection.DRAWN.items():
        draw(tmp_path / kind, 300)
        source = sources.SOURCES[kind](tmp_path / kind)
        tags = source.tags[source.tags["count"] > 0].set_index("name")["count"].sort_index()
        found.append((source.num_posts, tags.to_dict(), sum(len(block.tag_ids) for block in source.blocks())))
        seconds, megabytes = selection._select(kind, tmp_path / kind, 300)
        assert seconds > 0
        assert megabytes > 20
    assert found[0] == found[1]
