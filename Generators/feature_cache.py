"""Features of pictures, computed once and kept on disk, and the batches that a classifier is trained on.

A picture has a row for each view of it: as it is and, if training mirrors pictures, mirrored; one of the
validation split is scored as it is, so that is both of its views. Rows are float16. Few are held in memory;
more are read batch by batch, so that the disk alone bounds their number.
"""

import functools
import pathlib
import shutil
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from Generators.pipeline import eval_dataset, with_options
from Utils.command.cli import UserError, progress
from Utils.data.dataset_folder import Dataset
from Utils.data.repeat_factors import RepeatFactors
from Utils.files.row_cache import RowCache

TRAINING = "train"
MOST_HELD = 2**28  # bytes of a cache that is read once, not batch by batch
MOST_AT_ONCE = 2**23  # bytes of features and labels that are made at a time: a small batch costs as much
_LARGEST = float(np.finfo(np.float16).max)
_SPLIT_BITS = 40  # a key is the split's number above, the record's position below
SPLITS = (TRAINING, "validation")
Compute = Callable[[np.ndarray], np.ndarray]  # (B, S, S, 3) uint8 -> (B, C)


class FeatureCache:
    """Features and labels of the records of both splits; a context manager.

    Args:
        folder: of the cache; features that were made by something else are thrown away.
        num_features: numbers of a view, C.
        num_labels: tags, L.
        made_by: JSON value of everything that the features depend on: weights, records, image size.
        flip: whether training mirrors half of the pictures: there is a second view then.

    Raises UserError where another process uses the folder.
    """

    def __init__(
        self, folder: pathlib.Path, num_features: int, num_labels: int, made_by: Any, flip: bool = True
    ) -> None:
        self.num_features, self.num_labels, self.views = num_features, num_labels, 1 + flip
        packed = -(-num_labels // 8)
        columns = {
            "features": np.dtype((np.float16, (self.views, num_features))),
            "labels": np.dtype((np.uint8, (packed,))),
            "unknown": np.dtype((np.uint8, (packed,))),
        }
        self._row_bytes = sum(np.dtype(dtype).itemsize for dtype in columns.values())
        self._rows = RowCache(folder, columns, made_by)
        self._held: dict[str, np.ndarray] = {}  # columns that have been read

    def __enter__(self) -> "FeatureCache":
        return self

    def __exit__(self, *_: object) -> None:
        self._rows.close()

    def fill(self, split: str, batches: tf.data.Dataset, count: int, compute: Compute) -> None:
        """Compute what is missing of a split, in the order of its records.

        Args:
            split: its name.
            batches: ``eval_dataset`` of it, padded.
            count: its records.
            compute: the body of a model, in inference.

        Raises UserError where the disk has no room for the features.
        """
        first = SPLITS.index(split) << _SPLIT_BITS
        done = int((self._rows.find(first + np.arange(count)) >= 0).sum())
        if done == count:
            return
        self._require_room(count - done)
        spec: Any = batches.element_spec
        batch_size = int(spec[0].shape[0] or 1)
        skipped = done // batch_size  # whole batches are appended, but a process may have died within one
        steps = -(-count // batch_size)
        position = skipped * batch_size
        for images, labels, weights in progress(
            batches.skip(skipped), total=steps - skipped, label=f"features of {split}", unit="batches"
        ):
            is_real, pictures = weights.numpy() > 0, images.numpy()
            views = [compute(pictures)] * self.views
            if split == TRAINING and self.views > 1:
                views[1] = compute(pictures[:, :, ::-1])
            features = np.clip(np.stack(views, axis=1), -_LARGEST, _LARGEST)[is_real]
            truth = labels.numpy()[is_real]
            keys = first + position + np.arange(len(truth))
            missing = self._rows.find(keys) < 0
            self._rows.append(
                keys[missing],
                features=features[missing].astype(np.float16),
                labels=np.packbits(truth[missing] > 0.5, axis=1),
                unknown=np.packbits(truth[missing] < 0, axis=1),
            )
            position += len(truth)
        self._held.clear()

    def _require_room(self, missing: int) -> None:
        needed, free = missing * self._row_bytes, shutil.disk_usage(self._rows.folder).free
        if needed > 0.9 * free:
            raise UserError(
                f"the features of {missing:,} pictures take {needed / 1e9:.1f} GB; {self._rows.folder} is on "
                f"a disk with {free / 1e9:.1f} GB free. Give a --run-dir elsewhere, or fewer pictures"
            )

    def read(
        self, split: str, positions: np.ndarray, views: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return features and labels of some records.

        Args:
            split: its name.
            positions: (B,) of the records.
            views: (B,) which view of each; all by default.

        Returns features (B, C), or (B, views, C) of all views, and labels (B, L), -1 where unknown; float32.
        """
        rows = self._rows.find((SPLITS.index(split) << _SPLIT_BITS) + positions)
        features, *packed = (self._read(name, rows) for name in ("features", "labels", "unknown"))
        labels, unknown = (np.unpackbits(bits, axis=1, count=self.num_labels) for bits in packed)
        if views is not None:
            features = features[np.arange(len(rows)), views]
        return features.astype(np.float32), labels.astype(np.float32) - unknown

    def _read(self, name: str, rows: np.ndarray) -> np.ndarray:
        return self._held[name][rows] if self._held else self._rows.read(name, rows)

    def _hold(self) -> None:
        """Read a small cache into memory: not in the threads that make batches, a file has one position."""
        if not self._held and self._rows.rows * self._row_bytes <= MOST_HELD:
            self._held = {name: self._rows.column(name) for name in ("features", "labels", "unknown")}

    def _at_once(self, batch_size: int) -> int:
        """Return how many batches are made at a time."""
        return max(1, MOST_AT_ONCE // (4 * batch_size * (self.num_features + self.num_labels)))

    def training_batches(
        self,
        count: int,
        batch_size: int,
        steps_per_epoch: int,
        seed: int,
        start_step: int,
        repeats: RepeatFactors | None = None,
    ) -> tf.data.Dataset:
        """Return endless batches from a step on: a function of the seed and the step alone.

        Elements are ``(features (B, C), labels (B, L))``, both float32. Every epoch has an order of its own;
        an epoch of fewer records than a batch repeats some. ``repeats`` says how often each comes in one.
        """
        self._hold()
        number = min(self._at_once(batch_size), steps_per_epoch)

        @functools.lru_cache(2)
        def order(epoch: int) -> np.ndarray:
            records = np.arange(count) if repeats is None else np.repeat(range(count), repeats.of_pass(epoch))
            return np.random.default_rng([seed, epoch]).permutation(records)

        def positions(step: int) -> np.ndarray:
            epoch, place = divmod(step, steps_per_epoch)
            return np.take(order(epoch), place * batch_size + np.arange(batch_size), mode="wrap")

        def views(step: int) -> np.ndarray:
            return np.random.default_rng([seed, step, 1]).integers(self.views, size=batch_size)

        def batches(first: np.int64) -> tuple[np.ndarray, ...]:
            steps = range(int(first), int(first) + number)
            rows = (np.concatenate([*map(function, steps)]) for function in (positions, views))
            return tuple(values.reshape(number, batch_size, -1) for values in self.read(TRAINING, *rows))

        shape = number, batch_size
        firsts = tf.data.Dataset.counter(start_step, number)
        return with_options(self._mapped(firsts, batches, shape, ()).unbatch())

    def validation_batches(self, count: int, batch_size: int) -> tf.data.Dataset:
        """Return one pass over the validation split, pictures as they are: with weights, the last padded.

        The batches are as many times larger as there is room for: nothing that is scored depends on it.
        """
        self._hold()
        size = batch_size * min(self._at_once(batch_size), -(-count // batch_size))

        def batch(step: np.int64) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
            positions = int(step) * size + np.arange(size)
            places = np.minimum(positions, count - 1)
            features, labels = self.read("validation", places, np.zeros(size, np.int64))
            return features, labels, (positions < count).astype(np.float32)

        steps = tf.data.Dataset.range(-(-count // size))
        return with_options(self._mapped(steps, batch, (size,), ((size,),)))

    def _mapped(
        self,
        steps: tf.data.Dataset,
        batch: Callable[..., Any],
        rows: tuple[int, ...],
        more: Iterable[tuple[int, ...]],
    ) -> tf.data.Dataset:
        shapes = [(*rows, self.num_features), (*rows, self.num_labels), *more]

        def element(step: Any) -> tuple[Any, ...]:
            values = tf.numpy_function(batch, [step], [tf.float32] * len(shapes), stateful=False)
            return tuple(tf.ensure_shape(value, shape) for value, shape in zip(values, shapes, strict=True))

        return steps.map(element)


def fill_splits(
    cache: FeatureCache,
    dataset: Dataset,
    counts: Mapping[str, int],
    keep: Mapping[str, Any],
    compute: Compute,
    options: Mapping[str, Any],
) -> None:
    """Compute the features of a dataset's splits.

    Args:
        cache: gets them.
        dataset: the dataset.
        counts: records of each split.
        keep: function of post ids by split, None or absent for all records.
        compute: the body of a model, in inference.
        options: of ``eval_dataset``: labels, image size, batch size, unknown labels.
    """
    for split, count in counts.items():
        batches = eval_dataset(
            dataset.shards(split), num_records=count, keep=keep.get(split), pad_batches=True, **options
        )
        cache.fill(split, batches, count, compute)
