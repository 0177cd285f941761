"""Runners of the formats other than ONNX: each takes images (N, S, S, 3) 0..255 BGR, returns (N, L)."""

import importlib.util
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np

from Utils.files.atomic import AnyPath, read_json

Runner = Callable[[np.ndarray], np.ndarray]
BATCH_SIZE = 4


def saved_model(path: AnyPath) -> Runner:
    """Return a runner of a TensorFlow SavedModel folder."""
    import keras

    layer = keras.layers.TFSMLayer(str(path), call_endpoint="serve")

    def run(images: np.ndarray) -> np.ndarray:
        outputs = [layer(batch.astype("float32")) for batch in _batches(images)]
        return np.concatenate([np.asarray(_first(output)) for output in outputs])

    return run


def _batches(images: np.ndarray) -> list[np.ndarray]:
    return [images[start : start + BATCH_SIZE] for start in range(0, len(images), BATCH_SIZE)]


def _first(outputs: Any) -> Any:
    return outputs[0] if isinstance(outputs, (list, tuple)) else outputs


def litert(path: AnyPath) -> Runner:
    """Return a runner of a LiteRT file, image by image."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(path))
    source = interpreter.get_input_details()[0]
    interpreter.resize_tensor_input(source["index"], [1, *source["shape"][1:]])
    interpreter.allocate_tensors()
    output = interpreter.get_output_details()[0]["index"]

    def run(images: np.ndarray) -> np.ndarray:
        rows = []
        for image in images:
            interpreter.set_tensor(source["index"], image[None].astype("float32"))
            interpreter.invoke()
            rows.append(interpreter.get_tensor(output)[0])  # a copy
        return np.stack(rows)

    return run


def timm_is_installed() -> bool:
    """Whether timm and what it needs are installed."""
    return all(importlib.util.find_spec(name) for name in ("torch", "timm", "safetensors"))


def timm(folder: AnyPath) -> Runner:
    """Return a runner of ``config.json`` and ``model.safetensors``, as wdv3 loads and feeds them.

    Raises ValueError where timm does not load them.
    """
    from safetensors.torch import load_file

    from Utils.bench import timm_peer

    torch = timm_peer.import_torch()
    import timm  # pyright: ignore[reportMissingImports]  optional

    folder = pathlib.Path(folder)
    config = read_json(folder / "config.json")
    try:
        arguments = {"num_classes": config["num_classes"], **(config.get("model_args") or {})}
        model = timm.create_model(config["architecture"], **arguments)
        model.load_state_dict(load_file(str(folder / "model.safetensors")))
        pretrained = config.get("pretrained_cfg", config)
        mean, deviation = (np.array(pretrained[key], "float32") for key in ("mean", "std"))
    except Exception as error:  # torch, timm and safetensors raise classes of their own
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(f"timm does not load it: {reason}") from error
    model.eval()
    channels = slice(None, None, -1) if config.get("input_order", "bgr") == "bgr" else slice(None)

    def run(images: np.ndarray) -> np.ndarray:
        logits = []
        for batch in _batches(images):
            rgb = batch[..., ::-1].astype("float32")
            pixels = ((rgb / 255 - mean) / deviation)[..., channels].transpose(0, 3, 1, 2)
            with torch.no_grad():
                logits.append(model(torch.from_numpy(np.ascontiguousarray(pixels))).numpy())
        return 1 / (1 + np.exp(-np.concatenate(logits).astype("float64")))

    return run
