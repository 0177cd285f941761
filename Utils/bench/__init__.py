"""Fair timing for ``tools/bench.py``, and the peer that models are timed against."""
