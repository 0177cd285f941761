"""The review page in a real browser: keys, reloads, kills, grids, phones. Skipped without one."""

import contextlib
import json
import pathlib
import socket
import subprocess
import sys

import pytest
from helpers import jpeg, small_releases
from helpers.browser import TIMEOUT, launched, strict_page
from helpers.reviewed import QUESTIONS, make
from helpers.servers import answering

from tools import review_labels
from Utils.images import image_folder
from Utils.labels import decisions, review_service
from Utils.serving import http_server

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def browser():
    with launched("the review page") as opened:
        yield opened


@pytest.fixture
def page(browser):
    with strict_page(browser) as opened:
        yield opened


class Reviewed:
    """What a review decided."""

    folder: pathlib.Path

    def lines(self):
        path = self.folder / "decisions.jsonl"
        return [json.loads(line) for line in path.read_bytes().splitlines()]

    def standing(self):
        standing = decisions.DecisionLog(decisions.read(self.folder / "decisions.jsonl")).standing()
        return {pair: next(iter(by.values())).decision for pair, by in standing.items()}


class Process(Reviewed):
    """tools/review_labels.py as a process that can be killed and started again at the same address."""

    def __init__(self, folder):
        self.folder, self.words = folder, [*make(folder), "--reviewer", "ann"]
        # While the process is away nobody else gets its port: a second socket has it, which does not listen.
        self.reserved = socket.socket()
        self.reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.reserved.bind((http_server.LOOPBACK, 0))

    def start(self):
        port = str(self.reserved.getsockname()[1])
        command = [sys.executable, "tools/review_labels.py", *self.words, "--port", port]
        with (self.folder / "said.txt").open("a") as said:
            self.process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=said, text=True)
        line = self.process.stdout.readline()
        assert line.startswith("http"), (self.folder / "said.txt").read_text()
        self.address = line.split()[0]
        return self

    def kill(self):
        self.process.kill()
        self.process.communicate()

    def end(self):
        self.kill()
        self.reserved.close()


@pytest.fixture
def process(tmp_path):
    started = Process(tmp_path)
    try:
        yield started.start()
    finally:
        started.end()


@pytest.fixture
def server(tmp_path):
    """The same in a thread of this process."""
    with serving(tmp_path, make(tmp_path)) as reviewed:
        yield reviewed


@contextlib.contextmanager
def serving(folder, words):
    reviewed = Reviewed()
    reviewed.folder = folder
    options = review_labels.parser().parse_args(words)
    with (
        review_labels.prepared(options) as app,
        answering(app, review_service.LIMITS) as reviewed.address,
    ):
        yield reviewed


QUESTION = """beside => {
  const at = document.querySelector(".large")?.dataset.question;
  return at && at !== beside;
}"""


def shown(page, beside=None):
    """Wait for a question other than ``beside`` and return it: (post id, tag id)."""
    page.wait_for_function(QUESTION, arg=beside and "{} {}".format(*beside))
    return tuple(map(int, page.get_attribute(".large", "data-question").split()))


def press(page, key, question):
    """Press a key that decides the question shown, and return the next one."""
    page.keyboard.press(key)
    return shown(page, question)


def settled(page, decided):
    """Wait until the page says that so many questions are decided."""
    count = "said => document.getElementById('count').textContent.startsWith(said)"
    page.wait_for_function(count, arg=f"{decided} of ")


def first_tile(page, post):
    """Wait until the first picture of the grid is a post's."""
    page.locator(f".tile:first-child[data-question^='{post} ']").wait_for()


KEYS = {"y": "yes", "n": "no", "u": "unsure", "ArrowRight": "yes", "ArrowLeft": "no", "ArrowDown": "unsure"}


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


def test_a_grid_is_confirmed_and_taken_back_at_once(page, server):
    page.goto(f"{server.address}#grid/12")
    tiles = page.locator(".tile")
    tiles.nth(23).wait_for()
    assert tiles.count() == 24
    page.keyboard.press("ArrowRight")
    page.keyboard.press(" ")  # no
    page.keyboard.press("u")  # unsure, and on
    page.keyboard.press("n")
    tiles.nth(5).click()
    assert [tiles.nth(at).get_attribute("data-choice") for at in range(7)] == [
        "yes", "unsure", "no", "yes", "yes", "no", "yes",
    ]  # fmt: skip
    page.keyboard.press("Enter")
    settled(page, 24)
    first_tile(page, 1055)
    assert [server.standing()[1079 - at, 12] for at in range(7)] == [
        "yes", "unsure", "no", "yes", "yes", "no", "yes",
    ]  # fmt: skip
    page.reload()
    settled(page, 24)
    first_tile(page, 1055)
    page.keyboard.press("z")
    settled(page, 0)
    first_tile(page, 1079)
    assert server.standing() == {}
    assert [tiles.nth(at).get_attribute("data-choice") for at in range(3)] == [
        "yes",
        "unsure",
        "no",
    ]  # as left
    columns = page.evaluate(COLUMNS)
    for key in ("ArrowDown", "ArrowDown", "ArrowUp", "n"):
        page.keyboard.press(key)
    page.locator(f".tile:nth-child({columns + 1})[data-choice=no]").wait_for()
    assert tiles.nth(2 * columns).get_attribute("data-choice") == "yes"
    page.keyboard.press("x")
    page.keyboard.press("Enter")
    settled(page, 24)
    assert set(server.standing().values()) == {"no"}


COLUMNS = """() => [...document.querySelectorAll(".tile")]
  .filter((tile, _, all) => tile.offsetTop === all[0].offsetTop).length"""


def test_in_the_grid_a_tag_that_is_carried_wrongly_is_no(page, tmp_path):
    words = make(tmp_path)
    (tmp_path / "audit_wrong.json").write_text('{"smile": [1005, 1006]}')
    with serving(tmp_path, [str(tmp_path / "audit_wrong.json"), *words]) as server:
        page.goto(f"{server.address}#grid/13")
        page.locator(".tile[data-choice=no]").nth(1).wait_for()
        page.keyboard.press("Enter")
        settled(page, 2)
        assert server.standing() == {(1005, 13): "no", (1006, 13): "no"}


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
        page.goto(f"{server.address}#image")
        assert shown(page) == (post, 12)
        page.keyboard.press("n")
        settled(page, 2)
        assert server.standing() == {(post, 11): "yes", (post, 12): "no"}


def test_by_image_all_its_questions_follow_one_another(page, server):
    page.goto(f"{server.address}#image")
    asked = [shown(page)]
    for key in "ynu":
        asked.append(press(page, key, asked[-1]))
    assert asked == [(1000, 11), (1000, 14), (1001, 11), (1001, 14)]
    page.keyboard.press("z")
    assert shown(page, asked[-1]) == (1001, 11)
    page.keyboard.press("t")
    assert shown(page, (1001, 11)) == (1002, 11)
    page.keyboard.press("T")
    assert shown(page, (1002, 11)) == (1001, 11)
    page.locator(".row").nth(1).click()
    assert press(page, "y", shown(page, (1001, 11))) == (1001, 11)  # what is open stands before it
    settled(page, 3)
    assert server.standing() == {(1000, 11): "yes", (1000, 14): "no", (1001, 14): "yes"}


def test_tags_and_where_to_go_on(page, server):
    page.goto(server.address)
    assert shown(page)[1] == 11
    page.get_by_text("Similar posts with “solo”").wait_for()
    page.keyboard.press("t")
    assert shown(page, (1000, 11)) == (1079, 12)
    page.reload()
    assert shown(page) == (1079, 12)
    page.keyboard.press("T")
    assert shown(page, (1079, 12)) == (1000, 11)
    page.keyboard.press("4")
    page.get_by_placeholder("Find a tag").fill("<B")
    page.wait_for_function("() => document.querySelectorAll('tbody tr').length === 1")
    page.get_by_text("<b>&").click()  # text, not a tag of HTML
    assert shown(page, (1000, 11)) == (1000, 14)
    assert page.locator("h1").inner_text() == "<b>&"
    page.reload()
    assert shown(page) == (1000, 14)
    page.keyboard.press("?")
    page.get_by_text("one by one, grid, by image, tags").wait_for()
    page.keyboard.press("y")  # closed first
    page.keyboard.press("Escape")
    press(page, "y", (1000, 14))
    settled(page, 1)
    page.keyboard.press("4")
    page.locator("tbody td").nth(1).click()  # beside the link
    assert shown(page) == (1000, 11)


def test_on_a_phone_by_touch(browser, server):
    phone = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
    with contextlib.closing(browser.new_context(**phone)) as context:
        context.set_default_timeout(TIMEOUT)
        page = context.new_page()
        for place in ("one", "grid", "image", "tags"):
            page.goto(f"{server.address}#{place}")
            page.reload()
            page.locator("footer button").first.wait_for()
            page.locator("main > *").wait_for()
            assert page.evaluate("document.documentElement.scrollWidth") == 390
            for button in page.locator("footer button").all():
                box = button.bounding_box()
                assert box["height"] >= 44
                assert box["y"] + box["height"] <= 844
        page.goto(f"{server.address}#one/11")
        question = shown(page)
        page.get_by_role("button", name="Yes").tap()
        question = shown(page, question)
        page.evaluate(SWIPE, -200)
        question = shown(page, question)
        page.evaluate(SWIPE, 30)  # too short
        settled(page, 2)
        assert shown(page) == question
    assert server.standing() == {(1000, 11): "yes", (1001, 11): "no"}


def test_a_link_followed_while_something_loads_is_not_lost(browser, server):
    with contextlib.closing(browser.new_page()) as page:
        page.set_default_timeout(TIMEOUT)
        held = []
        page.route("**/api/tags?*", lambda route: held.append(route))  # a builtin has no room for its mark
        page.goto(f"{server.address}#tags")
        while not held:
            page.wait_for_timeout(20)
        page.evaluate("location.hash = 'one/11'")
        page.wait_for_timeout(50)
        held[0].continue_()
        assert shown(page)[1] == 11
        assert page.evaluate("location.hash") == "#one/11"


SWIPE = """far => {
  const figure = document.querySelector(".large");
  const touch = x => new Touch({identifier: 1, target: figure, clientX: x, clientY: 200});
  figure.dispatchEvent(new TouchEvent("touchstart", {touches: [touch(200)], changedTouches: [touch(200)]}));
  figure.dispatchEvent(new TouchEvent("touchend", {touches: [], changedTouches: [touch(200 + far)]}));
}"""
