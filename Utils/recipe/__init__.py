"""The configuration of a training run: recipe, command line, initial weights, sweeps."""
