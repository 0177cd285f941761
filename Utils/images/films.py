"""Films: one frame every so many seconds, by FFmpeg's libraries (PyAV, an extra)."""

import importlib
import io
import math
import pathlib
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

import cv2

from Utils.command import programs
from Utils.command.cli import UserError
from Utils.images.image_limits import ImageError

SUFFIXES = (".mp4", ".m4v", ".mov", ".webm", ".mkv", ".avi", ".wmv", ".flv", ".mpg", ".mpeg", ".ogv", ".ts")
_NEAR = 1e-6  # seconds: times are fractions of the stream's clock


def is_film(name: str) -> bool:
    """Whether a file name ends like a film's."""
    return pathlib.PurePath(name).suffix.lower() in SUFFIXES


def require_reader() -> None:
    """Raise UserError where the package that reads films is missing."""
    if find_spec("av") is None:
        raise UserError(f"--every needs PyAV to read films: {programs.install_line('video')}")


def parse_interval(text: str) -> float:
    """Return the seconds of "1s", "0.5s", "2min" or a number; ValueError for anything else."""
    for unit, seconds in (("min", 60.0), ("s", 1.0), ("", 1.0)):
        if text.endswith(unit):
            value = float(text.removesuffix(unit) if unit else text) * seconds
            break
    if not 0.01 <= value <= 86_400:
        raise ValueError(f"{text} is not between 0.01 seconds and a day")
    return value


def frame_name(name: str, seconds: float) -> str:
    """Return the name of a frame, as media fragments have it: ``film.mp4#t=1.5``."""
    return f"{name}#t={seconds:.3f}".rstrip("0").rstrip(".")


def frames(source: str | bytes, every: float) -> Iterator[tuple[float, bytes]]:
    """Yield ``(seconds from the start, the frame as BMP)``: the first frame at or after each multiple.

    Args:
        source: path or content of a film.
        every: seconds between frames; of a film with fewer frames each comes once.

    Raises ImageError where it is no film or is damaged; what came before stays.
    """
    av: Any = importlib.import_module("av")  # an extra, which takes its time
    try:
        with av.open(source if isinstance(source, str) else io.BytesIO(source)) as container:
            if not container.streams.video:
                raise ImageError("a film without pictures")
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            start, due = None, 0.0
            for frame in container.decode(stream):
                if frame.time is None:
                    continue
                start = frame.time if start is None else start
                seconds = frame.time - start
                if seconds + _NEAR >= due:
                    due = (math.floor((seconds + _NEAR) / every) + 1) * every
                    yield seconds, cv2.imencode(".bmp", frame.to_ndarray(format="bgr24"))[1].tobytes()
    except (av.error.FFmpegError, ValueError, OSError) as error:
        raise error if isinstance(error, ImageError) else ImageError(f"damaged film: {error}") from error
