"""images/s and latency of a model: a run, a file or FAMILY/VARIANT, beside timm's or its own ONNX export.

Images come from NumPy and probabilities go there, as in tools/predict.py. Both sides take turns on the same
cores, each in a process of its own. The limit is the speed of the model if all its multiply-adds ran as fast
as large matrix products of the backend. Latency is that of a batch of one image.
"""

import argparse
import contextlib
import pathlib
import shlex
import sys
import tempfile
from collections.abc import Callable
from typing import Any

import numpy as np

from Utils.bench import matrix_products, timing, timm_peer
from Utils.bench.matrix_products import import_keras
from Utils.command.cli import Parser, UserError, assignment, number
from Utils.evaluation import results_table
from Utils.serving import onnx_tagger

MIN_CALLS = 3  # per round
MAX_DIFFERENCE = 0.05  # of the parameters of two models of one shape, as a share
LIMIT = "limit: large matrix products"

Sides = dict[str, tuple[timing.TimedProcess, list[int]]]  # {name: (process, its batch sizes)}
Seconds = dict[tuple[str, int], list[list[float]]]  # {(name, batch size): calls of each round}


def add_arguments(parser: Parser) -> None:
    """Declare the options."""
    add = parser.add_argument
    add("--model", default="ConvNext/T", metavar="RUN|FILE.keras|FAMILY/VARIANT")
    add("--image-size", type=number(above=0), help="of FAMILY/VARIANT (224); a saved model has its own")
    add("--num-labels", type=number(above=0), help="of FAMILY/VARIANT (2380)")
    add("--set", action="append", default=[], metavar="FIELD=VALUE", help="of FAMILY/VARIANT")
    add("--dtype", help="dtype policy of FAMILY/VARIANT, mixed_bfloat16 for example (float32)")
    add("--backend", choices=("tensorflow", "jax", "torch"), help="of Keras (KERAS_BACKEND)")
    add("--batch-sizes", type=number(above=0), nargs="+", default=[1, 8, 32], help="(1 8 32)")
    add("--rounds", type=number(above=0), default=4, help="rounds; every side runs once in each (4)")
    add("--seconds", type=number(float, above=0), default=1.0, help="seconds per figure and round (1)")
    add("--threads", type=number(above=0), default=timing.num_cores(), help="cores of each side (all)")
    add(
        "--peer", metavar="timm|timm:NAME|onnxruntime",
        help="also measure timm's model of the same shape on torch, or the ONNX export of this model",
    )  # fmt: skip
    add("--append", type=pathlib.Path, metavar="CSV", help="add the highest images/s to a results table")


def run_benchmark(options: argparse.Namespace) -> dict[str, Any]:
    """Measure a model's throughput at several batch sizes and its latency."""
    saved = _is_saved(options)
    sizes = sorted({1, *options.batch_sizes})
    overrides = dict(assignment("--set", text) for text in options.set)
    shape = options.image_size or 224, options.num_labels or 2380
    definition = (options.model, saved, overrides, options.dtype, *shape)
    timm_name = None
    if options.peer not in (None, "onnxruntime"):
        timm_name = timm_peer.model_name(_variant(options.model, saved), options.peer)
    with contextlib.ExitStack() as stack:

        def start(make: Callable[..., Any], *arguments: Any) -> timing.TimedProcess:
            return stack.enter_context(timing.TimedProcess(options.threads, make, *arguments))

        ours = start(_our_model, options.backend, *definition, sizes[-1])
        facts = ours.facts[0]
        sides: Sides = {facts["label"]: (ours, sizes)}
        if timm_name:
            theirs = start(
                timm_peer.inference, timm_name, facts["image_size"], facts["num_labels"], sizes[-1]
            )
            _require_same_shape(options.peer, facts, *theirs.facts)
            sides[f"peer: {theirs.facts[0]}"] = (theirs, sizes)
        if options.peer == "onnxruntime":
            file = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()), "model.onnx")
            # In a process of its own, which frees the memory of keras.
            with timing.TimedProcess(options.threads, _export, file, *definition):
                pass
            sides["peer: onnxruntime"] = (start(_onnx_model, file, facts["image_size"], sizes[-1]), sizes)
        sides[LIMIT] = (start(matrix_products.prepared, options.backend), [1])
        seconds = _rounds(sides, options)
    result = _result(facts, seconds, sizes, options)
    if options.append:
        _append(options, saved, facts, result["images_per_second"])
    return result


def _is_saved(options: argparse.Namespace) -> bool:
    """Tell whether the model is a saved one; UserError if it is neither that nor of the zoo."""
    path = pathlib.Path(options.model)
    if not path.exists():
        if path.suffix == ".keras" or "/" not in options.model.strip("/"):
            raise UserError(
                f"--model is a run folder, a .keras file or FAMILY/VARIANT; got {options.model!r}"
            )
        return False
    if options.image_size or options.num_labels or options.set or options.dtype:
        raise UserError(
            f"{options.model} is saved as it is: leave --image-size, --num-labels, --set, --dtype out"
        )
    return True


def _variant(model: str, saved: bool) -> str:
    """Return the FAMILY/VARIANT of a model."""
    if not saved:
        return model
    from Utils.recipe import initial_weights

    return initial_weights.find(model).model


def _require_same_shape(peer: str | None, facts: dict[str, Any], name: str, params: int) -> None:
    """Raise UserError if a peer from our table has not about as many parameters as our model."""
    if peer == "timm" and abs(params / facts["params"] - 1) > MAX_DIFFERENCE:
        raise UserError(
            f"{name} has {params:,} parameters, {facts['label']} {facts['params']:,}: they are not of one "
            "shape; name another with --peer timm:NAME, or leave --peer out"
        )


def _rounds(sides: Sides, options: argparse.Namespace) -> Seconds:
    """Return the seconds of every call."""
    seconds: Seconds = {(name, size): [] for name, (_, sizes) in sides.items() for size in sizes}
    calls = {}
    for name, size in seconds:
        sides[name][0].seconds(2, size)  # compiles
        fastest = min(sides[name][0].seconds(2, size))
        calls[name, size] = max(MIN_CALLS, round(options.seconds / fastest))
    for name, size in timing.alternate(seconds, options.rounds):
        seconds[name, size].append(sides[name][0].seconds(calls[name, size], size))
    return seconds


def _result(
    facts: dict[str, Any], seconds: Seconds, sizes: list[int], options: argparse.Namespace
) -> dict[str, Any]:
    """Return the result of the part from the seconds of every call and the facts about our model."""
    products = np.min(np.concatenate(seconds.pop((LIMIT, 1))))  # a limit is the best call, not the median
    speeds = {key: [key[1] * len(calls) / sum(calls) for calls in rounds] for key, rounds in seconds.items()}
    figures = {f"{name}, batch {size}": float(np.median(rounds)) for (name, size), rounds in speeds.items()}
    limit = float(matrix_products.SIDE**3 / products / max(1, facts["macs"]))
    ours = {size: figures[f"{facts['label']}, batch {size}"] for size in sizes}
    ratios = {f"of the limit, batch {size}": speed / limit for size, speed in ours.items()}
    for (name, size), theirs in speeds.items():
        if name != facts["label"]:
            pairs = np.divide(speeds[facts["label"], size], theirs)
            ratios[f"to {name.removeprefix('peer: ')}, batch {size}"] = float(np.median(pairs))
    latency = {name: _latency(rounds) for (name, size), rounds in seconds.items() if size == 1}
    setup = {name: facts[name] for name in ("image_size", "num_labels", "params", "device")}
    setup |= {"GFLOPs": round(facts["macs"] / 1e9, 3), "threads": options.threads}
    for name, milliseconds in latency.items():
        setup[f"ms of {name}"] = "{median:.2f} (p95 {p95:.2f})".format(**milliseconds)
    figures[LIMIT] = limit
    result = {"part": "infer", "unit": "images/s", "setup": setup, "figures": figures, "ratios": ratios}
    return result | {"latency_ms": latency, "images_per_second": max(ours.values())}


def _latency(rounds: list[list[float]]) -> dict[str, float]:
    """Return median and 95th percentile of all calls, in milliseconds."""
    milliseconds = np.concatenate(rounds) * 1000
    return {"median": float(np.median(milliseconds)), "p95": float(np.quantile(milliseconds, 0.95))}


def _append(options: argparse.Namespace, saved: bool, facts: dict[str, Any], speed: float) -> None:
    """Add a row to the results table that --append names."""
    row = {
        "run_name": _run_name(pathlib.Path(options.model)) if saved else options.model,
        "definition_name": _variant(options.model, saved),
        "params": float(facts["params"]),
        "image_size": float(facts["image_size"]),
        "images_per_second": speed,
        "status": "measured",
        "command": f"python tools/bench.py {shlex.join(sys.argv[1:])}",
    }
    results_table.append(options.append, [row])


def _run_name(path: pathlib.Path) -> str:
    """Return the name that tools/predict.py gives the run."""
    if path.is_file() and path.stem not in ("best", "model"):
        return path.stem
    return (path if path.is_dir() else path.parent).resolve().name


# In processes of their own


def _our_model(
    backend: str | None,
    name: str,
    saved: bool,
    overrides: dict[str, Any],
    dtype: str | None,
    image_size: int,
    num_labels: int,
    batch_size: int,
) -> tuple[Callable[[int], np.ndarray], dict[str, Any]]:
    """Return a function ``batch size -> probabilities``, and facts about the model."""
    keras = import_keras(backend)
    from Models import summary
    from Utils.training import devices

    strategy = devices.find()
    model = _build(keras, name, saved, overrides, dtype, image_size, num_labels)
    model.compile(jit_compile=strategy.jit_compile)
    images = np.random.default_rng(0).random((batch_size, *model.input_shape[1:]), np.float32) * 255
    device = f"{keras.backend.backend()} {strategy.text.partition(',')[0]}"
    facts = {
        "label": pathlib.Path(name).name if saved else name,
        "device": device,
        "image_size": model.input_shape[1],
        "num_labels": model.output_shape[-1],
        "params": model.count_params(),
        "macs": summary.total_macs(model),
    }
    return lambda size: model.predict_on_batch(images[:size]), facts


def _build(
    keras: Any,
    name: str,
    saved: bool,
    overrides: dict[str, Any],
    dtype: str | None,
    image_size: int,
    num_labels: int,
) -> Any:
    """Return the model, which gives probabilities."""
    import Models

    if saved:
        return Models.load(name).model
    if dtype:
        keras.config.set_dtype_policy(dtype)
    return Models.build(name, image_size=image_size, num_labels=num_labels, **overrides)


def _export(
    file: pathlib.Path,
    name: str,
    saved: bool,
    overrides: dict[str, Any],
    _dtype: str | None,
    image_size: int,
    num_labels: int,
) -> tuple[None]:
    """Write the same model in float32 as releases have it; there is nothing to time."""
    keras = import_keras("tensorflow")
    from Utils.release import release_folder

    release_folder.require(["onnx"])
    model = _build(keras, name, saved, overrides, None, image_size, num_labels)
    release_folder.write_onnx(release_folder.released(model, np.arange(model.output_shape[-1])), file)
    return (None,)


def _onnx_model(file: pathlib.Path, image_size: int, batch_size: int) -> tuple[Callable[[int], np.ndarray]]:
    """Return a function ``batch size -> probabilities`` of onnxruntime."""
    session = onnx_tagger.open_session(file)
    shape = (batch_size, image_size, image_size, 3)
    images = np.random.default_rng(0).random(shape, np.float32) * 255
    name = session.get_inputs()[0].name
    return (lambda size: session.run(None, {name: images[:size]})[0],)
