"""Experiment trackers: W&B or TensorBoard, and ``curves.png``; if one fails, training continues without it.

W&B stays offline unless ``WANDB_API_KEY`` or ``WANDB_MODE`` is set, and never asks anything; its files lie in
the run folder, or in ``wandb/`` of the working folder if the run is on another file system.
"""

import contextlib
import os
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from Utils.command.cli import UserError, suggest
from Utils.files import tfrecord
from Utils.files.atomic import is_remote
from Utils.recipe.recipe import Recipe
from Utils.training.console import say
from Utils.training.history import History
from Utils.training.run_folder import Run

CURVES_EVERY = 60.0  # seconds between drawings of the curves, half a second each
# Variables by which a user asks for W&B: a key, a mode, or those of an agent that runs a sweep.
WANDB_VARIABLES = ("WANDB_API_KEY", "WANDB_MODE", "WANDB_SWEEP_ID")


class Tracker:
    """A tracker that keeps nothing, and the base of the others.

    A subclass implements ``_log`` and ``_close``. What they raise is reported once, then the tracker does
    nothing more.
    """

    def __init__(self) -> None:
        self.failed = False

    def log(self, row: Mapping[str, Any]) -> None:
        """Send the row of an epoch: numbers by name, among them ``step``."""
        if not self.failed:
            self._guard(self._log, row)

    def close(self) -> None:
        """Send the remaining rows."""
        if not self.failed:
            self._guard(self._close)

    def _guard(self, function: Callable[..., None], *arguments: Any) -> None:
        try:
            function(*arguments)
        except Exception as error:  # noqa: BLE001  a tracker must not end a month of training
            self.failed = True
            say(
                f"warning: {type(self).__name__} failed, training continues without it ({error}); "
                "history.csv has all that it would show"
            )

    def _log(self, row: Mapping[str, Any]) -> None:
        pass

    def _close(self) -> None:
        pass


class WeightsAndBiases(Tracker):
    """W&B: the recipe as the run's configuration, the rows as its history, under one id for a folder."""

    def __init__(self, folder: Any, name: str, config: dict[str, Any], project: str) -> None:
        super().__init__()
        self._run: Any = None
        self._guard(self._start, folder, name, config, project)

    def _start(self, folder: Any, name: str, config: dict[str, Any], project: str) -> None:
        os.environ.setdefault("WANDB_SILENT", "true")
        import wandb

        configured = any(os.environ.get(variable) for variable in WANDB_VARIABLES)
        # Kept in a file, so that a continued run is the same run in W&B.
        identity = folder / "wandb" / "id.txt"
        if not identity.exists():
            identity.parent.mkdir(exist_ok=True)
            identity.write_text(os.environ.get("WANDB_RUN_ID") or uuid.uuid4().hex[:12])
        local_folder = None if is_remote(folder) else str(folder)
        self._run = wandb.init(
            project=project,
            name=folder.name,
            group=name,
            dir=local_folder,
            config=config,
            id=identity.read_text().strip(),
            resume="allow",
            mode=None if configured else "offline",
            settings=wandb.Settings(silent=True, console="off"),
        )
        if not configured:
            say(f"W&B is offline; wandb sync {local_folder or '.'}/wandb/offline-run-* sends the curves")

    def _log(self, row: Mapping[str, Any]) -> None:
        self._run.log(row, step=row["step"])

    def _close(self) -> None:
        self._run.finish()


class TensorBoard(Tracker):
    """TensorBoard: the rows as scalars in ``tensorboard/`` of the run folder."""

    def __init__(self, folder: Any, name: str, config: dict[str, Any], project: str) -> None:
        super().__init__()
        self._data = b""
        self._guard(self._start, folder)

    def _start(self, folder: Any) -> None:
        # Here: it takes a second. The messages are those of tensorflow, which reads the data on any backend.
        from tensorflow.core.framework import summary_pb2
        from tensorflow.core.util import event_pb2

        self._messages = event_pb2, summary_pb2
        (folder / "tensorboard").mkdir(exist_ok=True)
        now = time.time()
        self._path = folder / "tensorboard" / f"events.out.tfevents.{now:.0f}.{os.getpid()}"
        self._add(wall_time=now, file_version="brain.Event:2")

    def _add(self, **fields: Any) -> None:
        event = self._messages[0].Event(**fields)
        self._data += b"".join(tfrecord.framed([event.SerializeToString()]))

    def _log(self, row: Mapping[str, Any]) -> None:
        summary = self._messages[1].Summary
        for name, value in row.items():
            scalar = summary(value=[summary.Value(tag=name, simple_value=value)])
            self._add(wall_time=time.time(), step=row["step"], summary=scalar)
        # The whole file each time: other file systems cannot append. In place: TensorBoard holds it open.
        self._path.write_bytes(self._data)


class Curves(Tracker):
    """``curves.png`` of the rows of a history, drawn again now and then and at the end."""

    def __init__(self, history: History, path: Any) -> None:
        super().__init__()
        self._history, self._path, self._drawn_at = history, path, time.monotonic()

    def _log(self, row: Mapping[str, Any]) -> None:
        if time.monotonic() - self._drawn_at >= CURVES_EVERY:
            self._close()

    def _close(self) -> None:
        from Utils.report import run_plots  # here: importing matplotlib takes a second

        run_plots.plot_history(self._history.rows, self._path)
        self._drawn_at = time.monotonic()


TRACKERS: dict[str, Callable[[Any, str, dict[str, Any], str], Tracker]] = {
    "wandb": WeightsAndBiases,
    "tensorboard": TensorBoard,
    "none": lambda folder, name, config, project: Tracker(),
}


def build(tracker: str, folder: Any, name: str, config: dict[str, Any], project: str) -> Tracker:
    """Return the tracker called ``wandb``, ``tensorboard`` or ``none`` for a run folder.

    ``name`` is the recipe's, ``config`` its fields, ``project`` the project for W&B.
    """
    if tracker not in TRACKERS:
        raise UserError(f"--tracker is {', '.join(TRACKERS)}; got {tracker!r}{suggest(tracker, TRACKERS)}")
    return TRACKERS[tracker](folder, name, config, project)


@contextlib.contextmanager
def opened(run: Run, name: str, recipe: Recipe) -> Iterator[list[Tracker]]:
    """Yield the trackers that get every epoch's row: the recipe's and the curves; close them at the end.

    A probe has no curves: to draw them would take longer than its training.
    """
    trackers = [build(recipe.tracker, run.folder, name, recipe.to_dict(), recipe.project)]
    if not recipe.probe:
        trackers.append(Curves(run.history, run.folder / "curves.png"))
    try:
        yield trackers
    finally:
        for tracker in trackers:
            tracker.close()
