"""Four releases that know the same five tags under other names, ids and orders; posts with known truth."""

import numpy as np
from PIL import Image

from helpers import small_releases

TAGS = ("blue_sky", "green_grass", "^_^", "red_(color)", "rei_(eva)")
ALIASES = "antecedent_name,consequent_name,status\nlawn,green_grass,active\n"
LISTS = {
    "plain": small_releases.TAGS,
    "spaces": "50,rei (eva),4,5\n51,red \\(color\\),0,4\n52,nobody_else,0,9\n53,^ ^,0,3\n54,green grass,0,2\n"
    "55,Blue Sky,0,1\n",
    "alias": "1,blue_sky,0,9\n2,lawn,0,8\n3,^_^,0,7\n4,red_(color),0,6\n5,rei_(eva),4,5\n",
    "renamed": "5,rei_(eva),4,5\n4,red_(color),0,6\n3,^_^,0,7\n2,green_grass,0,8\n1,azure_sky,0,9\n",
}
COLUMNS = {  # of TAGS, in each list
    "plain": [4, 5, 6, 7, 8],
    "spaces": [5, 4, 3, 1, 0],
    "alias": [0, 1, 2, 3, 4],
    "renamed": [4, 3, 2, 1, 0],
}


def make(folder, posts=40):
    """Write releases, pictures, labels.csv, aliases.csv; return ``({name: p (N, 5)}, labels, ids)``."""
    random = np.random.default_rng(5)
    ids = 1000 + 3 * np.arange(posts)
    colors = random.integers(0, 256, (posts, 3))  # BGR
    (folder / "pictures").mkdir()
    for post, color in zip(ids, colors, strict=True):
        pixels = np.full((8, 8, 3), color[::-1], np.uint8)
        Image.fromarray(pixels).save(folder / "pictures" / f"{post}.png")
    labels = random.random((posts, 5)) < 0.2 + 0.6 * np.stack([*colors.T / 255, *colors.T[:2] / 255], axis=1)
    lines = [f"{post},{' '.join(np.array(TAGS)[row])}" for post, row in zip(ids, labels, strict=True)]
    (folder / "labels.csv").write_text("image_id,tags\n" + "\n".join(lines) + "\n", encoding="utf-8")
    (folder / "aliases.csv").write_text(ALIASES, encoding="utf-8")
    expected = {}
    for name, tags in LISTS.items():
        weights = np.float32(random.random((tags.count("\n"), 4)) / 4)
        small_releases.make(folder / name, tags=tags, weights=weights.tolist())
        color = np.float32(colors) * np.float32(1 / 255)
        expected[name] = (color @ weights[:, :3].T + weights[:, 3])[:, COLUMNS[name]]
    return expected, labels, ids
