"""Questions one by one on the review page, in a browser: keys, reloads, kills, tabs. Skipped without one."""

import json

import pytest
from helpers import jpeg, small_releases
from helpers.review_pages import Process, press, serving, settled, shown
from helpers.reviewed import QUESTIONS, make

from Utils.images import image_folder


@pytest.fixture
def process(tmp_path):
    started = Process(tmp_path)
    try:
        yield started.start()
    finally:
        started.end()


KEYS = {"y": "yes", "n": "no", "u": "unsure", "ArrowRight": "yes", "ArrowLeft": "no", "ArrowDown": "unsure"}


@pytest.mark.slow
def test_a_hundred_decisions_survive_reloads_and_kills(page, process):
    page.goto(process.address)
    question, expected = shown(page), {}
    for number in range(100):
        key = list(KEYS)[number % len(KEYS)]
        expected[question] = KEYS[key]
        page.keyboard.press(key)
        if number in (30, 77):  # at once, while the decision is on its way
            page.reload()
        if number in (45, 60):
            process.kill()
        if number == 64:  # four decisions were made without a server; its last line was cut off
            with (process.folder / "decisions.jsonl").open("ab") as file:
                file.write(b'{"post_id": 1059, "tag": "so')
        if number in (45, 64):
            process.start()
        if number == 64:
            page.reload()  # before they were sent again
        question = shown(page, question)
    settled(page, 100)
    lines = process.lines()
    assert len(lines) == len(expected) == 100
    assert {(line["post_id"], line["tag_id"]): line["decision"] for line in lines} == expected
    assert {line["reviewer"] for line in lines} == {"ann"}
    assert [line["time"] for line in lines] == sorted({line["time"] for line in lines})
    process.kill()
    process.start()
    page.reload()
    settled(page, 100)
    question = shown(page)  # a key that comes before the question decides nothing
    while question is not None:  # what is left is asked, each once
        assert question not in expected
        expected[question] = "yes"
        page.keyboard.press("y")
        question = shown(page, question) if len(expected) < QUESTIONS else None
    page.get_by_text("Nothing is left to decide").wait_for()
    settled(page, QUESTIONS)
    assert process.standing() == expected


def test_undo_goes_back_also_after_a_reload(page, server):
    page.goto(server.address)
    first = shown(page)
    page.keyboard.press("Control+y")  # the browser's
    page.keyboard.down("y")
    page.keyboard.down("y")  # held down: it repeats
    page.keyboard.up("y")
    second = shown(page, first)
    third = press(page, "n", second)
    page.keyboard.press("z")
    assert shown(page, third) == second
    assert press(page, "u", second) == third
    page.reload()
    assert shown(page) == third
    page.keyboard.press("Backspace")
    assert shown(page, third) == second
    page.keyboard.press("z")
    assert shown(page, second) == first
    page.keyboard.press("z")
    page.get_by_text("There is nothing to undo").wait_for()
    page.get_by_text("60 left of this tag").wait_for()
    settled(page, 0)
    kinds = [line["decision"] for line in server.lines()]
    assert kinds == ["yes", "no", "undo", "unsure", "undo", "undo"]


def test_m_shows_where_the_tag_is_seen_and_the_picture_again(page, tmp_path):
    tags = small_releases.TAGS.replace("blue_sky", "solo")
    release = small_releases.make(tmp_path / "release", tags=tags)
    with serving(tmp_path, [*make(tmp_path), "--maps", str(release)]) as server:
        page.goto(server.address)
        question = shown(page)
        page.keyboard.press("m")
        page.locator(".large[data-map] img[src^=blob]").wait_for()
        page.get_by_text("Bright: without these parts").wait_for()
        page.keyboard.press("m")
        page.locator(f".large:not([data-map]) img[src='images/{question[0]}']").wait_for()
        page.get_by_role("button", name="Where").click()
        page.locator(".large[data-map]").wait_for()
        press(page, "y", question)
        page.locator(".large:not([data-map])").wait_for()


def test_two_tabs_decide_a_question_once(page, server):
    page.goto(server.address)
    other = page.context.new_page()
    other.goto(server.address)
    question = shown(page)
    assert shown(other) == question
    press(page, "y", question)
    settled(page, 1)
    press(other, "n", question)
    other.get_by_text("It was decided before: yes").wait_for()
    assert server.standing() == {question: "yes"}


def test_pictures_with_names_are_seen_and_decided(page, tmp_path):
    """Their ids have 63 bits, of which a browser's numbers keep 53."""
    words = make(tmp_path)
    (tmp_path / "images" / "a cat.jpg").write_bytes(jpeg(0, 24))
    post = image_folder.post_id("a cat.jpg")
    assert int(float(post)) != post
    (tmp_path / "audit.json").write_text(json.dumps({"solo": [post], "hat": [post]}))
    with serving(tmp_path, words) as server:
        page.goto(server.address)
        assert shown(page) == (post, 11)
        page.wait_for_function("() => document.querySelector('.large img')?.naturalWidth === 24")
        press(page, "y", (post, 11))
        settled(page, 1)
        page.goto("about:blank")  # the same page would show the question before it follows the link
        page.goto(f"{server.address}#image")
        assert shown(page) == (post, 12)
        page.keyboard.press("n")
        settled(page, 2)
        assert server.standing() == {(post, 11): "yes", (post, 12): "no"}
