"""Near-duplicate images: fingerprints, nearest-neighbor search over hashes, comparison of pixels."""
