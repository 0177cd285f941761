"""Taggers of any origin compared on the same posts and the same tags."""
