"""Layers the families share: one idea a file."""
