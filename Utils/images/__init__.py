"""From bytes to the square array that a model sees: decoding, padding, resizing, folders of images."""
