"""Rule R9: sidecars of images with the same stem lose nothing, in both formats, and read back as written."""

import pathlib
import tempfile
from collections.abc import Callable

import numpy as np
import pandas as pd

from Utils.command.cli import UserError
from Utils.release.verification.findings import Findings
from Utils.serving.tag_selection import RATING, ScoredTag, Selection
from Utils.tags import sidecars

IMAGES = ("1.png", "1.jpg")


def check(tags: pd.DataFrame, probabilities: np.ndarray, threshold: float, findings: Findings) -> None:
    """R9: what this project writes for two images of one stem, read back as the formats are described.

    Args:
        tags: the tag list, L rows.
        probabilities: (2, L) of two images.
        threshold: of all tags except ratings.
        findings: where failures go.
    """
    selections = {
        name: _selection(tags, row, threshold) for name, row in zip(IMAGES, probabilities, strict=True)
    }
    for kind, read in (("txt", _read_caption), ("hydrus", _read_hydrus)):
        try:
            sidecars.require_separable(tags["name"], sidecars.KINDS[kind])
        except UserError as error:
            findings.warn("R9", f"{kind} cannot hold a tag", "no comma and no line break in a name", error)
            continue
        _check_kind(kind, read, selections, findings)
    findings.note("R9", f"txt and hydrus for {' and '.join(IMAGES)}")


def _selection(tags: pd.DataFrame, probabilities: np.ndarray, threshold: float) -> Selection:
    columns = (tags[name].tolist() for name in ("tag_id", "name", "category"))
    scored = [ScoredTag(*row) for row in zip(*columns, probabilities.tolist(), strict=True)]
    selected = [tag for tag in scored if tag.category != RATING and tag.probability > threshold]
    return Selection(tuple(tag for tag in scored if tag.category == RATING), tuple(selected))


def _check_kind(
    kind: str, read: Callable[[str], set[str]], selections: dict[str, Selection], findings: Findings
) -> None:
    writer = sidecars.KINDS[kind]
    names = sidecars.sidecar_names(IMAGES, writer)
    with tempfile.TemporaryDirectory() as folder:
        for image, selection in selections.items():
            path = pathlib.Path(folder, names[image])
            sidecars.write(path, writer.words(selection, sidecars.Style()), writer)
        if len(list(pathlib.Path(folder).iterdir())) < len(selections):
            findings.fail("R9", f"{kind}: sidecars overwrite one another", "one for each picture", names)
            return
        for image, selection in selections.items():
            text = pathlib.Path(folder, names[image]).read_text(encoding="utf-8")
            expected, came = {tag.name for tag in selection.tags}, read(text)
            if expected != came:
                difference = ", ".join(sorted(expected ^ came)[:3])
                findings.fail(
                    "R9", f"{kind}: tags of {image} are lost or changed", "what was found", difference
                )


def _read_caption(text: str) -> set[str]:
    """Return the tags of a caption: words with commas between, on one line."""
    return {word for word in text.rstrip("\n").split(", ") if word}


def _read_hydrus(text: str) -> set[str]:
    """Return the tags of a Hydrus sidecar without their namespaces and without the rating."""
    pairs = [_split_namespace(line) for line in text.splitlines()]
    return {name for namespace, name in pairs if namespace != "rating"}


def _split_namespace(line: str) -> tuple[str, str]:
    namespace, colon, name = line.partition(":")
    is_known = colon and namespace in sidecars.NAMESPACES.values()
    return (namespace, name) if is_known else ("", line)  # a name may hold a colon itself
