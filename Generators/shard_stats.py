"""Counts over the shards of a split: label frequencies, post ids, records.

``Utils.data.dataset_folder`` knows these of datasets made here; others have nothing but their shards.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from Generators.records import parse_batch, read_shards, record_ids
from Utils.command.cli import UserError
from Utils.data import repeat_factors as rule
from Utils.data.dataset_folder import Dataset, LabelBlock
from Utils.data.repeat_factors import RepeatFactors
from Utils.data.unknown_labels import UnknownLabels

LABELS_TO_PACK = 4096  # from which --packed-labels auto packs: 16 kB an image


def label_frequencies(
    dataset: Dataset,
    split: str,
    keep: Callable[[np.ndarray], Any] | None = None,
    unknown: UnknownLabels | None = None,
    repeats: RepeatFactors | None = None,
    max_records: int = 50_000,
    smoothing: float = 0.5,
) -> np.ndarray:
    """Return the share of a split's records that has each label, float64 (num_labels,), 0 to 1.

    To the records of a label half a one is added that has it and half a one that has not (the Jeffreys prior
    of a share): the logit of a share of 0 or 1, with which a new classifier begins, would be infinite.

    Args:
        dataset: one without posts.parquet is counted over its first ``max_records`` records.
        split: train, validation or test.
        keep: ``keep(ids)`` of the records that count, None for all.
        unknown: labels of posts that count for neither.
        repeats: how often each record counts; None: once.
        max_records: see ``dataset``; -1: all.
        smoothing: the part of a record that is added on either side, from 0.
    """
    positives, knowns = np.zeros((2, dataset.num_labels))
    for ids, lengths, labels in label_blocks(dataset, split, keep, max_records):
        weights = np.ones(len(ids)) if repeats is None else repeats.of(ids).astype(np.float64)
        of_labels = np.repeat(weights, lengths)
        positives += np.bincount(labels, of_labels, dataset.num_labels)[: dataset.num_labels]
        knowns += weights.sum()
        if unknown is not None:
            is_unknown = _are_unknown(ids, lengths, labels, unknown)
            positives -= np.bincount(labels[is_unknown], of_labels[is_unknown], dataset.num_labels)
            knowns -= _unknown_weights(ids, weights, unknown)
    return (positives + smoothing) / np.maximum(knowns + 2 * smoothing, 1.0)


def repeat_factors(
    dataset: Dataset,
    split: str,
    threshold: float | None,
    seed: int,
    keep: Callable[[np.ndarray], Any] | None = None,
    unknown: UnknownLabels | None = None,
) -> RepeatFactors:
    """Return how often each record of a split comes in a pass of training.

    Reads the labels of all posts twice; those of a dataset without posts.parquet are in its records.

    Args:
        dataset: the dataset.
        split: train, validation or test.
        threshold: the share of the records below which a tag is repeated; None takes
            ``Utils.data.repeat_factors.default_threshold``.
        seed: of the draws.
        keep: ``keep(ids)`` of the records that are trained on, None for all.
        unknown: labels of posts that make no tag frequent and repeat no record.
    """
    frequencies = label_frequencies(dataset, split, keep, unknown, max_records=-1, smoothing=0)
    if threshold is None:
        threshold = rule.default_threshold(frequencies)
    tag_factors = rule.of_tags(frequencies, threshold)
    posts, factors = [np.zeros(0, np.int64)], [np.zeros(0)]
    for ids, lengths, labels in label_blocks(dataset, split, keep):
        of_labels = tag_factors[labels]
        if unknown is not None:
            of_labels[_are_unknown(ids, lengths, labels, unknown)] = 1.0
        posts.append(ids)
        factors.append(rule.of_records(of_labels, lengths))
    of_posts = RepeatFactors(np.concatenate(posts), np.concatenate(factors), seed, threshold)
    ids = post_ids(dataset, split)
    ids = ids if keep is None else ids[np.asarray(keep(ids))]
    return RepeatFactors(ids, of_posts.of(ids), seed, threshold)


def label_blocks(
    dataset: Dataset, split: str, keep: Callable[[np.ndarray], Any] | None, max_records: int = -1
) -> Iterator[LabelBlock]:
    """Yield (ids, numbers of labels, labels) of the records that are kept, from posts.parquet or shards.

    Of shards only the first ``max_records`` are read; -1: all.
    """
    blocks = dataset.label_blocks(split)
    for ids, lengths, labels in blocks or _stored_labels(dataset, split, max_records):
        if keep is not None:
            is_kept = np.asarray(keep(ids))
            ids, labels, lengths = ids[is_kept], labels[np.repeat(is_kept, lengths)], lengths[is_kept]
        yield ids, lengths, labels


def counts(frequencies: np.ndarray, records: int) -> np.ndarray:
    """Return how many of so many records have each label, int64, from `label_frequencies` of them."""
    return np.maximum(np.rint(frequencies * (records + 1.0) - 0.5), 0).astype(np.int64)


def most_labels(dataset: Dataset, split: str) -> int:
    """Return how many labels a post of a split has at most; 0 without posts.parquet."""
    blocks = dataset.label_blocks(split)
    return max((int(lengths.max(initial=0)) for _, lengths, _ in blocks or ()), default=0)


def _stored_labels(dataset: Dataset, split: str, max_records: int) -> Iterator[LabelBlock]:
    """Yield (ids, numbers of labels, labels) of the first records of a split, as ``label_blocks`` does."""
    for serialized in read_shards(dataset.shards(split)).take(max_records).batch(256):
        batch = parse_batch(serialized)
        labels = batch["label_indexes"]
        yield batch["image_id"].numpy(), labels.row_lengths().numpy(), labels.values.numpy()


def _are_unknown(
    ids: np.ndarray, lengths: np.ndarray, labels: np.ndarray, unknown: UnknownLabels
) -> np.ndarray:
    """Return which of the labels that the records have are unknown, bool of the shape of ``labels``."""
    is_unknown = np.zeros(len(labels), bool)
    ends = np.cumsum(lengths)
    for row in np.flatnonzero(np.isin(ids, unknown.posts)):
        part = slice(ends[row] - lengths[row], ends[row])
        is_unknown[part] = unknown.mask(ids[row : row + 1])[0][labels[part]]
    return is_unknown


def other_labels(blocks: Iterable[LabelBlock], unknown: UnknownLabels) -> tuple[int, int]:
    """Return ``(differing, all)``: of how many unknown labels of posts the list says another one.

    Pairs of other posts do not count, nor lists that do not say which label it was.
    """
    ones, zeros = unknown.select(True), unknown.select(False)
    differing = total = 0
    for ids, lengths, labels in blocks:
        of_ones, of_zeros = (int(np.isin(pairs.posts, ids).sum()) for pairs in (ones, zeros))
        differing += of_ones - int(_are_unknown(ids, lengths, labels, ones).sum())
        differing += int(_are_unknown(ids, lengths, labels, zeros).sum())
        total += of_ones + of_zeros
    return differing, total


def _unknown_weights(ids: np.ndarray, weights: np.ndarray, unknown: UnknownLabels) -> np.ndarray:
    """Return the weight of the records of which each label is unknown, whether they have it or not."""
    order = np.argsort(ids, kind="stable")
    places = np.minimum(np.searchsorted(ids, unknown.posts, sorter=order), len(ids) - 1)
    rows = order[places] if len(ids) else places
    is_here = ids[rows] == unknown.posts if len(ids) else np.zeros(len(places), bool)
    return np.bincount(unknown.labels[is_here], weights[rows[is_here]], unknown.num_labels)


def post_ids(dataset: Dataset, split: str) -> np.ndarray:
    """Return the post ids of a split in record order, int64 (N,).

    Reads all shards where the dataset has no list of them, for example one of the original project.
    """
    if dataset.has_post_ids(split):
        return dataset.post_ids(split)
    return np.concatenate([*record_ids(dataset.shards(split)), np.zeros(0, np.int64)])


def record_counts(
    dataset: Dataset, split: str, keep: Callable[[np.ndarray], Any] | None = None
) -> np.ndarray:
    """Return how many records of every shard of a split ``keep(ids)`` keeps, None for all: int64 (S,)."""
    counts = np.asarray(dataset.record_counts(split), np.int64)
    if keep is None:
        return counts
    ends = np.cumsum(counts)
    kept_before = np.concatenate([[0], np.cumsum(keep(post_ids(dataset, split)))])
    return kept_before[ends] - kept_before[ends - counts]


def room_for_packed_labels(dataset: Dataset, packed: str, has_more: bool, mixes: bool) -> dict[str, int]:
    """Return the room for labels of an image that travels to the device, by split: 0 where all of them do.

    Args:
        dataset: the dataset.
        packed: ``--packed-labels``: auto, on or off.
        has_more: whether some labels are unknown or a teacher adds some: posts.parquet does not count them.
        mixes: whether MixUp gives a training image the labels of two.

    Raises UserError where --packed-labels on cannot be.
    """
    rooms: dict[str, int] = {"train": 0, "validation": 0}
    if packed == "off" or (packed == "auto" and dataset.num_labels < LABELS_TO_PACK):
        return rooms
    for split, images in (("train", 2 if mixes else 1), ("validation", 1)):
        most = images * (0 if has_more else most_labels(dataset, split))
        if 0 < 2 * most < dataset.num_labels:
            rooms[split] = most
        elif packed == "on" and split == "train":
            raise UserError(
                "--packed-labels on needs a dataset with posts.parquet, neither --unknown-labels nor "
                f"--teacher, and images with far fewer labels than tags; {dataset.folder} has "
                f"{dataset.num_labels} tags, and an image has {most or 'an unknown number of'} labels at most"
            )
    return rooms
