"""The input pipeline: from TFRecord shards to batches of images and labels."""

from Generators.pipeline import eval_dataset, train_dataset

__all__ = ["eval_dataset", "train_dataset"]
