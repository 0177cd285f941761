"""Where tags are seen: the overlays of a folder of maps (`tag_images --maps`), as cards of a page."""

import html
import pathlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from Utils.command.cli import UserError
from Utils.command.text import join_names
from Utils.data import post_images
from Utils.files.atomic import read_json, require_file
from Utils.report import html_parts

INDEX = "maps.json"
LEGEND = "Brighter: more for the tag. The ring is the highest point."
MOST = 12  # pictures in a report: some 150 kB each
_SHAPE = {
    "model": str, "method": str,
    "pictures": [{"path": str, "width": int, "height": int,
                  "maps": [{"tag": str, "probability": float, "x": int, "y": int, "file": str}]}],
}  # fmt: skip


def cards(pictures: Iterable[Mapping[str, Any]], address: Callable[[str], str | None]) -> str:
    """Return a card for each picture of an `INDEX`; ``address`` gives the source of an overlay."""
    return html_parts.cards(_card(picture, address) for picture in pictures)


def _card(picture: Mapping[str, Any], address: Callable[[str], str | None]) -> str:
    shots = ""
    for row in picture["maps"]:
        caption = html.escape(f"{row['tag']} {row['probability']:.2f}")
        source = html.escape(address(row["file"]) or "")
        image = f'<img alt="{caption}" loading="lazy" src="{source}">'
        shots += f"<figure>{image}<figcaption>{caption}</figcaption></figure>"
    note = f"{picture['width']} x {picture['height']} pixels" + ("" if shots else ", no tag")
    about = f'<h3>{html.escape(picture["path"])}</h3><p class="soft">{note}</p>'
    return f'<div class="card">{about}<div class="shots">{shots}</div></div>'


def section(folder: pathlib.Path) -> str:
    """Return the section of a report about the first `MOST` pictures of a folder of maps.

    Raises UserError where the folder has no `INDEX`, or lacks overlays that it names.
    """
    index = require_file(folder / INDEX, f"{INDEX} of a folder that tag_images --maps OUT wrote was")
    content = read_json(index, _SHAPE)
    pictures = content["pictures"]
    lost = []

    def embedded(name: str) -> str | None:
        path = folder / pathlib.PurePath(name).name
        source = post_images.data_uri(path.read_bytes()) if path.is_file() else None
        if source is None:
            lost.append(name)
        return source

    note = f"{content['model']}, by {content['method']}. {LEGEND}"
    note += f" The first {MOST} of {len(pictures)} pictures." if len(pictures) > MOST else ""
    content = cards(pictures[:MOST], embedded)
    if lost:
        raise UserError(
            f"{folder} lacks overlays that its {INDEX} names, or they are damaged: {join_names(lost, 3)}"
        )
    return html_parts.section("maps", "Where tags are seen", note, content)
