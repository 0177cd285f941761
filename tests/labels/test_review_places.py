"""The places of the review page, in a browser: grid, by image, tags; on a phone. Skipped without one."""

import contextlib

from helpers.browser import TIMEOUT
from helpers.review_pages import press, serving, settled, shown
from helpers.reviewed import make


def first_tile(page, post):
    """Wait until the first picture of the grid is a post's."""
    page.locator(f".tile:first-child[data-question^='{post} ']").wait_for()


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
