"""Training straight from WebDataset tars: each picture with a JSON or a text of its name is a record.

The tars are read once when the dataset is made: their headers, and the small files with the tags. A picture
is read from its place when its turn comes, its header compared first. Order, streams, hosts and resuming are
those of shards (``Generators.host_sharding``). What packing does once is done again and again here: pictures
are decoded at their full size, padded and resized in every pass, and posts are neither selected nor checked.
"""

import collections
import os
import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from Utils.command.cli import UserError, progress
from Utils.data.danbooru_fields import RATING_NAMES, FieldError, parse_rating
from Utils.data.sources import danbooru_post
from Utils.data.sources.sidecar_folders import NAMESPACES, rating_and_tags
from Utils.data.sources.vocabulary import clean
from Utils.files import strict_json, text_files, tfrecord
from Utils.images import codec, image_folder
from Utils.images.places import Place, join, of_archives
from Utils.tags import captions, tag_categories, tag_list

Tags = str | os.PathLike[str] | Sequence[str]  # the path of a selected_tags.csv, or the names of all labels

SUFFIX = ".tar"
SIDECARS = (".json", ".txt")  # in the order of preference
PARALLEL_READS = 2  # pictures read at the same time from each tar


class TarSamples(list[str]):
    """The paths of tars, which knows the samples in them; made by `from_paths`.

    Attributes:
        ids: for every tar the post ids of its samples, int64 (N,).
    """

    def __init__(self, paths: Sequence[str], place: Place, tars: Sequence["list[_Sample]"]) -> None:
        super().__init__(paths)
        self._place = place
        self._samples = dict(zip((path.encode() for path in paths), tars, strict=True))
        self.ids = [np.array([sample[1] for sample in tar], np.int64) for tar in tars]

    def counts(self, keep: Callable[[np.ndarray], Any] | None = None) -> np.ndarray:
        """Return how many samples of every tar ``keep(ids)`` keeps, None for all: int64 (S,)."""
        return np.array([len(ids) if keep is None else int(keep(ids).sum()) for ids in self.ids], np.int64)

    def dataset(self, path: Any, skip: Any = 0, take: Any = -1) -> tf.data.Dataset:
        """Return the samples of a tar (a scalar string tensor) as serialized records."""

        def last(path: bytes, skip: int, take: int) -> np.int64:
            count = len(self._samples[path])
            return np.int64(count if take < 0 else min(count, skip + take))

        def record(row: Any) -> Any:
            data = tf.numpy_function(self._record, [path, row], tf.string, stateful=False)
            return tf.ensure_shape(data, ())

        skip = tf.cast(skip, tf.int64)
        end = tf.ensure_shape(tf.numpy_function(last, [path, skip, take], tf.int64, stateful=False), ())
        rows = tf.data.Dataset.range(skip, tf.maximum(skip, end))
        return rows.map(record, PARALLEL_READS, deterministic=True)

    def _record(self, path: bytes, row: int) -> bytes:
        member, post_id, labels = self._samples[path][row]
        try:
            data = self._place.open(member)
        except codec.ImageError as error:
            raise codec.ImageError(f"record with image_id {post_id}: {error}") from error
        return b"".join(tfrecord.encode_example(post_id, data, labels.tolist()))


_Sample = tuple[str, int, np.ndarray]  # member, post id, label indexes


def from_paths(paths: Sequence[str], tags: Tags | None, num_labels: int) -> Sequence[str]:
    """Return a `TarSamples` where the paths are those of tars, else the paths as they are.

    Args:
        paths: of shards or of tars.
        tags: of the labels, in their order; None where every picture has a JSON with ``label_indexes``.
        num_labels: how many there are.

    Raises UserError where tars come without tags or with shards, and where no picture has a JSON or a text.
    """
    are_tars = [path.lower().endswith(SUFFIX) for path in paths]
    if not any(are_tars):
        if tags is not None:
            raise UserError("tags belong to tars of pictures; records of shards hold label indexes")
        return paths
    if not all(are_tars):
        tar, shard = (paths[are_tars.index(is_tar)] for is_tar in (True, False))
        raise UserError(f"records are shards or tars, not both; got {tar} and {shard}")
    label_of = None if tags is None else _labels(tags, num_labels)
    root, names = _common_folder(paths)
    place = of_archives(root, names)
    tars = _samples(place, names, label_of)
    if not any(tars):
        raise UserError(f"no picture of {len(paths)} tars has a .json or .txt of its name, as in {paths[0]}")
    return TarSamples(paths, place, tars)


def _labels(tags: Tags, num_labels: int) -> dict[str, int]:
    """Return ``{name: label}``; of a list with ratings also ``{"rating:" + name: label}``."""
    if isinstance(tags, (str, os.PathLike)):
        frame = tag_list.read(tags)
        prefixes = np.where(frame["category"] == tag_categories.CODES["rating"], "rating:", "")
        names = [prefix + name for prefix, name in zip(prefixes, frame["name"], strict=True)]
    else:
        names = list(tags)
    if len(names) != num_labels:
        raise UserError(f"tags has {len(names)} names, but num_labels is {num_labels}")
    return {name: row for row, name in enumerate(names)}


def _common_folder(paths: Sequence[str]) -> tuple[str, list[str]]:
    """Return the folder that all paths lie in, and the paths in it."""
    parts = [path.split("/") for path in paths]
    shared = os.path.commonprefix([part[:-1] for part in parts])
    names = ["/".join(part[len(shared) :]) for part in parts]
    return "/".join(shared) or ("/" if paths[0].startswith("/") else "."), names


def _samples(place: Place, names: Sequence[str], label_of: dict[str, int] | None) -> list[list[_Sample]]:
    """Return the samples of every tar in the order in which they lie there."""
    pictures, others = [], set()
    for folder, files, of_pictures in image_folder.walk_pictures(place):
        pictures += [join(folder, name) for name in of_pictures]
        others.update(join(folder, name) for name in files if name.endswith(SIDECARS))
    ids = image_folder.post_ids(pictures, place)
    row_of = {name: row for row, name in enumerate(names)}
    tars: list[list[_Sample]] = [[] for _ in names]
    faults: collections.Counter[str] = collections.Counter()
    for member, post_id in zip(progress(pictures, label="samples", unit="pictures"), ids, strict=True):
        sidecar = next((path for path in _sidecar_paths(member) if path in others), None)
        try:
            labels = _read_labels(place, sidecar, label_of)
        except (FieldError, ValueError, TypeError, RecursionError) as error:
            faults["no .json or .txt" if sidecar is None else f"its {sidecar[-5:]}: {error}"] += 1
            continue
        archive = next(name for name in _archive_names(member) if name in row_of)
        tars[row_of[archive]].append((member, post_id, labels))
    for fault, count in faults.most_common(5):
        print(f"left out: {count} of {len(pictures)} pictures: {fault}", file=sys.stderr)
    return tars


def _archive_names(member: str) -> Iterator[str]:
    """Yield the paths above a member, from the top."""
    parts = member.split("/")
    return ("/".join(parts[:depth]) for depth in range(1, len(parts)))


def _sidecar_paths(member: str) -> list[str]:
    folder, _, name = member.rpartition("/")
    # WebDataset's keys end at the first point of a name, other programs' stems at the last.
    stems = dict.fromkeys([name.partition(".")[0], name.rpartition(".")[0], name])
    return [join(folder, f"{stem}{suffix}") for suffix in SIDECARS for stem in stems]


def _parse_caption(text: str, known: Collection[str]) -> captions.Caption:
    """Return a caption; words of which it does not tell whether they are one tag are one if it is known."""
    caption = captions.parse(text, NAMESPACES)
    is_known = any(captions.tag_name(tag) in known for tag in caption.tags)
    if caption.separator == captions.UNCLEAR and caption.tags and not is_known:
        return captions.parse(text, NAMESPACES, captions.Splitting(splits_unclear=True))
    return caption


def _read_labels(place: Place, sidecar: str | None, label_of: dict[str, int] | None) -> np.ndarray:
    """Return the label indexes of a picture, ascending; FieldError or ValueError where there are none."""
    if sidecar is None:
        raise FieldError("none")
    data = place.open(sidecar)
    if sidecar.endswith(".json"):
        record = strict_json.loads_unique(data)
        if not isinstance(record, dict):
            raise FieldError("no JSON object")
        if isinstance(record.get("label_indexes"), list):
            return np.array(sorted(map(int, record["label_indexes"])), np.int64)
        names = [name for group in danbooru_post.parse_tags(record)[0] for name in group[0]]
        rating = parse_rating(record.get("rating"))
    else:
        rating, of_caption = rating_and_tags(_parse_caption(text_files.decoded(data), label_of or {}))
        names = list(of_caption)
    if label_of is None:
        raise UserError(
            "tars hold the names of tags, so that tags= must say which label each is: the path of a "
            f"selected_tags.csv, or a list of names; {sidecar} has no label_indexes"
        )
    if rating in RATING_NAMES:
        names.append(f"rating:{RATING_NAMES[rating]}")
    rows = {label_of[name] for name in map(clean, names) if name in label_of}
    return np.array(sorted(rows), np.int64)
