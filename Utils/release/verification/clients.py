"""Rule R10: every client names the Keras model's tags, on images of exactly the model's size."""

import pathlib
from collections.abc import Iterable

import numpy as np
import pandas as pd
from PIL import Image

from Utils import clients
from Utils.clients import spelling, tag_reading
from Utils.release.verification import agreement, folder
from Utils.release.verification.findings import Findings
from Utils.tags import tag_categories

SHOWN_TAGS = 3  # in a message
NAMED = [tag_categories.CODES[name] for name in ("general", "character")]  # other categories no client names


def check(
    release: pathlib.Path,
    tags: pd.DataFrame,
    layout: str,
    images: np.ndarray,
    expected: np.ndarray,
    computed: dict[str, np.ndarray],
    findings: Findings,
) -> None:
    """R10: every client names the tags of the Keras model above the same threshold, and spells all apart.

    Args:
        release: folder.
        tags: the tag list that the release must have, L rows.
        layout: "wd" or "full".
        images: (N, S, S, 3) uint8 BGR.
        expected: (N, L) probabilities of the Keras model.
        computed: ``{client's name: (N, L) probabilities}`` as the client computes them; "" for all others.
        findings: where failures go.
    """
    rows = [row for row in folder.read_rows(release)[1] if row]  # blank ones are named by R1
    threshold = agreement.threshold_in_gap(expected[:, tags["category"].isin(NAMED).to_numpy()])
    checked = []
    for client in clients.CLIENTS:
        if client.needs_wd_layout and layout != "wd":
            findings.warn("R10", f"{client.name} cuts rows by position", "the layout wd", f"layout {layout}")
            continue
        probabilities = computed.get(client.name, computed[""])
        _check_pixels(client, images, findings)
        _check_tags(client, rows, tags, expected, probabilities, threshold, findings)
        _check_spelling(client, tags["name"].tolist(), findings)
        checked.append(client.name)
    findings.note("R10", f"{', '.join(checked)}: {len(images)} images at {threshold:.4f}")


def _check_pixels(client: clients.Client, images: np.ndarray, findings: Findings) -> None:
    for image in images:
        prepared = client.prepare(Image.fromarray(image[..., ::-1]), len(image))
        if not np.array_equal(prepared, image):
            findings.fail(
                "R10", f"{client.name} changes images of the right size", "the same pixels", "others"
            )


def _check_tags(
    client: clients.Client,
    rows: tag_reading.Rows,
    tags: pd.DataFrame,
    expected: np.ndarray,
    probabilities: np.ndarray,
    threshold: float,
    findings: Findings,
) -> None:
    """Compare the tags and ratings that a client names, image by image, up to the first difference."""
    for image, (right, values) in enumerate(zip(expected, probabilities, strict=True)):
        right_names, right_rating = _expected_tags(tags, right, threshold)
        try:
            names, rating = client.tag(rows, values.tolist(), threshold, threshold)
        except tag_reading.UnreadableError as error:
            findings.fail("R10", f"{client.name} cannot read the release", "a name for every output", error)
            return
        if names != right_names:
            findings.fail(
                "R10", f"{client.name} names other tags of sample {image}",
                _only_in(right_names, names), _only_in(names, right_names),
            )  # fmt: skip
            return
        if rating is not None and right_rating is not None and rating != right_rating:
            findings.fail(
                "R10", f"{client.name} gives another rating to sample {image}", right_rating, rating
            )
            return


def _expected_tags(
    tags: pd.DataFrame, probabilities: np.ndarray, threshold: float
) -> tuple[set[str], str | None]:
    """Return the names above a threshold that clients name, and the most probable rating, if any."""
    names, codes = tags["name"].to_numpy(), tags["category"]
    above = set(names[(probabilities > threshold) & codes.isin(NAMED).to_numpy()].tolist())
    ratings = (codes == tag_categories.CODES["rating"]).to_numpy()
    rating = names[ratings][np.argmax(probabilities[ratings])] if ratings.any() else None
    return above, rating


def _only_in(first: set[str], second: set[str]) -> str:
    """Say which names the first set has and the second lacks."""
    names = sorted(first - second)
    more = " ..." if len(names) > SHOWN_TAGS else ""
    return f"{', '.join(names[:SHOWN_TAGS])}{more}" if names else "none that it lacks"


def _check_spelling(client: clients.Client, names: Iterable[str], findings: Findings) -> None:
    """Warn of tags that a client writes alike: its text cannot be read back."""
    _, ambiguous = spelling.names_by_spelling(client.spell, names)
    if ambiguous:
        shown = ", ".join(ambiguous[:SHOWN_TAGS])
        findings.warn("R10", f"{client.name} spells tags alike", "texts that differ", shown)
