"""What tests of tools/write_records.py share: a booru of odd pictures, the command, what it wrote."""

import csv
import io

import cv2
import numpy as np
import tensorflow as tf
from PIL import Image

from Generators import records
from helpers import jpeg, small_booru
from tools import select_tags, write_records
from Utils.data import dataset_folder


def write(dataset, *words):
    return write_records.main(
        [str(dataset), "--images", str(dataset.parent / "images"), "--workers", "2", *words]
    )


def stored(dataset, split):
    """``[(post id, JPEG bytes, labels)]`` of a split in record order."""
    parsed = [
        records.parse(raw) for raw in tf.data.TFRecordDataset(dataset_folder.load(dataset).shards(split))
    ]
    return [
        (int(p["image_id"]), p["image_bytes"].numpy(), p["label_indexes"].numpy().tolist()) for p in parsed
    ]


def everything(folder):
    """``{relative path: bytes}`` of all files."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def rejections(dataset):
    with (dataset / "rejected.csv").open(newline="") as file:
        return {row["path"]: row["reason"] for row in csv.DictReader(file)}


def odd_booru(folder):
    """A booru of 32 px whose first posts are broken or odd; returns ``(dataset, paths by what they are)``."""
    booru = small_booru(folder, num_posts=40)
    paths = sorted((booru / "images").rglob("*.jpg"), key=lambda path: int(path.stem))
    kinds = ("truncated", "empty", "png", "text", "wide", "large", "gray", "turned", "gone")
    odd = dict(zip(kinds, paths, strict=False))
    odd["truncated"].write_bytes(odd["truncated"].read_bytes()[:-40])
    odd["empty"].write_bytes(b"")
    odd["png"].write_bytes(cv2.imencode(".png", np.zeros((32, 32, 3), np.uint8))[1].tobytes())
    odd["text"].write_text("no image")
    odd["wide"].write_bytes(jpeg(1, (20, 40)))
    odd["large"].write_bytes(jpeg(2, 64))
    odd["gray"].write_bytes(cv2.imencode(".jpg", np.full((32, 32), 90, np.uint8))[1].tobytes())
    exif = Image.Exif()
    exif[0x0112] = 6
    buffer = io.BytesIO()
    Image.open(odd["turned"]).save(buffer, "JPEG", quality=95, exif=exif)
    odd["turned"].write_bytes(buffer.getvalue())
    words = [str(booru / "definition.toml"), "--source", "fire-eggs", "--from", str(booru / "danbooru.db")]
    assert select_tags.main([*words, "--images", str(booru / "images"), "-o", str(booru / "dataset")]) == 0
    odd["gone"].unlink()
    return booru / "dataset", {kind: str(path.relative_to(booru / "images")) for kind, path in odd.items()}
