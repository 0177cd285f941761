"""R9: sidecars of pictures with the same stem lose nothing, in both formats, and read back as written."""

import pathlib
import tempfile

from Utils.command.cli import UserError
from Utils.serving import tag_selection
from Utils.tags import sidecars

PICTURES = ("1.png", "1.jpg")


def check(frame, probabilities, threshold, findings):
    """R9: the writers of this project on two pictures of one stem, read back as their formats are described.

    Args:
        frame: the tag list.
        probabilities: (2, L) of two pictures.
        threshold: of all tags but ratings.
    """
    found = {
        name: _chosen(frame, values, threshold) for name, values in zip(PICTURES, probabilities, strict=True)
    }
    for kind, read in (("txt", _words), ("hydrus", _lines)):
        try:
            sidecars.require_separable(frame["name"], sidecars.KINDS[kind])
        except UserError as error:
            findings.warn("R9", f"{kind} cannot hold a tag", "no comma and no line break in a name", error)
            continue
        _check_kind(kind, read, found, findings)
    findings.note("R9", f"txt and hydrus for {' and '.join(PICTURES)}")


def _chosen(frame, probabilities, threshold):
    columns = (frame[name].tolist() for name in ("tag_id", "name", "category"))
    given = [tag_selection.ScoredTag(*row) for row in zip(*columns, probabilities.tolist(), strict=True)]
    rating = tag_selection.RATING
    chosen = [tag for tag in given if tag.category != rating and tag.probability > threshold]
    return tag_selection.Selection(tuple(tag for tag in given if tag.category == rating), tuple(chosen))


def _check_kind(kind, read, found, findings):
    writer = sidecars.KINDS[kind]
    names = sidecars.sidecar_names(PICTURES, writer)
    with tempfile.TemporaryDirectory() as folder:
        for picture, chosen in found.items():
            path = pathlib.Path(folder, names[picture])
            sidecars.write(path, writer.words(chosen, sidecars.Style()), writer)
        if len(list(pathlib.Path(folder).iterdir())) < len(found):
            findings.fail("R9", f"{kind}: sidecars overwrite one another", "one for each picture", names)
            return
        for picture, chosen in found.items():
            text = pathlib.Path(folder, names[picture]).read_text(encoding="utf-8")
            expected, came = {tag.name for tag in chosen.tags}, read(text)
            if expected != came:
                came = ", ".join(sorted(expected ^ came)[:3])
                findings.fail("R9", f"{kind}: tags of {picture} are lost or changed", "what was found", came)


def _words(text):
    """Return the tags of a caption: words with commas between, on one line."""
    return {word for word in text.rstrip("\n").split(", ") if word}


def _lines(text):
    """Return the tags of a Hydrus sidecar without their namespaces; the rating is none of them."""
    found = [_apart(line) for line in text.splitlines()]
    return {name for space, name in found if space != "rating"}


def _apart(line):
    space, colon, name = line.partition(":")
    known = set(sidecars.NAMESPACES.values())
    return (space, name) if colon and space in known else ("", line)
