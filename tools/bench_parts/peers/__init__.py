"""What parts of the benchmark are measured against."""
