"""Code that every command shares: errors with exit codes, argument types, progress, start of the backend."""
