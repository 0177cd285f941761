"""Tells W&B or TensorBoard the rows of the history, and draws them; whatever fails there, training goes on.

W&B stays offline unless ``WANDB_API_KEY`` or ``WANDB_MODE`` is set, and never asks anything; its files lie in
the run folder, or in ``wandb/`` here where that is on another file system. TensorBoard's event files are
written here, by hand: to write them no package is needed.
"""

import os
import struct
import time
import uuid

from Utils.command.cli import UserError, suggest
from Utils.files.atomic import is_remote
from Utils.training.run_folder import say

CURVES_EVERY = 60.0  # seconds between drawings of the curves, half a second each
# The user wants W&B, by a key, a mode, or an agent that runs a sweep.
CONFIGURED = ("WANDB_API_KEY", "WANDB_MODE", "WANDB_SWEEP_ID")


class Tracker:
    """Keeps nothing; the base of the others.

    ``log(row)`` takes a row of the history, ``close()`` ends. Trackers say once what failed, then keep still.
    """

    def __init__(self):
        self.failed = False

    def log(self, row):
        """Send the numbers of an epoch."""
        if not self.failed:
            self._guard(self._log, row)

    def close(self):
        """Send what is left."""
        if not self.failed:
            self._guard(self._close)

    def _guard(self, function, *arguments):
        try:
            return function(*arguments)
        except Exception as error:  # noqa: BLE001  a tracker must not end a month of training
            self.failed = True
            say(f"warning: {type(self).__name__} failed, training goes on without it: {error}")

    def _log(self, row):
        pass

    def _close(self):
        pass


class WeightsAndBiases(Tracker):
    """W&B: the recipe as the run's configuration, the rows as its history, under one id for a folder."""

    def __init__(self, folder, name, config, project):
        super().__init__()
        self._run = None
        self._guard(self._start, folder, name, config, project)

    def _start(self, folder, name, config, project):
        os.environ.setdefault("WANDB_SILENT", "true")
        import wandb

        configured = any(os.environ.get(name) for name in CONFIGURED)
        identity = folder / "wandb" / "id.txt"
        if not identity.exists():
            identity.parent.mkdir(exist_ok=True)
            identity.write_text(os.environ.get("WANDB_RUN_ID") or uuid.uuid4().hex[:12])
        here = None if is_remote(folder) else str(folder)
        self._run = wandb.init(
            project=project,
            name=folder.name,
            group=name,
            dir=here,
            config=config,
            id=identity.read_text().strip(),
            resume="allow",
            mode=None if configured else "offline",
            settings=wandb.Settings(silent=True, console="off"),
        )
        if not configured:
            say(f"W&B is offline; wandb sync {here or '.'}/wandb/offline-run-* sends the curves")

    def _log(self, row):
        self._run.log(row, step=row["step"])

    def _close(self):
        self._run.finish()


class TensorBoard(Tracker):
    """TensorBoard: the rows as scalars in ``tensorboard/`` of the run folder."""

    def __init__(self, folder, name, config, project):
        super().__init__()
        self._path, self._data = None, b""
        self._guard(self._start, folder)

    def _start(self, folder):
        (folder / "tensorboard").mkdir(exist_ok=True)
        now = time.time()
        self._path = folder / "tensorboard" / f"events.out.tfevents.{now:.0f}.{os.getpid()}"
        self._data = _record(_double(1, now) + _text(3, b"brain.Event:2"))

    def _log(self, row):
        for name, value in row.items():
            scalar = _text(1, name.encode()) + _key(2, 5) + struct.pack("<f", value)
            event = _double(1, time.time()) + _key(2, 0) + _varint(row["step"]) + _text(5, _text(1, scalar))
            self._data += _record(event)
        self._path.write_bytes(self._data)  # whole: other file systems cannot append


class Curves(Tracker):
    """``curves.png`` of the rows of a History, drawn again now and then and at last."""

    def __init__(self, history, path):
        super().__init__()
        self._history, self._path, self._drawn = history, path, time.monotonic()

    def _log(self, row):
        if time.monotonic() - self._drawn >= CURVES_EVERY:
            self._close()

    def _close(self):
        from Utils.report import run_plots  # here: matplotlib takes its time

        run_plots.plot_history(self._history.rows, self._path)
        self._drawn = time.monotonic()


# The wire format of protocol buffers and of TFRecord files, as far as scalars need it


def _key(field, kind):
    return _varint(field << 3 | kind)


def _varint(number):
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def _double(field, value):
    return _key(field, 1) + struct.pack("<d", value)


def _text(field, data):
    return _key(field, 2) + _varint(len(data)) + data


def _record(data):
    length = struct.pack("<Q", len(data))
    return length + _checksum(length) + data + _checksum(data)


def _checksum(data):
    """Return the masked CRC-32C (Castagnoli) that TFRecord files carry."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    crc ^= 0xFFFFFFFF
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


TRACKERS = {"wandb": WeightsAndBiases, "tensorboard": TensorBoard, "none": lambda *ignored: Tracker()}


def build(tracker, folder, name, config, project):
    """Return the tracker called ``wandb``, ``tensorboard`` or ``none`` for a run folder."""
    if tracker not in TRACKERS:
        raise UserError(f"--tracker is {', '.join(TRACKERS)}; got {tracker!r}{suggest(tracker, TRACKERS)}")
    return TRACKERS[tracker](folder, name, config, project)
