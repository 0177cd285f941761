"""Where in a picture its tags are: overlays on the picture, and a list of the maps' peaks.

A network that Keras runs is looked into (`Models.localization`). Any tagger can be asked by occlusion: how
much less likely a tag is where a part of the picture is hidden (arXiv:1311.2901, section 4.2).
"""

import dataclasses
import math
import pathlib
import re
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import cv2
import numpy as np

from Utils.command.cli import UserError
from Utils.command.text import printable
from Utils.evaluation.logits import logit
from Utils.files.atomic import write_json
from Utils.files.output_folders import FolderKind
from Utils.images import codec
from Utils.report import html_parts, map_cards
from Utils.serving.onnx_tagger import ServingTagger
from Utils.serving.tag_selection import ScoredTag
from Utils.taggers import geometry
from Utils.taggers.geometry import Placement

METHODS = ("auto", "activation", "attention", "gradient", "occlusion")
FOLDER = FolderKind("a folder of maps", (map_cards.INDEX,), ("*.png", "maps.html"), inventory=map_cards.INDEX)
MOST_PICTURES, MOST_TAGS = 1000, 8  # of a folder, of a picture
SIDE = 320  # of an overlay, the longer, in pixels
GRID = 8  # parts of the side that are hidden one after another
# (picture (S, S, 3) as the tagger prepares it, columns of tags (T,)) -> (T, h, w), larger: more likely
Mapper = Callable[[np.ndarray, Sequence[int]], np.ndarray]


def open_mapper(
    tagger: ServingTagger,
    method: str,
    keras_mapper: Callable[[Any, str], tuple[Mapper, str] | None],
    batch_size: int = 8,
) -> tuple[Mapper, str]:
    """Return the function that makes maps for a tagger by one of `METHODS`, and which one "auto" is.

    ``keras_mapper`` is `Models.localization.mapper`, or a function that imports it when called. Raises
    UserError for a method that the tagger does not allow.
    """
    if method != "occlusion" and tagger.keras_model is not None:
        inner = keras_mapper(tagger.keras_model, method)
        if inner is not None:
            return inner
    if method not in ("auto", "occlusion"):
        raise UserError(
            f"{tagger.name} is an ONNX release, whose inside cannot be looked at: maps of it are made by "
            f"occlusion; got {method}. A run, a .keras file or a timm folder allows more"
        )
    return occlusion(tagger, batch_size=batch_size), "occlusion"


def occlusion(
    tagger: ServingTagger, grid: int = GRID, batch_size: int = 8, deadline: float = math.inf
) -> Mapper:
    """Return maps (T, grid, grid) of how far the log-odds fall where two by two parts of a grid are hidden.

    The picture's mean color hides them. A map costs ``grid ** 2 + 1`` predictions, for all tags together; it
    raises TimeoutError where some are left at ``deadline``, a moment of ``time.monotonic``.
    """
    size = tagger.image_size
    middles = (np.arange(grid) + 0.5) * size / grid
    ranges = [(max(0, round(at - size / grid)), min(size, max(1, round(at + size / grid)))) for at in middles]

    def maps(picture: np.ndarray, columns: Sequence[int]) -> np.ndarray:
        color = picture.mean(axis=(0, 1)).astype(picture.dtype)
        places, log_odds = [(row, column) for row in ranges for column in ranges], []
        for start in range(0, len(places), batch_size):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{start} of {len(places)} predictions were done")
            chunk = places[start : start + batch_size]
            batch = np.repeat(picture[None], len(chunk), axis=0)
            for hidden, ((top, low), (left, right)) in zip(batch, chunk, strict=True):
                hidden[top:low, left:right] = color
            log_odds.append(logit(tagger.probabilities(batch)[:, columns]))
        whole = logit(tagger.probabilities(picture[None])[:, columns])
        return (whole - np.concatenate(log_odds)).T.reshape(-1, grid, grid).astype(np.float32)

    return maps


# Peaks


@dataclasses.dataclass(frozen=True)
class View:
    """A picture's size in pixels, and where the square of ``size`` pixels that the tagger sees lies in it."""

    width: int
    height: int
    size: int
    placement: Placement

    @classmethod
    def of(cls, tagger: ServingTagger, picture: np.ndarray) -> "View":
        """Return the view that a tagger has of a picture (H, W, 3)."""
        height, width = picture.shape[:2]
        fit = codec.fit if tagger.preparation is None else tagger.preparation.fit
        place = geometry.placement(fit, width, height, tagger.image_size)
        return cls(width, height, tagger.image_size, place)

    def cell(self, shape: tuple[int, ...]) -> tuple[float, float]:
        """Return width and height of what one value of a map (h, w) stands for, in pixels of the picture."""
        rows, columns = shape
        return self.placement.scale_x * self.size / columns, self.placement.scale_y * self.size / rows

    def middles(self, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
        """Return x (w,) and y (h,) of the middles of a map's cells, in pixels of the picture."""
        y, x = ((np.arange(cells) + 0.5) * self.size / cells for cells in shape)  # of the square
        return self.placement.to_picture(x, y)

    def peak(self, values: np.ndarray) -> tuple[int, int]:
        """Return the pixel (x, y) of the picture at which a map (h, w) is highest; the padding has none."""
        x, y = self.middles(values.shape)
        inside = ((y >= 0) & (y < self.height))[:, None] & ((x >= 0) & (x < self.width))
        # A picture thinner than a cell may have no cell's middle in it.
        row, column = np.unravel_index(
            np.argmax(np.where(inside, values, -np.inf) if inside.any() else values), values.shape
        )
        return (
            int(np.clip(x[column], 0, self.width - 1)),
            int(np.clip(y[row], 0, self.height - 1)),
        )


# Overlays


def overlay(picture: np.ndarray, values: np.ndarray, view: View) -> bytes:
    """Return a PNG of a picture (H, W, 3) BGR with a map (h, w) over it, its longer side `SIDE` at most."""
    height, width = picture.shape[:2]
    share = min(1.0, SIDE / max(height, width))
    small = (max(1, round(width * share)), max(1, round(height * share)))
    picture = cv2.resize(picture, small, interpolation=cv2.INTER_AREA)
    heat = _heat(values, view, small)[..., None]
    # The brightest color at the peak, nothing where the map is lowest.
    colors = cv2.applyColorMap(np.round(255 * heat).astype(np.uint8), cv2.COLORMAP_INFERNO)
    mixed = np.round(picture * (1 - 0.7 * heat) + colors * (0.7 * heat)).astype(np.uint8)
    x, y = view.peak(values)
    at = (int(x * small[0] / width), int(y * small[1] / height))
    for radius, color in ((7, (0, 0, 0)), (6, (255, 255, 255))):
        cv2.circle(mixed, at, radius, color, 1, cv2.LINE_AA)
    return cv2.imencode(".png", mixed)[1].tobytes()


def _heat(values: np.ndarray, view: View, small: tuple[int, int]) -> np.ndarray:
    """Return a map (h, w) at every pixel of a small picture, from 0, the lowest there, to 1, the highest."""
    (left, *_), (top, *_) = view.middles(values.shape)
    cell_width, cell_height = view.cell(values.shape)
    x = (np.arange(small[0]) + 0.5) * view.width / small[0]
    y = (np.arange(small[1]) + 0.5) * view.height / small[1]
    columns = np.tile(((x - left) / cell_width).astype(np.float32), (small[1], 1))
    rows = np.tile(((y - top) / cell_height).astype(np.float32)[:, None], (1, small[0]))
    heat = cv2.remap(
        values.astype(np.float32), columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return (heat - heat.min()) / max(float(np.ptp(heat)), 1e-12)


# The folder


class Writer:
    """Writes the overlays of pictures to a folder, and maps.json with the peaks at the end."""

    def __init__(self, folder: pathlib.Path, tagger: ServingTagger, mapper: Mapper, method: str) -> None:
        self.folder, self.tagger, self.mapper, self.method = folder, tagger, mapper, method
        keys = zip(tagger.tags["name"], tagger.tags["category"].tolist(), strict=True)
        self.rows = {key: row for row, key in enumerate(keys)}  # one name may be two tags
        self.pictures: list[dict[str, Any]] = []

    def add(self, path: str, data: bytes, prepared: np.ndarray, tags: Iterable[ScoredTag]) -> None:
        """Write the maps of the first `MOST_TAGS` tags; ImageError where ``data`` cannot be decoded."""
        tags, picture = list(tags)[:MOST_TAGS], codec.decode(data)
        view = View.of(self.tagger, picture)
        maps = self.mapper(prepared, [self.rows[tag.name, tag.category] for tag in tags]) if tags else []
        record = {"path": printable(path), "width": view.width, "height": view.height, "maps": []}
        for place, (tag, values) in enumerate(zip(tags, maps, strict=True)):
            name = f"{len(self.pictures):04d}_{place}_{_file_name(tag.name)}.png"
            (self.folder / name).write_bytes(overlay(picture, values, view))
            x, y = view.peak(values)
            cell = [round(side, 1) for side in view.cell(values.shape)]
            facts = {"tag": tag.name, "probability": round(tag.probability, 6), "x": x, "y": y}
            record["maps"].append({**facts, "cell": cell, "file": name})
        self.pictures.append(record)

    def finish(self) -> None:
        """Write maps.json, and maps.html, which shows the overlays."""
        (self.folder / "maps.html").write_text(self._page(), encoding="utf-8")
        content = {"model": self.tagger.name, "method": self.method, "pictures": self.pictures}
        write_json(self.folder / map_cards.INDEX, content)

    def _page(self) -> str:
        cards = map_cards.cards(self.pictures, lambda name: name)
        title = f"Where {self.tagger.name} sees tags, by {self.method}"
        return html_parts.page(_PAGE, title, {"legend": map_cards.LEGEND, "cards": cards})


_PAGE = """{{opening}}
.shots img { object-fit: contain; }
</style>
</head>
<body>
<main>
<h1>{{title}}</h1>
<p class="soft">{{legend}} maps.json has it in pixels.</p>
{{cards}}
</main>
</body>
</html>
"""


def _file_name(tag: str) -> str:
    """Return a tag as part of a file name on any system; the number before it keeps names apart."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", tag)[:40]


def require_apart(output: pathlib.Path, sources: Iterable[str]) -> None:
    """Raise UserError for a folder of maps in a folder of pictures: its overlays would be pictures there."""
    for source in map(pathlib.Path, sources):
        if source.is_dir() and output.resolve().is_relative_to(source.resolve()):
            raise UserError(
                f"{output} lies in {source}, where the maps would be taken for pictures the next time; "
                "give a folder outside of it"
            )


def require_few(count: int) -> None:
    """Raise UserError for more pictures than a folder of maps has."""
    if count > MOST_PICTURES:
        raise UserError(
            f"maps are for looking at, of {MOST_PICTURES:,} pictures at most; got {count:,}: name fewer"
        )
