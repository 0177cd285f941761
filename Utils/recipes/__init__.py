"""Recipes: one short file each, holding a `RECIPE` and, in its docstring, command, cost and expected score."""
