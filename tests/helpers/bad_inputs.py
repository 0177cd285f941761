"""What the tests of broken, odd and hostile inputs share."""

import csv
import json

from helpers import jpeg

SIZE = 32
GOOD = jpeg(1, SIZE)


def reasons_in(path):
    with path.open(newline="") as file:
        return {row["path"]: row["reason"] for row in csv.DictReader(file)}


def define(folder, **values):
    values = {
        "name": "bad", "image_size": SIZE, "ratings": ["g", "s"], "min_tag_count": 0, "min_tag_images": 0,
        "min_tag_share": 0, "min_tags_per_image": 0, "splits": {"train": [0, 999]},
    } | values  # fmt: skip
    lines = [f"{key} = {json.dumps(value)}" for key, value in values.items() if not isinstance(value, dict)]
    for key, table in values.items():
        if isinstance(table, dict):
            lines += [f"[{key}]", *(f"{name} = {json.dumps(value)}" for name, value in table.items())]
    (folder / "definition.toml").write_text("\n".join(lines))
