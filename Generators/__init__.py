"""From TFRecord shards to batches."""

from Generators.pipeline import eval_dataset, train_dataset

__all__ = ["eval_dataset", "train_dataset"]
