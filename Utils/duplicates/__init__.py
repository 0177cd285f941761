"""Near-duplicate images: fingerprints, the search for close ones, the comparison of pixels."""
