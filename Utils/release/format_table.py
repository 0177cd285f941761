"""The formats of a release: where each lies, and how far its probabilities may be from the Keras model's."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Tolerance:
    """How far a format may be from the Keras model on the same images."""

    maximum: float  # of the absolute differences of probabilities
    p999: float  # their 99.9th percentile
    f1: float  # loss of F1


@dataclasses.dataclass(frozen=True)
class ReleaseFormat:
    """One format of a release."""

    path: str  # below the release folder
    tolerance: Tolerance
    needs_labels: bool = False  # whether it rounds, so that it is judged on labeled images only


# Formats that compute the same in float32. The bound of F1 is loose: where probabilities are this near, only
# ties at the threshold can move F1, and on few images one tie moves it visibly.
FLOAT32 = Tolerance(1e-4, 1e-4, 0.01)
FORMATS = {
    "onnx": ReleaseFormat("model.onnx", FLOAT32),
    "saved_model": ReleaseFormat("extra/saved_model", FLOAT32),
    "litert": ReleaseFormat("extra/model.tflite", FLOAT32),
    "onnx_float16": ReleaseFormat("extra/onnx_float16/model.onnx", Tolerance(0.02, 0.005, 0.002), True),
    "onnx_int8": ReleaseFormat("extra/onnx_int8/model.onnx", Tolerance(0.3, 0.1, 0.01), True),
}
