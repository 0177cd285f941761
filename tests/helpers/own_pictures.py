"""Small folders of captioned pictures, as people have them, selected without a command."""

import pathlib

from helpers import jpeg
from Utils.data import dataset_selection, sources
from Utils.data.dataset_selection import Pictures
from Utils.images import image_reader

# Fields of a definition that leaves nothing out but pictures without a tag.
RULES = {"ratings": ("g", "s", "q", "e"), "min_tag_count": 0, "min_tag_images": 1, "min_tag_share": 0.0,
         "min_tags_per_image": 1}  # fmt: skip


def write_pictures(folder, captions, contents=None, size=16):
    """Write p000.jpg and p000.txt and so on; ``contents`` are numbers, equal for copies, or bytes."""
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for number, caption in enumerate(captions):
        content = number if contents is None else contents[number]
        data = content if isinstance(content, bytes) else jpeg(content, size)
        (folder / f"p{number:03d}.jpg").write_bytes(data)
        (folder / f"p{number:03d}.txt").write_text(caption, encoding="utf-8")
    return folder


def source_of(folder, captions, contents=None):
    """Write pictures; return them as a source of posts and their `Pictures`."""
    write_pictures(folder, captions, contents)
    source = sources.read_sidecars(folder)
    return source, Pictures(None, lambda path: image_reader.read_bytes(folder / path))


def select(source, pictures, definition, **more):
    """Return the `Selection` of a source without rules for tags."""
    return dataset_selection.select(definition, source, [], source.tags[:0].assign(rule=""), pictures, **more)
