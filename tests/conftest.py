"""The room every test runs in: tensorflow as the commands have it but quiet, no accelerator, no network."""

import os

from Utils import startup

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("WANDB_MODE", "offline")
os.environ.setdefault("MPLBACKEND", "agg")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
startup.tensorflow()
