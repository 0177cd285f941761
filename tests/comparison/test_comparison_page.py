"""The page of a comparison: what it says, and that no tag breaks it."""

import re

import cv2
import numpy as np
from helpers import compared

from Utils.comparison import comparison_page, tables


def test_the_page_has_pictures_charts_and_every_tag(tmp_path):
    result, dumps, *_ = compared.make(tmp_path)
    png = cv2.imencode(".png", np.zeros((4, 4, 3), np.uint8))[1].tobytes()
    facts = tables.facts(result, dumps, 7, 0)
    page = comparison_page.render(result, facts, lambda ids: {post: png for post in ids if post != 10})
    assert page.count("<script>") == page.count("</script>") == 1
    assert "2 taggers on 30 posts newer than post 7 and 4 tags" in page
    assert page.count("<svg") == 4
    assert 'src="data:image/jpeg' in page
    assert "{{" not in page
    assert not re.search(r'(src|href)="http', page)
    for anchor in ("differences", "categories", "frequencies", "disagreements", "left-out", "all-tags"):
        assert f'<a href="#{anchor}">' in page
    assert "speed" not in re.findall(r'<h2 id="([\w-]+)">', page), "of a dump nobody knows the speed"


def test_one_tagger_has_no_differences(tmp_path):
    result, dumps, *_ = compared.make(tmp_path)
    facts = tables.facts(result, dumps, None, 0)
    facts |= {"ranking": ["good"], "differences": [], "taggers": facts["taggers"][:1]}
    page = comparison_page.render(result, facts, lambda ids: {})
    assert 'id="differences"' not in page
    assert "good has the highest macro AP" in page
