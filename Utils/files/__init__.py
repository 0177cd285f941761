"""Files on disk and in buckets: complete or absent, TFRecord framing, CSV, caches of rows, jobs on many
cores."""
