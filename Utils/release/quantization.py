"""Smaller files of an ONNX model: half precision, and 8-bit integers by the quantizers of onnxruntime.

Inputs and outputs stay float32, so that programs load them as they load the model itself.
"""

import pathlib
import tempfile

import numpy as np

MOST_IR = 9  # of onnxruntime 1.17, which clients still run
WEIGHTED = ("Conv", "MatMul", "Gemm")  # the operators whose weights are most of a model
BATCH = 8  # images at a time while the ranges of activations are measured


def write_float16(source, path):
    """Write an ONNX file with weights and activations in float16."""
    import onnx
    from onnxruntime.transformers import float16, onnx_model

    graph = float16.convert_float_to_float16(onnx.load(str(source)), keep_io_types=True)
    onnx_model.OnnxModel(graph).topological_sort()  # the casts of inputs were put last
    save(graph, path)


def kinds(source):
    """Return how an ONNX file can be quantized: "dynamic" pays where most of it are matrix products."""
    import onnx

    found = [node.op_type for node in onnx.load(str(source)).graph.node if node.op_type in WEIGHTED]
    return ("static", "dynamic") if found.count("Conv") < len(found) / 2 else ("static",)


def write_int8(source, path, images, kind):
    """Write an ONNX file whose convolutions and matrix products multiply 8-bit integers.

    Args:
        source: ONNX file in float32.
        path: where to write.
        images: (N, S, S, 3), on which "static" measures the ranges of activations.
        kind: "static", every range fixed beforehand, or "dynamic", each found in the image at hand, of matrix
            products only.

    Weights have a scale an output channel and 7 bits: on CPUs without VNNI sums of two products of 8 bits
    each are cut off at 16 bits. The first and the last weighted operator stay in float32.
    """
    import onnx
    from onnxruntime import quantization

    with tempfile.TemporaryDirectory() as folder:
        prepared, made = (str(pathlib.Path(folder, name)) for name in ("prepared.onnx", "made.onnx"))
        quantization.quant_pre_process(str(source), prepared, skip_symbolic_shape=True)
        common = {
            "per_channel": True,
            "reduce_range": True,
            "weight_type": quantization.QuantType.QInt8,
            "nodes_to_exclude": _ends(onnx.load(prepared)),
            "extra_options": {"MatMulConstBOnly": True},
        }
        if kind == "static":
            quantization.quantize_static(
                prepared,
                made,
                _reader(quantization.CalibrationDataReader, prepared, images),
                op_types_to_quantize=list(WEIGHTED),
                activation_type=quantization.QuantType.QUInt8,
                **common,
            )
        else:
            quantization.quantize_dynamic(prepared, made, op_types_to_quantize=["MatMul", "Gemm"], **common)
        save(onnx.load(made), path)


def save(graph, path):
    """Write an ONNX model as one file that onnxruntime 1.17 reads."""
    import onnx

    graph.ir_version = min(graph.ir_version, MOST_IR)
    onnx.checker.check_model(graph)
    onnx.save(graph, str(path))


def _ends(graph):
    """Return the names of the first and the last operator with weights."""
    weights = {tensor.name for tensor in graph.graph.initializer}
    names = [
        node.name for node in graph.graph.node if node.op_type in WEIGHTED and weights & set(node.input[1:])
    ]
    return [names[0], names[-1]] if names else []


def _reader(base, model, images):
    import onnxruntime

    name = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"]).get_inputs()[0].name

    class Reader(base):
        """Gives the images batch by batch; onnxruntime asks until None comes."""

        def __init__(self):
            self._starts = iter(range(0, len(images), BATCH))

        def get_next(self):
            start = next(self._starts, None)
            return None if start is None else {name: np.float32(images[start : start + BATCH])}

    return Reader()
