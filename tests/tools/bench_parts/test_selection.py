"""tools/bench_parts/selection.py: time and memory of selecting tags and posts."""

import json

from tools import bench
from tools.bench_parts import selection
from Utils.data import sources


def test_it_measures_time_and_memory_at_two_sizes(capsys):
    assert bench.main(["selection", "--posts", "2000", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert min(result["figures"].values()) > 0
    few, many = result["setup"]["MB at 500"], result["setup"]["MB at 2,000"]
    assert 20 < few <= many + 20
    assert bench.main(["selection", "--posts", "9"]) == 2


def test_all_sources_hold_the_same_posts(tmp_path):
    contents = []
    for kind, draw in selection.DRAWN.items():
        draw(tmp_path / kind, 300)
        source = sources.SOURCES[kind](tmp_path / kind)
        tags = source.tags[source.tags["count"] > 0].set_index("name")["count"].sort_index()
        labels = sum(len(block.tag_ids) for block in source.blocks())
        contents.append((source.num_posts, tags.to_dict(), labels))
        seconds, megabytes = selection._select(kind, tmp_path / kind, 300)
        assert seconds > 0
        assert megabytes > 20
    assert contents[0] == contents[1]
