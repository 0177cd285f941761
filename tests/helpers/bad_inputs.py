"""What the tests of broken, odd and hostile inputs share."""

import csv

from helpers import jpeg, write_definition

SIZE = 32
GOOD = jpeg(1, SIZE)


def reasons_in(path):
    with path.open(newline="") as file:
        return {row["path"]: row["reason"] for row in csv.DictReader(file)}


def define(folder, **values):
    write_definition(folder, **{"name": "bad", "image_size": SIZE, "splits": {"train": [0, 999]}, **values})
