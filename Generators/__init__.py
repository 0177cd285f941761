"""From TFRecord shards to batches."""
