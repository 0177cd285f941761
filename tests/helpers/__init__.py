"""What several test files need: small boorus, dataset folders, shards."""

import json
import os
import pathlib
import sqlite3
import time

import cv2
import numpy as np
import pandas as pd

from Utils.files import tfrecord

IMAGES = """CREATE TABLE images(image_id INT PRIMARY KEY, created_at TEXT, score INT, rating TEXT,
 parent_id INT, is_pending INT, is_flagged INT, is_deleted INT, is_banned INT, hidden INT DEFAULT 0)"""
DEFINITION = """name = "small"
image_size = {size}
ratings = ["g", "s"]
min_tag_count = 2
min_tag_images = 2
min_tag_share = 0.1
max_tags = 50
min_tags_per_image = 0
"""


def jpeg(seed, size, quality=90):
    """The bytes of a JPEG of flat color with some noise; ``size`` is a side or (height, width)."""
    height, width = (size, size) if isinstance(size, int) else size
    random = np.random.default_rng(seed)
    image = random.integers(0, 20, (height, width, 3)) + random.integers(0, 230, 3)
    return cv2.imencode(".jpg", image.astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


def small_booru(folder, num_posts=60, size=32, num_tags=12, seed=0, ids=None):
    """Make ``folder``/danbooru.db (fire-eggs), /images/0NNN/ID.jpg and /definition.toml; returns the folder.

    Ids spread over all residues modulo 1000. Post i has tag t (id t + 1) with a probability that falls with
    t; tags are general but for two copyright and two character ones. Posts are rated g or s, none is deleted.
    """
    folder = pathlib.Path(folder)
    random = np.random.default_rng(seed)
    ids = 1 + 1619 * np.arange(num_posts) if ids is None else np.asarray(ids)
    has = random.random((len(ids), num_tags)) < 0.9 * 0.85 ** np.arange(num_tags)
    for number in ids.tolist():
        path = folder / "images" / f"{number % 1000:04d}" / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(jpeg(number, size))
    categories = [0] * (num_tags - 4) + [3, 3, 4, 4]
    database = sqlite3.connect(folder / "danbooru.db")
    database.execute(IMAGES)
    database.execute("CREATE TABLE tags(tag_id INT PRIMARY KEY, name TEXT, category INT, count INT)")
    database.execute("CREATE TABLE imageTags(image_id INT, tag_id INT, PRIMARY KEY(image_id, tag_id))")
    rows = [(number, "gs"[place % 2], 0) for place, number in enumerate(ids.tolist())]
    database.executemany("INSERT INTO images(image_id, rating, is_deleted) VALUES (?, ?, ?)", rows)
    tags = [(t + 1, f"tag_{t + 1}", categories[t], int(has[:, t].sum())) for t in range(num_tags)]
    database.executemany("INSERT INTO tags VALUES (?, ?, ?, ?)", tags)
    pairs = [(int(ids[i]), int(t) + 1) for i, t in zip(*np.nonzero(has), strict=True)]
    database.executemany("INSERT INTO imageTags VALUES (?, ?)", pairs)
    database.commit()
    database.close()
    # Few ids fall into the training split alone, and a split without posts is refused.
    splits = "" if {18, 19} <= set(ids % 1000 // 50) else "splits = {train = [0, 999]}\n"
    (folder / "definition.toml").write_text(DEFINITION.format(size=size) + splits)
    return folder


def write_definition(folder, **values):
    """Write ``folder``/definition.toml: by default posts rated g or s with all their tags."""
    values = {
        "name": "small", "image_size": 32, "ratings": ["g", "s"], "min_tag_count": 0, "min_tag_images": 0,
        "min_tag_share": 0.0, "min_tags_per_image": 0,
    } | values  # fmt: skip
    lines = [f"{key} = {json.dumps(value)}" for key, value in values.items() if not isinstance(value, dict)]
    for key, table in values.items():
        if isinstance(table, dict):
            lines += [f"[{key}]", *(f"{name} = {json.dumps(value)}" for name, value in table.items())]
    (folder / "definition.toml").write_text("\n".join(lines))


def small_dataset(folder, records=True, shard_size=16, **booru):
    """Make a booru under ``folder`` and select (and pack) it with the real tools; returns the dataset."""
    from tools import select_tags, write_records

    booru = small_booru(folder, **booru)
    dataset = booru / "dataset"
    words = [str(booru / "definition.toml"), "--source", "fire-eggs", "--from", str(booru / "danbooru.db")]
    assert select_tags.main([*words, "--images", str(booru / "images"), "-o", str(dataset)]) == 0
    if records:
        words = [str(dataset), "--images", str(booru / "images"), "--workers", "1"]
        assert write_records.main([*words, "--shard-size", str(shard_size)]) == 0
    return dataset


def gradient(function, value):
    """The gradient of a scalar ``function`` of one array, on the backend that runs, as numpy."""
    import keras

    if keras.backend.backend() == "jax":
        import jax

        return np.asarray(jax.jit(jax.grad(function))(value))
    if keras.backend.backend() == "torch":
        import torch

        value = torch.tensor(value, requires_grad=True)
        return torch.autograd.grad(function(value), value)[0].numpy()
    import tensorflow as tf

    value = tf.convert_to_tensor(value)
    with tf.GradientTape() as tape:
        tape.watch(value)
        result = function(value)
    return tape.gradient(result, value).numpy()


def dotted_shards(folder, size=32, **splits):
    """Write a dataset as the original project left it: shards and tags, no dataset.json; returns the folder.

    ``splits`` says how many images each has, in two shards. Image 0 has no tag, every other has dots of the
    colors that are its tags.
    """
    from Generators import records
    from Utils.tags import tag_list

    folder, random, number = pathlib.Path(folder), np.random.default_rng(0), 0
    colors = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (0, 0, 0), (255, 255, 0), (0, 255, 255)]
    for split, count in splits.items():
        (folder / split).mkdir(parents=True)
        for shard in range(2):
            examples = []
            for _ in range(count // 2):
                labels = np.flatnonzero(random.random(len(colors)) < 0.4) if number else []
                image = np.full((size, size, 3), 255, np.uint8)
                for label in labels:
                    place = random.integers(size // 8, size - size // 8, 2).tolist()
                    cv2.circle(image, place, size // 8, colors[label], -1)
                examples.append(records.encode(number, cv2.imencode(".jpg", image)[1].tobytes(), labels))
                number += 1
            write_tfrecord(folder / split / f"{split}_{shard}.tfrecord", examples)
    columns = {"tag_id": range(1, 7), "name": ["blue", "green", "red", "black", "cyan", "yellow"]}
    frame = pd.DataFrame({**columns, "category": [0] * 6, "count": [9, 8, 7, 6, 5, 4]})
    tag_list.write(frame, folder / "selected_tags.csv")
    return folder


def write_tfrecord(path, examples):
    """Write serialized examples as one shard."""
    with tfrecord.Writer(path) as writer:
        for example in examples:
            writer.write_record([example])


def only_lives_in(process):
    """Return the number of a process; another process that is asked dies."""
    if os.getpid() != process:
        os._exit(9)
    time.sleep(0.01)
    return process
