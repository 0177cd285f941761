"""Studies behind the recipes: each is one command, continues where it was stopped, and writes to results/."""
