"""Recipes: one short file each; its docstring gives command, cost and expected score, its `RECIPE` the fields."""
