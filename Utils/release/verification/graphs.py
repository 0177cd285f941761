"""An ONNX file as it is written: its inputs, outputs and versions (R2, R5), its size and its weights (R3)."""

import dataclasses
import pathlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from Utils.files.atomic import AnyPath
from Utils.release import quantization, release_folder
from Utils.release.verification.findings import EXTERNAL, FIXED_BATCH, LOGITS, Findings

if TYPE_CHECKING:
    import onnx

MAX_BYTES = 2**31 - 1
MAX_OPSET = 20  # of onnxruntime 1.17, which clients still run
KOHYA_SIDE = 448  # which kohya takes for granted


@dataclasses.dataclass(frozen=True)
class Graph:
    """An ONNX file, from `read`."""

    path: pathlib.Path
    model: "onnx.ModelProto"  # without external data
    image_size: int | None


def read(path: AnyPath) -> Graph:
    """Return the `Graph` of a file. Raises ValueError if it is not an ONNX file."""
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load(str(path), load_external_data=False)
        inputs = _inputs(model.graph)
        if not inputs or not model.graph.output:
            raise ValueError("a graph without inputs or outputs")
        _require_texts(model.graph)
    except (DecodeError, ValueError, OSError, RecursionError) as error:
        raise ValueError(f"no ONNX file: {error}") from error
    shape = _shape(inputs[0])
    return Graph(pathlib.Path(path), model, shape[1] if len(shape) == 4 else None)


def _require_texts(graph: "onnx.GraphProto") -> None:
    """Raise ValueError where a name is no UTF-8: protobuf gives bytes there."""
    names: list[Any] = [item.name for item in (*graph.input, *graph.output)]
    for tensor in _tensors(graph):
        names += [tensor.name, *(entry.value for entry in tensor.external_data)]
    for name in names:
        if not isinstance(name, str):
            raise ValueError(f"a name is no UTF-8: {name!r}")


def _inputs(graph: "onnx.GraphProto") -> "list[onnx.ValueInfoProto]":
    """Return the inputs that are not weights."""
    weights = {item.name for item in graph.initializer}
    return [item for item in graph.input if item.name not in weights]


def _shape(value: "onnx.ValueInfoProto") -> list[int | None]:
    """Return the shape of an input or output, None for a side of any length."""
    dims = value.type.tensor_type.shape.dim
    return [dim.dim_value if dim.HasField("dim_value") else None for dim in dims]


def check_file(graph: Graph, findings: Findings) -> bool:
    """R3: one file below 2 GB that holds all its weights; return whether the weights can be loaded."""
    size = graph.path.stat().st_size
    findings.note("R3", f"{size / 1e6:.1f} MB")
    if size > MAX_BYTES:
        findings.fail("R3", "the size of the file", "below 2 GB", f"{size / 1e9:.2f} GB")
    files_of = _external_files(graph.model)
    if files_of:
        named = ", ".join(sorted(set(files_of.values()))[:3])
        wrong = f"weights of {graph.path.name} lie in another file"
        allowed = "all in the one file that clients fetch"
        findings.fail("R3", wrong, allowed, f"{len(files_of)} tensors in {named}", EXTERNAL)
    return not files_of or _load_external(graph)


def _load_external(graph: Graph) -> bool:
    """Load the weights that lie in other files; return whether they are there."""
    from onnx import external_data_helper

    try:
        external_data_helper.load_external_data_for_model(graph.model, str(graph.path.parent))
    except Exception:  # onnx has classes of its own, which differ by version
        return False
    return True


def _external_files(model: "onnx.ModelProto") -> dict[str, str]:
    """Return ``{name of a tensor: file}`` of all tensors whose values lie in other files."""
    import onnx

    return {
        tensor.name or f"#{number}": next((e.value for e in tensor.external_data if e.key == "location"), "?")
        for number, tensor in enumerate(_tensors(model.graph))
        if tensor.data_location == onnx.TensorProto.EXTERNAL
    }


def _tensors(graph: "onnx.GraphProto") -> "Iterator[onnx.TensorProto]":
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


def check_interface(graph: Graph, num_tags: int | None, findings: Findings) -> None:
    """R2 and R5: inputs and outputs; ``num_tags`` is the length of the tag list, None where unknown."""
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
        length = "N" if num_tags is None else num_tags
        findings.fail("R2", "shape of the first output", f"(None, {length}), one a row", _shown(first))
    _check_versions(graph.model, findings)
    names = [item.name for item in outputs]
    allowed = [release_folder.PROBABILITIES, release_folder.EMBEDDING, "logits"]
    findings.note("R5", ", ".join(names))
    if names[0] != allowed[0] or len(set(names)) != len(names) or not set(names) <= set(allowed):
        fault = LOGITS if names[0] == "logits" else ""
        findings.fail(
            "R5", "names of the outputs", "prediction, then embedding, logits", ", ".join(names), fault
        )


def _check_versions(model: "onnx.ModelProto", findings: Findings) -> None:
    opset = max((item.version for item in model.opset_import if item.domain in ("", "ai.onnx")), default=0)
    for what, version, newest in (
        ("opset", opset, MAX_OPSET),
        ("IR version", model.ir_version, quantization.MAX_IR),
    ):
        if version > newest:
            findings.warn("R2", f"{what} is beyond onnxruntime 1.17, which clients run", newest, version)


def _check_image(image: "onnx.ValueInfoProto", findings: Findings) -> None:
    shape = _shape(image)
    side = shape[1] if len(shape) == 4 else None
    if len(shape) == 4 and shape[1] == 3 and shape[3] != 3:
        findings.fail("R2", "layout of the image", "NHWC, channels last", _shown(image))
    elif len(shape) != 4 or shape[3] != 3 or side is None or shape[2] != side:
        findings.fail("R2", "shape of the image", "(None, S, S, 3) with a fixed S", _shown(image))
    elif side != KOHYA_SIDE:
        findings.warn("R2", "kohya feeds images of 448 pixels only", KOHYA_SIDE, side)
    if image.name != release_folder.INPUT:
        findings.warn("R2", "imgutils feeds an input of one name only", release_folder.INPUT, image.name)


def _shown(value: "onnx.ValueInfoProto") -> str:
    return f"({', '.join(str(side) for side in _shape(value))})"


def _type(value: "onnx.ValueInfoProto") -> str:
    import onnx

    return onnx.TensorProto.DataType.Name(value.type.tensor_type.elem_type).lower()
