"""Some labeled pictures of a dataset as arrays: what formats of a model are compared and calibrated on."""

import numpy as np

from Generators.pipeline import eval_dataset

BATCH = 32


def labeled(dataset, split, image_size, most):
    """Return the first ``most`` pictures of a split: (N, S, S, 3) uint8 BGR, and labels (N, L) uint8.

    dataset: of `Utils.datasets`; its L tags are the columns.
    """
    batches = eval_dataset(
        dataset.shards(split),
        num_labels=dataset.num_labels,
        image_size=image_size,
        batch_size=min(BATCH, most),
    )
    pictures, labels = [], []
    for batch, truth in batches.take(-(-most // min(BATCH, most))):
        pictures.append(batch.numpy())
        labels.append(truth.numpy() > 0)
    return np.concatenate(pictures)[:most], np.concatenate(labels)[:most].astype(np.uint8)
