"""images/s and latency of a model: a run, a file or FAMILY/VARIANT, beside timm's or its own ONNX export.

Images come from NumPy and probabilities go back there, as in tools/predict.py; both sides take turns on the
same cores, each in a process of its own. The limit is what the model would do if all its multiply-adds ran at
the rate at which the backend multiplies large matrices. Latency is that of one image.
"""

import contextlib
import os
import pathlib
import shlex
import sys
import tempfile

import numpy as np

from Utils.bench import timing, timm_peer
from Utils.command.backend import prepare_backend
from Utils.command.cli import UserError, assignment
from Utils.evaluation import results_table
from Utils.serving import onnx_tagger

MATRIX = 2048  # side of the matrices of the limit
LEAST = 3  # calls of a round
ALIKE = 0.05  # the parameters of models of one shape differ by this share at most
LIMIT = "limit: large matrix products"


def add_arguments(made):
    """Declare the options."""
    made.add_argument("--model", default="ConvNext/T", metavar="RUN|FILE.keras|FAMILY/VARIANT")
    made.add_argument("--image-size", type=int, help="of FAMILY/VARIANT (224); a saved model has its own")
    made.add_argument("--num-labels", type=int, help="of FAMILY/VARIANT (2380)")
    made.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE", help="of FAMILY/VARIANT")
    made.add_argument("--dtype", help="dtype policy of FAMILY/VARIANT, such as mixed_bfloat16 (float32)")
    made.add_argument("--backend", choices=("tensorflow", "jax", "torch"), help="of Keras (KERAS_BACKEND)")
    made.add_argument("--batch-sizes", type=int, nargs="+", default=[1, 8, 32], help="(1 8 32)")
    made.add_argument("--rounds", type=int, default=4, help="rounds, each side once in each (4)")
    made.add_argument("--seconds", type=float, default=1.0, help="time of a figure in a round (1)")
    made.add_argument(
        "--threads", type=int, default=timing.cores(), help="cores that each side may use (all)"
    )
    made.add_argument(
        "--peer", metavar="timm|timm:NAME|onnxruntime",
        help="measure timm's model of the same shape on torch too, or the same model as it is released",
    )  # fmt: skip
    made.add_argument(
        "--append", type=pathlib.Path, metavar="CSV", help="add the highest images/s to a results table"
    )


def measure(options):
    """Measure a model's throughput at several batch sizes and its latency."""
    for name in ("rounds", "threads"):
        if getattr(options, name) < 1:
            raise UserError(f"--{name} must be at least 1; got {getattr(options, name)}")
    if min(options.batch_sizes) < 1 or not options.seconds > 0:
        raise UserError(f"batch sizes and seconds are above 0; got {options.batch_sizes}, {options.seconds}")
    saved = _saved(options)
    sizes = sorted({1, *options.batch_sizes})
    given = (options.model, saved, dict(assignment("--set", text) for text in options.set), options.dtype)
    shape = options.image_size or 224, options.num_labels or 2380
    released = options.peer == "onnxruntime"
    peer = None
    if options.peer is not None and not released:
        peer = timm_peer.name(_shape_name(options.model, saved), options.peer)
    with contextlib.ExitStack() as stack:

        def side(make, *arguments):
            return stack.enter_context(timing.Apart(options.threads, make, *arguments))

        ours = side(_our_model, options.backend, *given, *shape, sizes[-1])
        facts = ours.about[0]
        sides = {facts["label"]: (ours, sizes)}
        if peer:
            other = side(timm_peer.inference, peer, facts["image_size"], facts["num_labels"], sizes[-1])
            _require_same_shape(options.peer, facts, *other.about)
            sides[f"peer: {other.about[0]}"] = (other, sizes)
        if released:
            file = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()), "model.onnx")
            with timing.Apart(options.threads, _export, file, *given, *shape):
                pass  # keras leaves with its process
            sides["peer: onnxruntime"] = (side(_onnx_model, file, facts["image_size"], sizes[-1]), sizes)
        sides[LIMIT] = (side(_matrix_products, options.backend), [1])
        seconds = _rounds(sides, options)
    result = _result(facts, seconds, sizes, options)
    if options.append:
        _append(options, saved, facts, result["images_per_second"])
    return result


def _saved(options):
    """Return whether the model is a saved one; UserError where it is neither that nor of the zoo."""
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


def _shape_name(model, saved):
    """Return the FAMILY/VARIANT of a model."""
    if not saved:
        return model
    from Utils.recipe import initial_weights

    return initial_weights.find(model).model


def _require_same_shape(asked, facts, name, params):
    """Raise UserError where the peer that was looked up has not about as many parameters as our model."""
    if ":" not in asked and abs(params / facts["params"] - 1) > ALIKE:
        raise UserError(
            f"{name} has {params:,} parameters, {facts['label']} {facts['params']:,}: they are not of one "
            "shape; name another with --peer timm:NAME, or leave --peer out"
        )


def _rounds(sides, options):
    """Return the seconds of every call: ``{(side, batch size): [[...] a round]}``."""
    found = {(name, size): [] for name, (_, sizes) in sides.items() for size in sizes}
    calls = {}
    for name, size in found:
        sides[name][0].seconds(2, size)  # compiles
        once = min(sides[name][0].seconds(2, size))
        calls[name, size] = max(LEAST, round(options.seconds / once))
    for number in range(options.rounds):
        for name, size in list(found)[:: -1 if number % 2 else 1]:
            found[name, size].append(sides[name][0].seconds(calls[name, size], size))
    return found


def _result(facts, seconds, sizes, options):
    """Return the part's result of the seconds of every call, the facts of our model with it."""
    products = np.min(np.concatenate(seconds.pop((LIMIT, 1))))  # a limit is the best ever seen
    speeds = {key: [key[1] * len(part) / sum(part) for part in parts] for key, parts in seconds.items()}
    figures = {f"{name}, batch {size}": float(np.median(found)) for (name, size), found in speeds.items()}
    limit = float(MATRIX**3 / products / max(1, facts["macs"]))
    ours = {size: figures[f"{facts['label']}, batch {size}"] for size in sizes}
    ratios = {f"of the limit, batch {size}": speed / limit for size, speed in ours.items()}
    for (name, size), theirs in speeds.items():
        if name != facts["label"]:
            pairs = np.divide(speeds[facts["label"], size], theirs)
            ratios[f"to {name.removeprefix('peer: ')}, batch {size}"] = float(np.median(pairs))
    latency = {name: _latency(parts) for (name, size), parts in seconds.items() if size == 1}
    setup = {name: facts[name] for name in ("image_size", "num_labels", "params", "device")}
    setup |= {"GFLOPs": round(facts["macs"] / 1e9, 3), "threads": options.threads}
    setup |= {f"ms of {name}": f"{one['median']:.2f} (p95 {one['p95']:.2f})" for name, one in latency.items()}
    figures[LIMIT] = limit
    result = {"part": "infer", "unit": "images/s", "setup": setup, "figures": figures, "ratios": ratios}
    return result | {"latency_ms": latency, "images_per_second": max(ours.values())}


def _latency(rounds):
    """Return median and 95th percentile of all calls, in milliseconds."""
    calls = np.concatenate(rounds) * 1000
    return {"median": float(np.median(calls)), "p95": float(np.quantile(calls, 0.95))}


def _append(options, saved, facts, speed):
    row = {
        "run_name": _run_name(pathlib.Path(options.model)) if saved else options.model,
        "definition_name": _shape_name(options.model, saved),
        "params": float(facts["params"]),
        "image_size": float(facts["image_size"]),
        "images_per_second": speed,
        "status": "measured",
        "command": f"python tools/bench.py {shlex.join(sys.argv[1:])}",
    }
    results_table.append(options.append, [row])


def _run_name(path):
    """Return the name that tools/predict.py gives the run."""
    if path.is_file() and path.stem not in ("best", "model"):
        return path.stem
    return (path if path.is_dir() else path.parent).resolve().name


# In the processes apart


def _prepare_backend(backend):
    if backend:
        os.environ["KERAS_BACKEND"] = backend
    prepare_backend()
    import keras

    return keras


def _our_model(backend, model, saved, overrides, dtype, image_size, num_labels, batch_size):
    """Return a function ``batch size -> probabilities``, and what it is."""
    keras = _prepare_backend(backend)
    from Models import summary
    from Utils.training import devices

    found = devices.find()
    made = _made(keras, model, saved, overrides, dtype, image_size, num_labels)
    made.compile(jit_compile=found.jit_compile)
    images = np.random.default_rng(0).random((batch_size, *made.input_shape[1:]), np.float32) * 255
    device = f"{keras.backend.backend()} {found.text.partition(',')[0]}"
    facts = {
        "label": pathlib.Path(model).name if saved else model,
        "device": device,
        "image_size": made.input_shape[1],
        "num_labels": made.output_shape[-1],
        "params": made.count_params(),
        "macs": summary.total_macs(made),
    }
    return lambda size: made.predict_on_batch(images[:size]), facts


def _made(keras, model, saved, overrides, dtype, image_size, num_labels):
    import Models

    if saved:
        return Models.load(model).model
    if dtype:
        keras.config.set_dtype_policy(dtype)
    return Models.build(model, image_size=image_size, num_labels=num_labels, **overrides)


def _export(file, model, saved, overrides, _, image_size, num_labels):
    """Write the same model, in float32, as it is released; return nothing to call."""
    keras = _prepare_backend("tensorflow")
    from Utils.release import release_folder

    release_folder.require(["onnx"])
    made = _made(keras, model, saved, overrides, None, image_size, num_labels)
    release_folder.write_onnx(release_folder.released(made, np.arange(made.output_shape[-1])), file)
    return (None,)


def _onnx_model(file, image_size, batch_size):
    """Return a function ``batch size -> probabilities`` of onnxruntime."""
    session = onnx_tagger.open_session(file)
    shape = (batch_size, image_size, image_size, 3)
    images = np.random.default_rng(0).random(shape, np.float32) * 255
    name = session.get_inputs()[0].name
    return (lambda size: session.run(None, {name: images[:size]})[0],)


def _matrix_products(backend):
    """Return a function that multiplies two matrices of MATRIX rows and columns, float32."""
    keras = _prepare_backend(backend)
    matrix = keras.ops.convert_to_tensor(np.ones((MATRIX, MATRIX), np.float32))
    return (lambda _: float(keras.ops.convert_to_numpy(keras.ops.matmul(matrix, matrix)[0, 0])),)
