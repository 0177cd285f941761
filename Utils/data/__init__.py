"""From posts to a dataset folder: sources, definition, selection, tag rules, shards, folds."""
