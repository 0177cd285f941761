"""Some labeled pictures of a dataset as arrays: what formats of a model are compared and calibrated on."""

import numpy as np
import tensorflow as tf

from Generators.pipeline import eval_dataset
from Utils.command.cli import WorkError

BATCH = 32


def labeled(dataset, split, image_size, most):
    """Return the first ``most`` pictures of a split: (N, S, S, 3) uint8 BGR, and labels (N, L) uint8.

    dataset: of `Utils.data.dataset_folder`; its L tags are the columns. Raises WorkError where a record
    cannot be read.
    """
    batches = eval_dataset(
        dataset.shards(split),
        num_labels=dataset.num_labels,
        image_size=image_size,
        batch_size=min(BATCH, most),
    )
    pictures, labels = [], []
    try:
        for batch, truth in batches.take(-(-most // min(BATCH, most))):
            pictures.append(batch.numpy())
            labels.append(truth.numpy() > 0)
    except tf.errors.OpError as error:
        raise WorkError(f"{split} of {dataset.folder}: {str(error.message).splitlines()[0]}") from error
    return np.concatenate(pictures)[:most], np.concatenate(labels)[:most].astype(np.uint8)
