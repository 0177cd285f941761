"""tools/bench_parts/selection.py: time and memory of selecting tags and posts."""

import json

import pytest

from tools import bench
from tools.bench_parts import selection
from Utils.data import sources


@pytest.mark.slow
def test_it_measures_time_and_memory_at_two_sizes(capsys):
    assert bench.main(["selection", "--posts", "2000", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert min(result["figures"].values()) > 0
    for stage in selection.STAGES:
        few, many = (result["setup"][f"{stage}, MB at {posts}"] for posts in ("500", "2,000"))
        assert 20 < few <= many + 40
        assert result["figures"][f"{stage} 2,000 posts"] > 0
    assert bench.main(["selection", "--posts", "9"]) == 2


def test_all_sources_hold_the_same_posts(tmp_path):
    contents = []
    for kind, draw in selection.DRAWN.items():
        draw(tmp_path / kind, 300)
        source = sources.SOURCES[kind](tmp_path / kind)
        tags = source.tags[source.tags["count"] > 0].set_index("name")["count"].sort_index()
        labels = sum(len(block.tag_ids) for block in source.blocks())
        contents.append((source.num_posts, tags.to_dict(), labels))
        stages = selection.STAGES_OF_TARS if kind == "webdataset" else selection.STAGES
        for stage in stages.values():
            seconds, megabytes = stage(kind, tmp_path / kind, tmp_path / f"{kind}_dataset", 300)
            assert seconds > 0
            assert megabytes > 20
    assert contents[0] == contents[1] == contents[2]
