"""Predictions of taggers for the same pictures, kept as dumps: made once, continued when interrupted.

While a tagger works, its probabilities are appended to one file, a row of float32 for each picture in order,
NaN for pictures that cannot be read; the size of the file says where to go on.
"""

import dataclasses
import hashlib
import json
import os
import pathlib
import shutil
import time
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from Utils.command import machine
from Utils.command.cli import UserError, progress
from Utils.comparison.judged_posts import JudgedPosts
from Utils.evaluation import predictions
from Utils.files import shapes
from Utils.files.atomic import naming, read_json, short_name
from Utils.images import image_reader
from Utils.images.places import Place
from Utils.serving.onnx_tagger import ServingTagger
from Utils.taggers import onnx_outputs
from Utils.tags import tag_list

# Files of a tagger that decide its probabilities; checkpoints and histories of a run do not.
_DECISIVE = (".onnx", ".data", ".onnx_data", ".safetensors", ".keras", ".h5", ".json")
_SPEED = {"images": int, "seconds": float, "model_seconds": float, "peak_megabytes": (float, None)}
_CHUNK = 1 << 24  # bytes hashed at a time


@dataclasses.dataclass(frozen=True)
class Speed:
    """How fast pictures were tagged, and with how much memory; None where it was not measured."""

    images: int  # that were timed
    seconds: float  # from the first picture read to the last probability
    model_seconds: float  # of these the model's
    peak_megabytes: float | None  # by how much the process grew, model and pictures

    @property
    def images_per_second(self) -> float | None:
        """Pictures read, prepared and tagged in a second."""
        return self.images / self.seconds if self.images and self.seconds else None

    @property
    def model_images_per_second(self) -> float | None:
        """Prepared pictures that the model alone tags in a second, while others are being read."""
        return self.images / self.model_seconds if self.images and self.model_seconds else None


def key_of(tagger: ServingTagger, pictures: str) -> str:
    """Return the key of a tagger's predictions: a hash of its files, its tags and the pictures' digest.

    Which of the files the model is counts, too: a folder may hold several with the same tags.
    """
    facts = (pictures, tag_list.digest(tagger.tags), tagger.image_size, tagger.file)
    digest = hashlib.sha256("".join(f"{fact}\n" for fact in facts).encode("utf-8", "surrogateescape"))
    names = {path.name for path in tagger.folder.glob("*") if path.name.endswith(_DECISIVE)}
    if tagger.file.endswith(".onnx"):
        names |= set(onnx_outputs.external_files(tagger.folder / tagger.file))
    for name in sorted(names):
        if (path := tagger.folder / name).is_file():
            digest.update(f"{name}\n{_file_digest(path)}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _file_digest(path: pathlib.Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


class PredictionStore:
    """The dumps of a comparison, by their key, in a folder beside the output until that is complete.

    Args:
        output: of the comparison. Dumps of an earlier one there are used again, without a copy.
    """

    def __init__(self, output: pathlib.Path) -> None:
        output = output.resolve()
        self.folder = output.with_name(f".{short_name(output.name)}.predictions")
        self._earlier = output / "predictions"

    def find(self, key: str) -> predictions.Dump | None:
        """Return the dump of a key, None where there is none."""
        folder = self.folder / key
        if not folder.is_dir():
            for earlier in sorted(self._earlier.glob("*")):
                if _key_in(earlier) == key:
                    return predictions.load(earlier)
            return None
        return predictions.load(folder)

    def make(
        self,
        key: str,
        tagger: ServingTagger,
        place: Place,
        posts: JudgedPosts,
        batch_size: int,
        memory: machine.MemoryGrowth,
    ) -> predictions.Dump:
        """Return the dump of a tagger's predictions for all posts, made or continued.

        Args:
            key: of `key_of`.
            tagger: the model.
            place: of the pictures.
            posts: whose pictures are tagged.
            batch_size: pictures at a time.
            memory: begun before the tagger was loaded.

        Raises UserError where no picture can be read, WorkError where the model fails.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        part = self.folder / f"{key}.f32"
        speed = _append(part, tagger, place, posts, batch_size, memory)
        matrix = np.memmap(part, np.float32, "r", shape=(len(posts), len(tagger.tags)))
        readable = np.flatnonzero(~np.isnan(matrix[:, 0]))
        if not len(readable):
            raise UserError(f"none of the {len(posts)} pictures in {place} can be read")
        facts = {"run_name": tagger.name, "key": key, "image_size": tagger.image_size}
        info = facts | {"speed": dataclasses.asdict(speed)}
        with predictions.writing(self.folder / key, tagger.tags, labels=False, info=info) as writer:
            for rows in np.array_split(readable, max(1, len(readable) // 4096)):
                writer.add(matrix[rows], posts.ids[rows])
        del matrix  # Windows removes no mapped file
        part.unlink()
        return predictions.load(self.folder / key)

    def place_into(self, folder: pathlib.Path, dumps: Iterable[tuple[str, predictions.Dump]]) -> None:
        """Link or copy ``(name, dump)`` into ``folder/predictions``."""
        for name, dump in dumps:
            shutil.copytree(dump.folder, folder / "predictions" / name, copy_function=_link_or_copy)

    def remove(self) -> None:
        """Remove what was kept beside the output."""
        shutil.rmtree(self.folder, ignore_errors=True)


def speed_of(dump: predictions.Dump) -> Speed | None:
    """Return what was measured when a dump was made; None for a dump from elsewhere."""
    facts = dump.info.get("speed", {})
    try:
        shapes.require(dump.folder, facts, _SPEED)
    except UserError:
        return None
    return Speed(**{name: value for name, value in facts.items() if name in _SPEED})


def _key_in(folder: pathlib.Path) -> str | None:
    try:
        content = read_json(folder / predictions.INFO)
    except (UserError, OSError, json.JSONDecodeError):
        return None
    return content.get("key") if isinstance(content, dict) else None


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without links
        shutil.copy2(source, target)


def _append(
    part: pathlib.Path,
    tagger: ServingTagger,
    place: Place,
    posts: JudgedPosts,
    batch_size: int,
    memory: machine.MemoryGrowth,
) -> Speed:
    """Append the rows that a file of probabilities lacks."""
    row_bytes = 4 * len(tagger.tags)
    done = part.stat().st_size // row_bytes if part.is_file() else 0
    missing = range(done, len(posts))
    model_seconds, started = 0.0, time.perf_counter()
    with naming(part, part), part.open("ab") as file:
        file.truncate(done * row_bytes)
        batches = _batches(tagger, place, posts, missing, batch_size)
        num_batches = -(-len(missing) // batch_size)
        for rows, readable, images in progress(batches, total=num_batches, label=tagger.name, unit="batches"):
            values = np.full((len(rows), len(tagger.tags)), np.nan, np.float32)
            if len(readable):
                began = time.perf_counter()
                values[np.asarray(readable) - rows[0]] = tagger.probabilities(images)
                model_seconds += time.perf_counter() - began
            file.write(values.tobytes())
            file.flush()
    seconds = time.perf_counter() - started
    return Speed(len(missing), seconds, model_seconds, memory.peak_megabytes())


def _batches(
    tagger: ServingTagger, place: Place, posts: JudgedPosts, rows: Sequence[int], batch_size: int
) -> Iterator[tuple[Sequence[int], list[int], np.ndarray]]:
    """Yield ``(rows, those that can be read, their pictures)``, batch by batch."""
    batches = image_reader.read_batches(
        rows,
        tagger.image_size,
        batch_size,
        path_of=lambda row: posts.paths[row],
        read_item=lambda row: place.open(posts.paths[row]),
        prepare=tagger.prepare,
        readers=machine.num_cores(),
    )
    for start, (readable, images, _) in zip(range(0, len(rows), batch_size), batches, strict=True):
        yield rows[start : start + batch_size], readable, images
