"""What every command shares: errors with exit codes, argument types, progress, the backend's start."""
