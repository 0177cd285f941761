"""The tagging page in a real browser, in one sitting. Skipped without one."""

import io
import re
import zipfile

import cv2
import numpy as np
import pytest
from helpers import small_releases
from helpers.browser import launched, strict_page
from helpers.servers import answering

from tools import serve
from Utils.serving import onnx_tagger, tag_selection, tagging_service
from Utils.tags import sidecars

HOSTILE = "<img src=x onerror=document.title='run'>"
TAGS = small_releases.TAGS.replace("red_(color)", HOSTILE)
COLORS = {"b.png": (255, 0, 0), "a.png": (0, 255, 0), "a.jpg": (0, 0, 255), "<b>.png": (200, 200, 90)}
NAMELESS = """() => {
  const asked = "button, input, select, textarea, [role=option], meter";
  const named = at => at.ariaLabel || at.labels?.length || at.textContent.trim();
  const nameless = [...document.querySelectorAll(asked)].filter(at => !named(at) && at.checkVisibility());
  return nameless.map(at => at.outerHTML);
}"""
PASTE_AND_DROP = """() => {
  const holding = name => {
    const transfer = new DataTransfer();
    transfer.items.add(new File(["none"], name, {type: "image/png"}));
    return transfer;
  };
  document.dispatchEvent(new ClipboardEvent("paste", {clipboardData: holding("a.png")}));
  document.dispatchEvent(new DragEvent("drop", {dataTransfer: holding("d.png"), cancelable: true}));
  Promise.reject(new Error("nothing in particular"));
}"""
PLAIN = sidecars.Style()


def encoded(name, color):
    return cv2.imencode(name[-4:], np.full((12, 12, 3), color, np.uint8))[1].tobytes()


@pytest.fixture
def service(tmp_path):
    tagger = onnx_tagger.open_release(small_releases.make(tmp_path / "tiny", tags=TAGS))
    words = [
        "x",
        "--replace",
        "green_grass=lawn",
        "--max-tags",
        "3",
        "--implications",
        str(tmp_path / "pairs.csv"),
    ]
    (tmp_path / "pairs.csv").write_text("lawn,outdoors\nblue_sky,^_^\nblue_sky,outdoors\n")
    selector, _ = tag_selection.selector_from_options(
        serve.parser().parse_args(words), tagger, lambda text: None
    )
    with tagging_service.TaggingService(tagger, selector, tagging_service.ServiceLimits()) as started:
        yield started


STYLED = sidecars.Style(spaces=True, escape=True, rating=True, prefix="my trigger")


def caption(service, name, thresholds=None, style=PLAIN):
    """What tag_images would write."""
    image = service.tagger.prepare(encoded(name, COLORS[name]), None)
    selection = service.selector.select(service.tagger.probabilities(image[None])[0], thresholds)
    return ", ".join(sidecars.caption_words(selection, style))


def saved(page):
    """Return what "Save captions" gives, {name: content}."""
    with page.expect_download() as download:
        page.get_by_role("button", name="Save captions").click()
    with zipfile.ZipFile(io.BytesIO(download.value.path().read_bytes())) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}


def check_captions(page, service):
    """Captions and their names are those of tag_images, with its options, and with a category's slider."""
    names = sidecars.sidecar_names(COLORS, sidecars.KINDS["txt"])
    assert saved(page) == {names[name]: f"{caption(service, name)}\n".encode() for name in COLORS}
    assert names["a.png"] == "a.png.txt"
    page.locator("[name=prefix]").fill("my trigger")
    for option in ("spaces", "escape", "rating", "pictures"):
        page.locator(f"#style [name={option}]").check()
    characters = np.where(service.tagger.tags["category"] == 4, 0.05, service.selector.thresholds)
    page.get_by_label("character").evaluate(
        "slider => { slider.value = 0.05; slider.dispatchEvent(new Event('input')); }"
    )
    page.locator("output").filter(has_text="0.05").wait_for()
    content = saved(page)
    for name in COLORS:
        assert content[names[name]].decode() == f"{caption(service, name, characters, STYLED)}\n"
        assert content[name] == encoded(name, COLORS[name])
    page.get_by_role("button", name="The model's own").click()
    page.locator("#style").evaluate("form => { form.reset(); form.dispatchEvent(new Event('input')); }")


def check_keys(page, service, tiles):
    """The first picture is selected; a tag goes, one comes, both come back; all are edited together."""
    text = page.get_by_label("Caption", exact=True)
    tiles.first.click()
    page.get_by_role("heading", name="b.png").wait_for()
    assert text.input_value() == caption(service, "b.png") == "blue_sky, outdoors, rei_(eva), ^_^"
    page.get_by_role("button", name="blue_sky", exact=True).click()
    page.get_by_alt_text("where blue_sky is in b.png").wait_for()
    page.get_by_role("button", name="Show the picture").click()
    page.get_by_role("button", name="Remove outdoors").click()
    page.keyboard.press("Escape")
    page.keyboard.press("Enter")
    page.keyboard.type("Lawn chair, REI (eva)")
    page.keyboard.press("Enter")
    page.get_by_text("by hand").first.wait_for()
    assert text.input_value() == "blue_sky, rei_(eva), ^_^, Lawn chair"
    text.fill("blue_sky, new, Blue Sky, new")
    text.blur()
    page.get_by_role("button", name="Remove new").wait_for()
    assert text.input_value() == "blue_sky, new"
    page.locator("[name=prefix]").fill("blue_sky")  # which is a tag, too
    text.fill("blue_sky, blue_sky, new, more")
    text.blur()
    page.get_by_role("button", name="Remove more").wait_for()
    page.locator("[name=prefix]").fill("")
    page.get_by_role("heading", name="b.png").click()
    assert text.input_value() == "blue_sky, new, more"
    for _ in range(4):
        page.keyboard.press("Control+z")
    page.get_by_role("button", name="Remove outdoors").wait_for()
    assert text.input_value() == caption(service, "b.png")
    page.keyboard.press("Escape")
    page.keyboard.press("ArrowRight")
    page.get_by_role("heading", name="a.png").wait_for()
    page.keyboard.press("Shift+ArrowRight")
    page.get_by_role("heading", name="2 pictures").wait_for()
    page.keyboard.press("Control+c")
    page.get_by_text("Copied: 2 captions").wait_for()
    copied = page.evaluate("() => navigator.clipboard.readText()")
    assert copied == "\n".join(caption(service, name) for name in ("a.png", "a.jpg"))
    page.get_by_label("Add a tag").fill("two")
    page.keyboard.press("Enter")
    page.get_by_label("Search tags").fill("tw")
    page.get_by_text("2 found").wait_for()
    assert tiles.count() == 2
    page.keyboard.press("Escape")
    page.get_by_label("Search tags").fill("")
    page.keyboard.press("Escape")
    page.keyboard.press("Delete")
    page.get_by_text("2 pictures removed").wait_for()
    tiles.nth(3).wait_for(state="detached")
    page.get_by_role("button", name="Undo").click()
    tiles.nth(4).wait_for()
    page.evaluate(PASTE_AND_DROP)
    page.get_by_role("option", name="a-2.png: ").wait_for()
    page.get_by_role("option", name="d.png: ").wait_for()
    page.get_by_text("That failed: nothing in particular").wait_for()
    page.wrong.remove("nothing in particular")
    page.keyboard.press("Control+a")
    page.get_by_role("heading", name="7 pictures").wait_for()


def check_layout(page, tiles):
    """Names of files and tags are text; everything has a name; a phone shows the tags over the grid."""
    assert page.title() == "Tag pictures"
    assert page.evaluate(NAMELESS) == []
    page.set_viewport_size({"width": 390, "height": 844})
    tiles.nth(2).click()
    assert page.locator("#panel").bounding_box() == {"x": 0, "y": 0, "width": 390, "height": 844}
    page.get_by_role("button", name="Back").click()
    assert not page.get_by_role("button", name="Back").is_visible()
    assert page.evaluate("() => document.documentElement.scrollWidth") == 390


def check_folder(page, folder):
    """Of a folder the pictures are taken, the others counted."""
    folder.mkdir()
    (folder / "e.png").write_bytes(b"none")
    (folder / "e.txt").write_text("a caption")
    page.set_input_files("#folder", folder)
    page.get_by_text("1 other files left out").wait_for()
    page.get_by_role("option", name="more/e.png: ").wait_for()


def check_spelling(page):
    """The spelling and the names of files in the browser are those of the commands."""
    hard = [
        "^_^",
        "3_3",
        "||_||",
        "a_b",
        "saber_(fate)",
        "o_o",
        "re:zero",
        "a\\b_c",
        "\u00e9_\u6f22",
        "_",
    ]
    spelled = """async names => {
      const tags = new (await import("./captions.js")).Tags([], {});
      return names.map(name => tags.spelled({name}, {spaces: 1, escape: 1}));
    }"""
    assert page.evaluate(spelled, hard) == [sidecars.spelled(name, STYLED) for name in hard]
    files = ["1.jpg", "1.png", "B.png", "b.jpg", "x", "x.png", ".hidden", "a.b.png", "d.jpg"]
    paths = """async paths => [...(await import("./captions.js")).captionNames(paths)]"""
    assert dict(page.evaluate(paths, files)) == sidecars.sidecar_names(files, sidecars.KINDS["txt"])


def test_pictures_are_tagged_edited_copied_and_saved(service, tmp_path):
    app = tagging_service.make_app({'a  "b" <i>': service})
    permissions = {"permissions": ["clipboard-read", "clipboard-write"]}
    with (
        answering(app) as address,
        launched("the tagging page") as browser,
        strict_page(browser, **permissions) as page,
    ):
        page.goto(address)
        files = [
            {"name": name, "mimeType": "image/png", "buffer": encoded(name, COLORS[name])} for name in COLORS
        ]
        page.set_input_files(
            "#files", [*files, {"name": "c.png", "mimeType": "image/png", "buffer": b"none"}]
        )
        tiles = page.locator(".tile")
        tiles.filter(has_text="this cannot be used as a picture").wait_for()
        for name in COLORS:
            page.get_by_role("option", name=re.compile(f"^{name}: .* tags")).wait_for()
        check_captions(page, service)
        check_keys(page, service, tiles)
        check_layout(page, tiles)
        check_spelling(page)
        check_folder(page, tmp_path / "more")
