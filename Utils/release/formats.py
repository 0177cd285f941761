"""Writes the formats of a release, keeping those whose probabilities agree with the Keras model's.

Formats that compute the same in float32 must give the same probabilities. Formats that round may lose a
little F1 on labeled images; integers are kept only where they are faster than float32 on the CPU that makes
them.
"""

import dataclasses
import itertools
import pathlib
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np

from Utils.bench import timing
from Utils.command.cli import WorkError
from Utils.files.atomic import no_room
from Utils.release import onnx_runner, quantization, release_folder
from Utils.release.format_table import FORMATS
from Utils.release.verification import agreement, runners

MIN_SPEEDUP = 1.05  # of integers over float32; a smaller one is within the noise of the measurement
SECONDS, TURNS = 6, 24  # of each speed's measurement: short turns, because other work comes and goes
BATCH_SIZE = 8  # images at a time through Keras

Result = dict[str, Any]  # what release.json says of a format; "why" is empty where it is near enough


@dataclasses.dataclass(frozen=True)
class ReferenceOutputs:
    """The Keras model's outputs, with which formats are compared."""

    images: np.ndarray  # (N, S, S, 3) uint8 BGR
    probabilities: np.ndarray  # (N, L) of the Keras model
    labels: np.ndarray | None  # (N, L) int8; -1 in the whole column of a tag that nobody labeled


def reference_outputs(
    model: keras.Model, images: np.ndarray, labels: np.ndarray | None = None
) -> ReferenceOutputs:
    """Return the `ReferenceOutputs` of a released model on images (N, S, S, 3)."""
    batches = (images[start : start + BATCH_SIZE] for start in range(0, len(images), BATCH_SIZE))
    outputs = [_first(model(np.float32(batch), training=False)) for batch in batches]
    probabilities = np.concatenate([np.asarray(keras.ops.convert_to_numpy(output)) for output in outputs])
    return ReferenceOutputs(images, probabilities, labels)


def _first(outputs: Any) -> Any:
    return outputs[0] if isinstance(outputs, (list, tuple)) else outputs


def compare_format(name: str, probabilities: np.ndarray, reference: ReferenceOutputs) -> Result:
    """Return the entry of release.json for a format's probabilities (N, L)."""
    result = agreement.compare(name, reference.probabilities, probabilities, reference.labels)
    tolerance = FORMATS[name].tolerance
    bounds = [("the largest difference", result.maximum, tolerance.maximum),
              ("the 99.9th percentile of the differences", result.p999, tolerance.p999)]  # fmt: skip
    figures = {"maximum": result.maximum, "p999": result.p999, "images": len(probabilities)}
    if result.f1 is not None and result.f1_difference is not None:
        figures |= {"f1": result.f1, "f1_difference": result.f1_difference}
        bounds.append(("the loss of F1", -result.f1_difference, tolerance.f1))
    # "not <=" instead of ">": NaN must fail
    beyond = [f"{what} is {value:.2g}, over {bound:g}" for what, value, bound in bounds if not value <= bound]
    finite = {key: value if np.isfinite(value) else None for key, value in figures.items()}
    return {**finite, "why": "; ".join(beyond)}


def write_format(
    name: str,
    release: pathlib.Path,
    model: keras.Model,
    reference: ReferenceOutputs,
    calibration: np.ndarray | None = None,
) -> Result:
    """Write a format into a release if it is near enough; return its entry of release.json.

    Args:
        name: in `FORMATS`; "onnx", from which the smaller ones are made, is there already.
        release: folder.
        model: the released Keras model, with one output.
        reference: its outputs.
        calibration: (N, S, S, 3) images for "onnx_int8".

    Raises WorkError where "onnx" fails, and OSError where the disk does.
    """
    path = release / FORMATS[name].path
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        result = _WRITERS[name](release, path, model, reference, calibration)
    except OSError:
        raise
    except Exception as error:  # converters raise whatever their parts raise
        if full := no_room(error, path):
            raise full from error
        first_line = next(iter(str(error).strip().splitlines()), "")
        result = {"why": f"it cannot be converted: {type(error).__name__}: {first_line}"}
    if result["why"] and name == "onnx":
        raise WorkError(f"{path.name} is not what the Keras model is: {result['why']}")
    if result["why"]:
        _remove(path)
    return {"path": FORMATS[name].path, "written": not result["why"], **result}


def _remove(path: pathlib.Path) -> None:
    """Remove a file or folder; an ONNX file with its folder, which it has to itself."""
    path = path.parent if path.suffix == ".onnx" else path
    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def _onnx(
    release: pathlib.Path, path: pathlib.Path, model: keras.Model, reference: ReferenceOutputs, _: Any
) -> Result:
    return compare_format("onnx", onnx_runner.run(path, reference.images), reference)


def _saved_model(
    release: pathlib.Path, path: pathlib.Path, model: keras.Model, reference: ReferenceOutputs, _: Any
) -> Result:
    release_folder.write_saved_model(model, path)
    return compare_format("saved_model", runners.saved_model(path)(reference.images), reference)


def _litert(
    release: pathlib.Path, path: pathlib.Path, model: keras.Model, reference: ReferenceOutputs, _: Any
) -> Result:
    release_folder.write_litert(model, path)
    return compare_format("litert", runners.litert(path)(reference.images), reference)


def _float16(
    release: pathlib.Path, path: pathlib.Path, model: keras.Model, reference: ReferenceOutputs, _: Any
) -> Result:
    quantization.write_float16(release / FORMATS["onnx"].path, path)
    return compare_format("onnx_float16", onnx_runner.run(path, reference.images), reference)


def _int8(
    release: pathlib.Path,
    path: pathlib.Path,
    model: keras.Model,
    reference: ReferenceOutputs,
    calibration: np.ndarray,
) -> Result:
    """Write the fastest kind of quantization that is near enough; none where all fail."""
    source = release / FORMATS["onnx"].path
    results, files = {}, {}
    for kind in quantization.kinds(source):
        files[kind] = path.with_name(f"{kind}.onnx")
        quantization.write_int8(source, files[kind], calibration, kind)
        outputs = onnx_runner.run(files[kind], reference.images)
        results[kind] = compare_format("onnx_int8", outputs, reference)
    near = {kind: files[kind] for kind in results if not results[kind]["why"]}
    for kind, speed in relative_speeds(source, near, reference.images[:1]).items():
        slow = f"it has {speed:.2f} times the speed of float32, and {MIN_SPEEDUP:g} is asked for"
        results[kind] |= {"speed": speed, "why": "" if speed >= MIN_SPEEDUP else slow}
    best = min(results, key=lambda kind: (bool(results[kind]["why"]), -results[kind].get("speed", 0)))
    if not results[best]["why"]:
        files[best].replace(path)
    for file in files.values():
        file.unlink(missing_ok=True)
    others = {kind: result for kind, result in results.items() if kind != best}
    reasons = "; ".join(f"{kind}: {result['why']}" for kind, result in results.items())
    why = reasons if results[best]["why"] else ""
    return {**results[best], "kind": best, "why": why, "others": others}


_WRITERS: dict[str, Callable[..., Result]] = {
    "onnx": _onnx,
    "saved_model": _saved_model,
    "litert": _litert,
    "onnx_float16": _float16,
    "onnx_int8": _int8,
}


def relative_speeds(
    source: pathlib.Path, others: dict[str, pathlib.Path], images: np.ndarray
) -> dict[str, float]:
    """Return the images/s of other ONNX files over those of ``source``, measured in turns on the CPU."""
    if not others:
        return {}
    runs = {name: _image_counts(path, images) for name, path in {"": source, **others}.items()}
    speeds = timing.rates_in_turns(runs, SECONDS, TURNS, warm_up=1)
    return {name: speeds[name] / speeds[""] for name in others}


def _image_counts(path: pathlib.Path, images: np.ndarray) -> Callable[[], Iterator[int]]:
    """Return a function that starts an endless iterator of image counts."""
    run = onnx_runner.OnnxRunner(path)
    return lambda: (len(run(images)) for _ in itertools.repeat(None))
