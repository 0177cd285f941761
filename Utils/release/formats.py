"""Flavors of a release: the same outputs in other formats, kept only where they are near enough to Keras.

What computes the same in float32 must give the same probabilities; what rounds may cost a little of F1 on
labeled images, and integers are kept only where they are faster than float32 on the CPU that makes them.
"""

import dataclasses
import itertools
import shutil

import keras
import numpy as np

from Utils.bench import timing
from Utils.command.cli import WorkError
from Utils.release import quantization, release_folder
from Utils.release.verification import agreement, runners

FASTER = 1.05  # a smaller ratio of speeds is not told from noise
SECONDS, TURNS = 6, 24  # of the measurement of each speed: short turns, as other work comes and goes
BATCH = 8  # images at a time through Keras


@dataclasses.dataclass(frozen=True)
class Bound:
    """How far a flavor may be from the Keras model on the same images."""

    maximum: float  # of the absolute differences of probabilities
    p999: float  # their 99.9th percentile
    f1: float  # by which F1 may fall


@dataclasses.dataclass(frozen=True)
class Flavor:
    """One format: where it lies in a release, and its gate."""

    path: str
    bound: Bound
    labels: bool = False  # judged on labeled images only


SAME = Bound(1e-4, 1e-4, 0.01)  # where probabilities lie this near, F1 hangs on ties
FLAVORS = {
    "onnx": Flavor("model.onnx", SAME),
    "saved_model": Flavor("extra/saved_model", SAME),
    "litert": Flavor("extra/model.tflite", SAME),
    "onnx_float16": Flavor("extra/onnx_float16/model.onnx", Bound(0.02, 0.005, 0.002), labels=True),
    "onnx_int8": Flavor("extra/onnx_int8/model.onnx", Bound(0.3, 0.1, 0.01), labels=True),
}


@dataclasses.dataclass(frozen=True)
class Truth:
    """What flavors are compared with; made by `truth`."""

    images: np.ndarray  # (N, S, S, 3) uint8 BGR
    probabilities: np.ndarray  # (N, L) of the Keras model
    labels: np.ndarray | None  # (N, L) int8, -1 all along a column of which nothing is known


def truth(model, images, labels=None):
    """Return the `Truth` of a released model on images (N, S, S, 3)."""
    parts = [_first(model(np.float32(part), training=False)) for part in _batches(images, BATCH)]
    return Truth(images, np.concatenate([keras.ops.convert_to_numpy(part) for part in parts]), labels)


def _batches(images, size):
    return [images[start : start + size] for start in range(0, len(images), size)]


def _first(outputs):
    return outputs[0] if isinstance(outputs, (list, tuple)) else outputs


def judge(name, found, right):
    """Return what release.json says of a flavor's probabilities; ``why`` is empty where it is near enough."""
    result, bound = agreement.compare(name, right.probabilities, found, right.labels), FLAVORS[name].bound
    limits = [("the largest difference", result.maximum, bound.maximum),
              ("the 99.9th percentile of the differences", result.p999, bound.p999)]  # fmt: skip
    figures = {"maximum": result.maximum, "p999": result.p999, "images": len(found)}
    if result.f1 is not None:
        figures |= {"f1": result.f1, "f1_difference": result.f1_difference}
        limits.append(("the loss of F1", -result.f1_difference, bound.f1))
    beyond = [f"{what} is {value:.2g}, over {limit:g}" for what, value, limit in limits if not value <= limit]
    known = {key: value if np.isfinite(value) else None for key, value in figures.items()}
    return {**known, "why": "; ".join(beyond)}


def write(name, release, model, right, calibration=None):
    """Write a flavor into a release where it passes its gate; return what release.json says of it.

    Args:
        name: of FLAVORS; "onnx", from which the smaller ones are made, is there already.
        release: the folder.
        model: the released Keras model, with one output.
        right: its `Truth`.
        calibration: (N, S, S, 3) images for "onnx_int8".

    Raises WorkError where it is "onnx" that fails.
    """
    path = release / FLAVORS[name].path
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        figures = _WRITERS[name](release, path, model, right, calibration)
    except OSError:
        raise
    except Exception as error:  # converters raise whatever their parts raise
        first = next(iter(str(error).strip().splitlines()), "")
        figures = {"why": f"it cannot be converted: {type(error).__name__}: {first}"}
    if figures["why"] and name == "onnx":
        raise WorkError(f"{path.name} is not what the Keras model is: {figures['why']}")
    if figures["why"]:
        _remove(path)
    return {"path": FLAVORS[name].path, "written": not figures["why"], **figures}


def _remove(path):
    """Remove a file or folder; of an ONNX file the folder that it had for itself."""
    path = path.parent if path.suffix == ".onnx" else path
    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def _onnx(release, path, model, right, calibration):
    return judge("onnx", release_folder.run_onnx(path, right.images), right)


def _saved_model(release, path, model, right, calibration):
    release_folder.write_saved_model(model, path)
    return judge("saved_model", runners.saved_model(path)(right.images)[0], right)


def _litert(release, path, model, right, calibration):
    release_folder.write_litert(model, path)
    return judge("litert", runners.litert(path)(right.images)[0], right)


def _float16(release, path, model, right, calibration):
    quantization.write_float16(release / FLAVORS["onnx"].path, path)
    return judge("onnx_float16", release_folder.run_onnx(path, right.images), right)


def _int8(release, path, model, right, calibration):
    """Write the fastest way of quantizing that passes its gate, none where none does."""
    source, tried, made = release / FLAVORS["onnx"].path, {}, {}
    for kind in quantization.kinds(source):
        made[kind] = path.with_name(f"{kind}.onnx")
        quantization.write_int8(source, made[kind], calibration, kind)
        tried[kind] = judge("onnx_int8", release_folder.run_onnx(made[kind], right.images), right)
    near = {kind: made[kind] for kind in tried if not tried[kind]["why"]}
    for kind, speed in relative_speeds(source, near, right.images[:1]).items():
        slow = f"it has {speed:.2f} times the speed of float32, and {FASTER:g} is asked for"
        tried[kind] |= {"speed": speed, "why": "" if speed >= FASTER else slow}
    best = min(tried, key=lambda kind: (bool(tried[kind]["why"]), -tried[kind].get("speed", 0)))
    if not tried[best]["why"]:
        made[best].replace(path)
    for file in made.values():
        file.unlink(missing_ok=True)
    others = {kind: found for kind, found in tried.items() if kind != best}
    why = "; ".join(f"{kind}: {found['why']}" for kind, found in tried.items()) if tried[best]["why"] else ""
    return {**tried[best], "kind": best, "why": why, "others": others}


_WRITERS = {
    "onnx": _onnx,
    "saved_model": _saved_model,
    "litert": _litert,
    "onnx_float16": _float16,
    "onnx_int8": _int8,
}


def relative_speeds(source, others, images):
    """Return the images/s of other ONNX files over those of ``source``, measured in turns on the CPU."""
    if not others:
        return {}
    runs = {name: _counts(path, images) for name, path in {"": source, **others}.items()}
    speeds = timing.rates_in_turns(runs, SECONDS, TURNS, warm_up=1)
    return {name: speeds[name] / speeds[""] for name in others}


def _counts(path, images):
    """Return a function that starts an endless iterator of image counts."""
    run = release_folder.onnx_runner(path)
    return lambda: (len(run(images)) for _ in itertools.repeat(None))
