"""R10: what every client makes of a release, on images of exactly the model's size."""

import numpy as np
from PIL import Image

from Utils import clients
from Utils.clients import spelling, tag_reading
from Utils.release.verification import agreement, folder
from Utils.tags import tag_list

SHOWN = 3  # tags that a message names


def check(release, wanted, layout, images, truth, run, findings):
    """R10: every client names the tags of the Keras model above the same threshold, and spells all apart.

    Args:
        release: folder.
        wanted: the tag list that the release must have.
        layout: "wd" or "full".
        images: (N, S, S, 3) uint8 BGR.
        truth: (N, L) probabilities of the Keras model.
        run: ``{client's name: (N, L) probabilities}`` as the client computes them; "" for all others.
    """
    rows = [row for row in folder.rows(release)[1] if row]  # blank ones are named by R1
    threshold = agreement.gap(truth[:, _told(wanted)])
    seen = []
    for client in clients.CLIENTS:
        if client.needs_wd_layout and layout != "wd":
            findings.warn("R10", f"{client.name} cuts rows by position", "the layout wd", f"layout {layout}")
            continue
        _check_pixels(client, images, findings)
        _check_client(client, rows, wanted, truth, run.get(client.name, run[""]), threshold, findings)
        _check_spelling(client, wanted["name"].tolist(), findings)
        seen.append(client.name)
    findings.note("R10", f"{', '.join(seen)}: {len(images)} images at {threshold:.4f}")


def _told(wanted):
    """Return which rows are tags that clients tell: general and character ones, (L,)."""
    return (
        wanted["category"].isin([tag_list.CATEGORIES["general"], tag_list.CATEGORIES["character"]]).to_numpy()
    )


def _check_pixels(client, images, findings):
    for image in images:
        prepared = client.prepare(Image.fromarray(image[..., ::-1]), len(image))
        if not np.array_equal(prepared, image):
            findings.fail(
                "R10", f"{client.name} changes images of the right size", "the same pixels", "others"
            )


def _check_client(client, rows, wanted, truth, probabilities, threshold, findings):
    for number, (right, given) in enumerate(zip(truth, probabilities, strict=True)):
        expected, rating = _right(wanted, right, threshold)
        try:
            found, rated = client.tag(rows, given.tolist(), threshold, threshold)
        except tag_reading.UnreadableError as error:
            findings.fail("R10", f"{client.name} cannot read the release", "a name for every output", error)
            return
        if found != expected:
            findings.fail("R10", f"{client.name} names other tags of sample {number}", _only(expected, found),
                          _only(found, expected))  # fmt: skip
            return
        if rated is not None and rating is not None and rated != rating:
            findings.fail("R10", f"{client.name} gives another rating to sample {number}", rating, rated)
            return


def _right(wanted, probabilities, threshold):
    """Return the names above a threshold that clients tell, and the most probable rating, or None."""
    ratings = (wanted["category"] == tag_list.CATEGORIES["rating"]).to_numpy()
    names = wanted["name"].to_numpy()
    above = set(names[(probabilities > threshold) & _told(wanted)].tolist())
    rating = names[ratings][np.argmax(probabilities[ratings])] if ratings.any() else None
    return above, rating


def _only(first, second):
    """Say which names one set has and the other lacks."""
    names = sorted(first - second)
    return f"{', '.join(names[:SHOWN])}{' ...' * (len(names) > SHOWN)}" if names else "none that it lacks"


def _check_spelling(client, names, findings):
    """Warn of tags that a client writes alike: what it writes cannot be read back."""
    _, lost = spelling.names_by_spelling(client.spell, names)
    if lost:
        findings.warn("R10", f"{client.name} spells tags alike", "texts that differ", ", ".join(lost[:SHOWN]))
