"""tools/bench_parts/peers/plain_server.py: the tags of a picture over HTTP, as the tagger has them."""

import json
import urllib.request

import numpy as np
from helpers import small_releases

from tools.bench_parts.peers import plain_server
from Utils.bench import timing
from Utils.serving import onnx_tagger, tag_selection


def test_it_answers_with_the_tags_of_a_picture(tmp_path):
    tagger = onnx_tagger.open_release(small_releases.make(tmp_path / "tiny"))
    selector = tag_selection.TagSelector(tagger.tags, np.zeros(len(tagger.tags)))
    address = plain_server.start(tagger, selector)
    jpeg = timing.draw_jpeg(np.random.default_rng(0), 32)
    with urllib.request.urlopen(f"{address}/tag", data=jpeg, timeout=60) as response:
        answer = json.load(response)
    row = tagger.probabilities(tagger.prepare(jpeg, None)[None])[0]
    assert answer == {tag.name: float(tag.probability) for tag in selector.select(row).tags}
    assert answer
