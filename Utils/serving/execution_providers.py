"""Devices that onnxruntime runs a model on, by their names on the command line.

https://onnxruntime.ai/docs/execution-providers lists them; most come with a package of their own.
"""

import argparse
from collections.abc import Collection

from Utils.command.cli import UserError

CPU = "CPUExecutionProvider"
# Device -> (providers in the order of preference, the package that has them).
DEVICES = {
    "auto": (("CUDAExecutionProvider", "ROCMExecutionProvider", "DmlExecutionProvider"), "onnxruntime"),
    "cpu": ((), "onnxruntime"),
    "cuda": (("CUDAExecutionProvider",), "onnxruntime-gpu"),
    "directml": (("DmlExecutionProvider",), "onnxruntime-directml"),
    "coreml": (("CoreMLExecutionProvider",), "onnxruntime, on macOS"),
    "openvino": (("OpenVINOExecutionProvider",), "onnxruntime-openvino"),
}


def add_device(command_line: argparse.ArgumentParser) -> None:
    """Add ``--device`` to a command's parser."""
    command_line.add_argument(
        "--device",
        choices=DEVICES,
        default="auto",
        help="what onnxruntime runs a release on (auto: an accelerator that it is built for, else cpu)",
    )


def choose(device: str, available: Collection[str]) -> list[str]:
    """Return the providers for a device; what one of them lacks runs on the processor.

    Raises UserError, which names what there is, where onnxruntime was not built for the device.

    Args:
        device: one of DEVICES.
        available: ``onnxruntime.get_available_providers()``.
    """
    providers, package = DEVICES[device]
    chosen = [name for name in providers if name in available]
    if device not in ("auto", "cpu") and not chosen:
        offered = [name for name, (wanted, _) in DEVICES.items() if set(wanted) & set(available)]
        others = sorted(name for name in available if name != CPU)
        raise UserError(
            f"--device {device} needs {' or '.join(providers)} ({package}); the installed onnxruntime "
            f"offers {', '.join(['auto', 'cpu', *(name for name in offered if name != 'auto')])}"
            f"{' (' * bool(others)}{', '.join(others)}{')' * bool(others)}"
        )
    return [*chosen, CPU]
