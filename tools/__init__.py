"""Commands: one a file, each with `main(argv) -> exit code`."""
