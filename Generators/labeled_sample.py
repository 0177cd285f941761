"""A sample of a split as arrays, for comparing and calibrating the formats of a model."""

import numpy as np
import tensorflow as tf

from Generators.pipeline import eval_dataset
from Utils.command.cli import WorkError
from Utils.data import shard_damage
from Utils.data.dataset_folder import Dataset

BATCH_SIZE = 32


def read_sample(
    dataset: Dataset, split: str, image_size: int, max_images: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the first images of a split and their labels: (N, S, S, 3) uint8 BGR, (N, num_labels) uint8.

    Raises UserError where a shard is damaged, WorkError where the picture of a record is.
    """
    batch_size = min(BATCH_SIZE, max_images)
    batches = eval_dataset(
        dataset.shards(split), num_labels=dataset.num_labels, image_size=image_size, batch_size=batch_size
    )
    images, labels = [], []
    try:
        with shard_damage.named(dataset):
            for image_batch, label_batch in batches.take(-(-max_images // batch_size)):
                images.append(image_batch.numpy())
                labels.append(label_batch.numpy() > 0)
    except tf.errors.OpError as error:
        raise WorkError(f"{split} of {dataset.folder}: {str(error.message).splitlines()[0]}") from error
    return np.concatenate(images)[:max_images], np.concatenate(labels)[:max_images].astype(np.uint8)
