"""What tensorflow reads once, when it is imported: a command calls this before anything that imports it."""

import os


def tensorflow():
    """Set tensorflow's environment where the user has not: fewer messages, and oneDNN on every x86 CPU.

    oneDNN's convolutions and matrix products are tensorflow's own choice on the newest CPUs only. Elsewhere,
    with AVX2, they bring a training step of ConvNext T from 0.95 to 1.10 of timm's speed, that of ResNet 50,
    together with the written-out gradient of its batch norm, from 0.83 to 1.03 (tools/bench.py train).
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
