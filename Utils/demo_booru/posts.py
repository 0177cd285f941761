"""The posts of a drawn booru: ids, the scene of each picture, and the faults that real boorus have.

Everything about post i is a function of the seed, i and the number of posts: workers draw in any order.
"""

import dataclasses
import random
from collections.abc import Iterable
from typing import Any

from Utils.demo_booru import scenes
from Utils.demo_booru.styles import STYLES, Style

FIRST_THOUSAND = 5400  # ids start about April 2022, when Danbooru's ratings became g s q e
DUPLICATES = ("rescaled", "recompressed", "black_padding", "crop")
BROKEN = ("truncated", "png_named_jpg", "empty", "missing")
# (width, height) in units, transparent or not, of the originals that are kept beside their 512 px version.
ORIGINALS = {"wide": ((768, 512), False), "tall": ((512, 768), False), "transparent": ((512, 512), True),
             "transparent_tall": ((512, 704), True)}  # fmt: skip
STATUS = {"deleted": 0.01, "banned": 0.003, "pending": 0.003, "flagged": 0.003, "hidden": 0.003}
SHARE_OF_ORIGINALS, SHARE_OF_DUPLICATES, SHARE_OF_BROKEN, SHARE_OF_UNTAGGED = 0.03, 0.02, 0.004, 0.003
NO_FILE, NEAR_DUPLICATE = 2, 8  # fire-eggs' bit flags; 1 is a user's choice


@dataclasses.dataclass(frozen=True)
class Post:
    """One post: the scene of its picture, the state of its file, and what the booru says about it."""

    index: int
    post_id: int
    scene: Any  # what the picture shows: a Scene, or a View of the scenes style
    rating: str
    truth: tuple[str, ...]  # tag names that are true
    labels: tuple[str, ...]  # those of them that the booru has
    original: str = ""  # a key of ORIGINALS
    scale: float = 1.0  # pixels of the original per unit
    broken: str = ""  # one of BROKEN
    status: str = ""  # a key of STATUS
    hidden: int = 0
    kind: str = ""  # one of DUPLICATES
    source: "Post | None" = None
    parent_id: int | None = None


def seeded_random(*key: object) -> random.Random:
    """Return a ``random.Random`` seeded by the words of ``key``; the same on every machine."""
    return random.Random("/".join(map(str, key)))


def post_ids(count: int, seed: int) -> list[int]:
    """Return ``count`` different rising ids whose residues modulo 1000 are spread as evenly as can be."""
    rng, ids = seeded_random(seed, "ids"), []
    for start in range(0, count, 1000):
        size = min(1000, count - start)
        residues = [int((at + rng.random()) * 1000 / size) for at in range(size)]
        rng.shuffle(residues)
        ids += [(FIRST_THOUSAND + (start + at) // 2) * 1000 + r for at, r in enumerate(residues)]
    return sorted(ids)


def plan_posts(count: int, seed: int, missing: float, style: Style = STYLES["faces"]) -> list[Post]:
    """Return the ``count`` posts of a booru, which lacks each true tag with probability ``missing``."""
    ids, roles = post_ids(count, seed), _roles(count, seed)
    posts: list[Any] = []  # None for a duplicate, until its source is known
    for index in range(count):
        role, what = roles.get(index, ("", ""))
        if role == "duplicate":
            posts.append(None)
            continue
        posts.append(_post(index, ids[index], seed, missing, role, what, style))
    _add_duplicates(posts, ids, roles, seed, missing)
    return posts


def _roles(count: int, seed: int) -> dict[int, tuple[str, str]]:
    """Return {index: (role, kind)} of all posts that are not ordinary; a small booru has one of each."""
    rng = seeded_random(seed, "roles")
    roles = []
    for role, kinds, share in (
        ("original", tuple(ORIGINALS), SHARE_OF_ORIGINALS),
        ("duplicate", DUPLICATES, SHARE_OF_DUPLICATES),
        ("broken", BROKEN, SHARE_OF_BROKEN),
        ("untagged", ("",), SHARE_OF_UNTAGGED),
    ):
        number = max(len(kinds), round(share * count))
        roles += [(role, kinds[at % len(kinds)]) for at in range(number)]
    for status, share in STATUS.items():
        roles += [("status", status)] * max(1, round(share * count))
    order = list(range(count))
    rng.shuffle(order)
    return dict(zip(order[: count // 2], roles[: count // 2], strict=False))


def _post(index: int, post_id: int, seed: int, missing: float, role: str, what: str, style: Style) -> Post:
    rng = seeded_random(seed, index, "scene")
    scene = style.compose(rng)
    while role in ("broken", "untagged") and style.rating(scene) not in "gs":
        scene = style.compose(rng)  # so that its fault, not its rating, excludes it from a dataset
    scale = 1.0
    if role == "original":
        scene = style.reshaped(scene, *ORIGINALS[what])
        scale = rng.choice((1.0, 1.25, 1.5))
    truth = _true_tags(style.tags(scene), scene.size, scale, rng)
    return Post(
        index=index,
        post_id=post_id,
        scene=scene,
        rating=style.rating(scene),
        truth=truth,
        labels=() if role == "untagged" else _drop_some(truth, missing, seeded_random(seed, index, "labels")),
        original=what if role == "original" else "",
        scale=scale,
        broken=what if role == "broken" else "",
        status=what if role == "status" else "",
        hidden=int(what == "hidden") + NO_FILE * (what == "missing" and index % 2),
    )


def _true_tags(
    names: Iterable[str], size: tuple[int, int], scale: float, rng: random.Random
) -> tuple[str, ...]:
    """Return the tags of the content and those about the file (of the category meta), sorted."""
    width, height = size
    about = {"wide_image"} if width > height else {"tall_image"} if height > width else set()
    about |= {"highres"} if max(width, height) * scale >= 1000 else set()
    about |= {"commentary"} if scenes.chance(rng, 0.05) else set()
    return tuple(sorted({*names, *about}))


def _drop_some(truth: tuple[str, ...], missing: float, rng: random.Random) -> tuple[str, ...]:
    return tuple(name for name in truth if rng.random() >= missing)


def _add_duplicates(
    posts: list[Any], ids: list[int], roles: dict[int, tuple[str, str]], seed: int, missing: float
) -> None:
    """Fill in the duplicates: each copies its own source, an ordinary post or a padded original."""
    rng = seeded_random(seed, "sources")
    plain = [p for p in posts if p and p.index not in roles]
    padded = [p for p in posts if p and p.original in ("wide", "tall")]
    rng.shuffle(plain)
    rng.shuffle(padded)
    for index in sorted(at for at, (role, _) in roles.items() if role == "duplicate"):
        kind = roles[index][1]
        if kind == "black_padding" and not padded:
            kind = "crop"
        source = (padded if kind == "black_padding" else plain).pop()
        posts[index] = dataclasses.replace(
            source,
            index=index,
            post_id=ids[index],
            original="",
            labels=_drop_some(source.truth, missing, seeded_random(seed, index, "labels")),
            hidden=NEAR_DUPLICATE if rng.random() < 0.1 else 0,
            kind=kind,
            source=source,
            parent_id=None,
        )
    copies = [post for post in posts if post.source]
    for post in rng.sample(copies, (len(copies) + 1) // 2):
        posts[post.index] = dataclasses.replace(post, parent_id=post.source.post_id)
