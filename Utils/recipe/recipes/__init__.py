"""Named recipes, one short file each: its docstring gives the command, the cost and the expected score."""
