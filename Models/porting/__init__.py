"""Weights of other projects, in and out: timm folders and the files of the original zoo."""
