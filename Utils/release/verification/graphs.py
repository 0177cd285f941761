"""An ONNX file as it is written: R2, R3, R5, the constants and the kinds of GELU in it, and how it runs."""

import collections
import dataclasses
import pathlib

import numpy as np

from Utils.release import release_folder
from Utils.release.verification.findings import EXTERNAL, FIXED_BATCH, LOGITS

MOST_BYTES = 2**31 - 1
MOST_OPSET = 20  # of onnxruntime 1.17, which clients still run
MOST_IR = 9  # the same
CLIENTS_SIDE = 448  # which kohya takes for granted
LARGEST_EPSILON = 0.05
_ROOTS = ("Sqrt", "Rsqrt")


@dataclasses.dataclass(frozen=True)
class Graph:
    """What an ONNX file says; made by `read`."""

    path: pathlib.Path
    model: object  # ModelProto, without external data
    image_size: int | None
    num_outputs: int | None


def read(path):
    """Return the `Graph` of a file; raise ValueError where it is none."""
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load(str(path), load_external_data=False)
        inputs = _inputs(model.graph)
        if not inputs or not model.graph.output:
            raise ValueError("a graph without inputs or outputs")
    except (DecodeError, ValueError, OSError) as error:
        raise ValueError(f"no ONNX file: {error}") from error
    shape, out = _shape(inputs[0]), _shape(model.graph.output[0])
    size = shape[1] if len(shape) == 4 and isinstance(shape[1], int) else None
    width = out[1] if len(out) == 2 and isinstance(out[1], int) else None
    return Graph(pathlib.Path(path), model, size, width)


def _inputs(graph):
    """Return the inputs that are not weights."""
    weights = {item.name for item in graph.initializer}
    return [item for item in graph.input if item.name not in weights]


def _shape(value):
    """Return the shape of an input or output: numbers, None where any is allowed."""
    dims = value.type.tensor_type.shape.dim
    return [dim.dim_value if dim.HasField("dim_value") else None for dim in dims]


def check_file(graph, findings):
    """R3: one file below 2 GB that holds all its weights; whether it does."""
    size = graph.path.stat().st_size
    findings.note("R3", f"{size / 1e6:.1f} MB")
    if size > MOST_BYTES:
        findings.fail("R3", "the size of the file", "below 2 GB", f"{size / 1e9:.2f} GB")
    outside = _external(graph.model)
    if outside:
        named = ", ".join(sorted(set(outside.values()))[:3])
        wrong = f"weights of {graph.path.name} lie in another file"
        allowed = "all in the one file that clients fetch"
        findings.fail("R3", wrong, allowed, f"{len(outside)} tensors in {named}", EXTERNAL)
    return not outside or _fetched(graph)


def _fetched(graph):
    """Load the weights that lie elsewhere; whether they are there."""
    from onnx import external_data_helper

    try:
        external_data_helper.load_external_data_for_model(graph.model, str(graph.path.parent))
    except Exception:  # of onnx' own kinds, which differ by version
        return False
    return True


def _external(model):
    """Return ``{name of a tensor: file}`` of all tensors whose values lie elsewhere."""
    import onnx

    return {
        tensor.name or f"#{number}": next((e.value for e in tensor.external_data if e.key == "location"), "?")
        for number, tensor in enumerate(_tensors(model.graph))
        if tensor.data_location == onnx.TensorProto.EXTERNAL
    }


def _tensors(graph):
    """Yield every tensor of a graph and of the graphs in it."""
    yield from graph.initializer
    for item in graph.sparse_initializer:
        yield from (item.values, item.indices)
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
            for inner in (*((attribute.g,) if attribute.HasField("g") else ()), *attribute.graphs):
                yield from _tensors(inner)


def check_interface(graph, num_tags, findings):
    """R2 and R5: what goes in, what comes out; ``num_tags`` rows of the tag list, None where unknown."""
    inputs, outputs = _inputs(graph.model.graph), list(graph.model.graph.output)
    image, first = inputs[0], outputs[0]
    findings.note("R2", f"{image.name} {_shown(image)} to {first.name} {_shown(first)}")
    if len(inputs) > 1 or graph.model.graph.input[0].name != image.name:
        came = ", ".join(item.name for item in graph.model.graph.input)
        findings.fail("R2", "the image is not the only input", "one input", came)
    _check_image(image, findings)
    for value in (image, first):
        if value.type.tensor_type.elem_type != 1:
            findings.fail("R2", f"type of {value.name}", "float32", _type(value))
        shape = _shape(value)
        if shape and shape[0] is not None:
            findings.fail("R2", f"the batch of {value.name} is fixed", "any number of images",
                          f"{shape[0]}", FIXED_BATCH)  # fmt: skip
    if len(_shape(first)) != 2 or (num_tags is not None and _shape(first)[1] not in (None, num_tags)):
        wanted = "N" if num_tags is None else num_tags
        findings.fail("R2", "shape of the first output", f"(None, {wanted}), one a row", _shown(first))
    _check_versions(graph.model, findings)
    names = [item.name for item in outputs]
    known = [release_folder.PROBABILITIES, release_folder.EMBEDDING, "logits"]
    findings.note("R5", ", ".join(names))
    if names[0] != known[0] or len(set(names)) != len(names) or not set(names) <= set(known):
        wrong = LOGITS if names[0] == "logits" else ""
        findings.fail(
            "R5", "names of the outputs", "prediction, then embedding, logits", ", ".join(names), wrong
        )


def _check_versions(model, findings):
    opset = max((one.version for one in model.opset_import if one.domain in ("", "ai.onnx")), default=0)
    for what, version, most in (("opset", opset, MOST_OPSET), ("IR version", model.ir_version, MOST_IR)):
        if version > most:
            findings.warn("R2", f"{what} is beyond onnxruntime 1.17, which clients run", most, version)


def _check_image(image, findings):
    shape = _shape(image)
    side = shape[1] if len(shape) == 4 else None
    if len(shape) == 4 and shape[1] == 3 and shape[3] != 3:
        findings.fail("R2", "layout of the image", "NHWC, channels last", _shown(image))
    elif len(shape) != 4 or shape[3] != 3 or side is None or shape[2] != side:
        findings.fail("R2", "shape of the image", "(None, S, S, 3) with a fixed S", _shown(image))
    elif side != CLIENTS_SIDE:
        findings.warn("R2", "kohya feeds images of 448 pixels only", CLIENTS_SIDE, side)
    if image.name != release_folder.INPUT:
        findings.warn("R2", "imgutils feeds an input of one name only", release_folder.INPUT, image.name)


def _shown(value):
    return f"({', '.join(str(side) for side in _shape(value))})"


def _type(value):
    import onnx

    return onnx.TensorProto.DataType.Name(value.type.tensor_type.elem_type).lower()


class Runner:
    """Runs an ONNX file on the CPU: its first output and, where that is a sigmoid, what the sigmoid sees.

    Raises ValueError where onnxruntime refuses the file.
    """

    def __init__(self, path):
        import onnx
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        try:
            model = onnx.load(str(path))
            self.logits = _before_sigmoid(model.graph)
            if self.logits is not None:
                _also_give(model.graph, self.logits)
            self.session = onnxruntime.InferenceSession(
                model.SerializeToString(), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime has a class for each of its states
            raise ValueError(f"onnxruntime refuses it: {_first_line(error)}") from error
        self.input = self.session.get_inputs()[0]
        self.output = self.session.get_outputs()[0].name
        fixed = self.input.shape[0]
        self.batch = fixed if isinstance(fixed, int) else None

    def __call__(self, images, batch_size=4):
        """Return the first output and the logits (None where there are none) of (N, S, S, 3) images."""
        names = [self.output] if self.logits is None else [self.output, self.logits]
        size = self.batch or batch_size
        parts = [self._run(names, images[at : at + size], size) for at in range(0, len(images), size)]
        found = [np.concatenate(values) for values in zip(*parts, strict=True)]
        return found[0], (found[1] if len(found) > 1 else None)

    def _run(self, names, images, size):
        """Run one batch; filled up where the file takes batches of one size only."""
        count = len(images)
        if self.batch and count < size:
            images = np.concatenate([images, np.repeat(images[-1:], size - count, axis=0)])
        try:
            found = self.session.run(names, {self.input.name: np.ascontiguousarray(images, "float32")})
        except Exception as error:  # as above
            raise ValueError(f"onnxruntime fails at {len(images)} images: {_first_line(error)}") from error
        return [value[:count] for value in found]


def _also_give(graph, name):
    """Make a value of a graph one of its outputs."""
    import onnx

    if name not in [value.name for value in graph.output]:
        graph.output.append(onnx.ValueInfoProto(name=name))  # onnxruntime finds the type by itself


def _first_line(error):
    return str(error).strip().splitlines()[0][:200]


def _before_sigmoid(graph):
    """Return the name of what the first output is the sigmoid of, None where it is no sigmoid."""
    makers = {name: node for node in graph.node for name in node.output}
    node = makers.get(graph.output[0].name)
    while node is not None and node.op_type in ("Identity", "Cast"):
        node = makers.get(node.input[0])
    return node.input[0] if node is not None and node.op_type == "Sigmoid" else None


@dataclasses.dataclass(frozen=True)
class Marks:
    """Traces that normalizations and GELUs leave in a graph."""

    epsilons: collections.Counter  # value -> how many roots or normalizations have it
    erf: int
    tanh: int


def marks(model):
    """Return the `Marks` of a ModelProto."""
    values = _scalars(model.graph)
    users = collections.defaultdict(list)
    for node in model.graph.node:
        for name in node.input:
            users[name].append(node)
    epsilons, kinds = collections.Counter(), collections.Counter()
    for node in model.graph.node:
        kinds[_kind(node)] += 1
        for attribute in node.attribute:
            if attribute.name == "epsilon" and node.op_type.endswith("Normalization"):
                epsilons[_round(attribute.f)] += 1
        if node.op_type == "Add":
            found = [values[name] for name in node.input if 0 < values.get(name, 0) <= LARGEST_EPSILON]
            if found and any(user.op_type in _ROOTS for user in users[node.output[0]]):
                epsilons[_round(found[0])] += 1
    return Marks(epsilons, kinds["Erf"], kinds["Tanh"])


def _kind(node):
    if node.op_type in ("Gelu", "FastGelu", "BiasGelu"):
        tanh = any(item.name == "approximate" and item.s == b"tanh" for item in node.attribute)
        return "Tanh" if tanh or node.op_type == "FastGelu" else "Erf"
    return node.op_type


def _scalars(graph):
    """Return ``{name: value}`` of all constants of one number."""
    from onnx import numpy_helper

    found = {}
    for tensor in graph.initializer:
        if np.prod(tensor.dims) == 1:
            found[tensor.name] = tensor
    for node in graph.node:
        if node.op_type == "Constant":
            for attribute in node.attribute:
                if attribute.name == "value" and np.prod(attribute.t.dims) == 1:
                    found[node.output[0]] = attribute.t
    return {name: float(numpy_helper.to_array(tensor).ravel()[0]) for name, tensor in found.items()
            if tensor.data_type in (1, 10, 11)}  # fmt: skip


def _round(value):
    """Return a constant to the digits that float32 keeps."""
    return float(f"{value:.4g}")
