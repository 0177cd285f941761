"""ONNX files on the CPU: the first output for any number of images, errors as ValueError."""

import numpy as np

from Utils.files.atomic import AnyPath


class OnnxRunner:
    """Runs an ONNX file with onnxruntime on the CPU, where every machine computes the same.

    Raises ValueError where onnxruntime refuses the file.
    """

    def __init__(self, path: AnyPath) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4  # what goes wrong is raised
        try:
            self.session = onnxruntime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"], enable_fallback=0
            )
        except Exception as error:  # onnxruntime has a class for each of its states
            raise ValueError(f"onnxruntime refuses it: {_first_line(error)}") from error
        self.input = self.session.get_inputs()[0]
        self.output = self.session.get_outputs()[0].name
        fixed = self.input.shape[0]
        self.fixed_batch: int | None = fixed if isinstance(fixed, int) else None

    def __call__(self, images: np.ndarray, batch_size: int = 4) -> np.ndarray:
        """Return the first output (N, L) for images (N, S, S, 3).

        A fixed batch of the file goes before ``batch_size``. Raises ValueError where onnxruntime fails.
        """
        size = self.fixed_batch or batch_size
        return np.concatenate([self._run(images[at : at + size], size) for at in range(0, len(images), size)])

    def _run(self, images: np.ndarray, size: int) -> np.ndarray:
        """Run one batch; filled up where the file takes batches of one size only."""
        count = len(images)
        if self.fixed_batch and count < size:
            images = np.concatenate([images, np.repeat(images[-1:], size - count, axis=0)])
        feed = {self.input.name: np.ascontiguousarray(images, "float32")}
        try:
            return np.asarray(self.session.run([self.output], feed)[0])[:count]
        except Exception as error:  # as above
            raise ValueError(f"onnxruntime fails at {len(images)} images: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]


def run(path: AnyPath, images: np.ndarray, batch_size: int = 4) -> np.ndarray:
    """Return the first output (N, L) of an ONNX file for images (N, S, S, 3)."""
    return OnnxRunner(path)(images, batch_size)
