"""Smaller files of an ONNX model: half precision, and 8-bit integers by the quantizers of onnxruntime.

Inputs and outputs stay float32, so that programs load them as they load the model itself.
"""

import pathlib
import tempfile
from typing import TYPE_CHECKING, Any

import numpy as np

from Utils.files.atomic import AnyPath

if TYPE_CHECKING:
    import onnx

MAX_IR = 9  # of onnxruntime 1.17, which clients still run
WEIGHTED = ("Conv", "MatMul", "Gemm")  # the operators whose weights are most of a model
BATCH_SIZE = 8  # images at a time while the ranges of activations are measured


def write_float16(source: AnyPath, path: AnyPath) -> None:
    """Write an ONNX file with weights and activations in float16."""
    import onnx
    from onnxruntime.transformers import float16, onnx_model

    graph = float16.convert_float_to_float16(onnx.load(str(source)), keep_io_types=True)
    onnx_model.OnnxModel(
        graph
    ).topological_sort()  # onnx.checker wants it: the converter appends the casts of the inputs
    save(graph, path)


def kinds(source: AnyPath) -> tuple[str, ...]:
    """Return the kinds of quantization to try on an ONNX file: "static", and "dynamic" for transformers.

    Dynamic quantization covers matrix products only, so it pays where they are most of the weights.
    """
    import onnx

    types = [node.op_type for node in onnx.load(str(source)).graph.node if node.op_type in WEIGHTED]
    return ("static", "dynamic") if types.count("Conv") < len(types) / 2 else ("static",)


def write_int8(source: AnyPath, path: AnyPath, images: np.ndarray, kind: str) -> None:
    """Write an ONNX file whose convolutions and matrix products multiply 8-bit integers.

    Args:
        source: ONNX file in float32.
        path: where to write.
        images: (N, S, S, 3), on which "static" measures the ranges of activations.
        kind: "static" fixes every range beforehand; "dynamic" measures them on the image at hand, and
            quantizes matrix products only.

    Weights have one scale for each output channel, and 7 bits: on CPUs without VNNI the sum of two products
    of 8 bits saturates at 16 bits. The first and the last weighted operator stay in float32, where rounding
    costs most.
    """
    import onnx
    from onnxruntime import quantization

    with tempfile.TemporaryDirectory() as folder:
        prepared, quantized = (
            str(pathlib.Path(folder, f"{name}.onnx")) for name in ("prepared", "quantized")
        )
        quantization.quant_pre_process(str(source), prepared, skip_symbolic_shape=True)
        common: dict[str, Any] = {
            "per_channel": True,
            "reduce_range": True,
            "weight_type": quantization.QuantType.QInt8,
            "nodes_to_exclude": _ends(onnx.load(prepared)),
            "extra_options": {"MatMulConstBOnly": True},
        }
        if kind == "static":
            quantization.quantize_static(
                prepared,
                quantized,
                _reader(quantization.CalibrationDataReader, prepared, images),
                op_types_to_quantize=list(WEIGHTED),
                activation_type=quantization.QuantType.QUInt8,
                **common,
            )
        else:
            quantization.quantize_dynamic(
                prepared, quantized, op_types_to_quantize=["MatMul", "Gemm"], **common
            )
        save(onnx.load(quantized), path)


def save(model: "onnx.ModelProto", path: AnyPath) -> None:
    """Write an ONNX model as one file that onnxruntime 1.17 reads."""
    import onnx

    model.ir_version = min(model.ir_version, MAX_IR)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))


def _ends(model: "onnx.ModelProto") -> list[str]:
    """Return the names of the first and the last operator with weights."""
    weights = {tensor.name for tensor in model.graph.initializer}
    names = [
        node.name for node in model.graph.node if node.op_type in WEIGHTED and weights & set(node.input[1:])
    ]
    return [names[0], names[-1]] if names else []


def _reader(base: type, model: str, images: np.ndarray) -> Any:
    import onnxruntime

    name = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"]).get_inputs()[0].name

    class Reader(base):
        """Gives the images batch by batch; onnxruntime asks until None comes."""

        def __init__(self) -> None:
            self._starts = iter(range(0, len(images), BATCH_SIZE))

        def get_next(self) -> dict[str, np.ndarray] | None:
            start = next(self._starts, None)
            return None if start is None else {name: images[start : start + BATCH_SIZE].astype(np.float32)}

    return Reader()
