"""The training loop and its parts: losses, optimizers, schedules, devices, checkpoints, trackers."""
