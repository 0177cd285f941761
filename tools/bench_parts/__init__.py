"""The parts of tools/bench.py, a file each, found by its name."""
