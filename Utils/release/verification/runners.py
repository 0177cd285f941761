"""Runs every format of a release on images: each runner gives (probabilities, logits or None)."""

import importlib.util

import numpy as np

from Utils.files.atomic import read_json


def saved_model(path):
    """Return a runner of a TensorFlow SavedModel folder."""
    import keras

    layer = keras.layers.TFSMLayer(str(path), call_endpoint="serve")

    def run(images, batch_size=4):
        parts = [
            layer(images[at : at + batch_size].astype("float32")) for at in range(0, len(images), batch_size)
        ]
        return np.concatenate([np.asarray(_first(part)) for part in parts]), None

    return run


def _first(outputs):
    return outputs[0] if isinstance(outputs, (list, tuple)) else outputs


def litert(path):
    """Return a runner of a LiteRT file, image by image."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(path))
    place = interpreter.get_input_details()[0]["index"]
    size = interpreter.get_input_details()[0]["shape"][1:]
    interpreter.resize_tensor_input(place, [1, *size])
    interpreter.allocate_tensors()
    result = interpreter.get_output_details()[0]["index"]

    def run(images, batch_size=4):
        found = []
        for image in images:
            interpreter.set_tensor(place, image[None].astype("float32"))
            interpreter.invoke()
            found.append(interpreter.get_tensor(result)[0].copy())
        return np.stack(found), None

    return run


def timm_is_there():
    """Whether timm and torch are installed."""
    return all(importlib.util.find_spec(name) for name in ("torch", "timm", "safetensors"))


def timm(folder):
    """Return a runner of ``config.json`` and ``model.safetensors``, as wdv3 loads and feeds them.

    Raises ValueError where timm does not load them.
    """
    from safetensors.torch import load_file

    from Utils.bench import timm_peer

    torch = timm_peer.import_torch()
    import timm

    config = read_json(folder / "config.json")
    try:
        arguments = {"num_classes": config["num_classes"], **(config.get("model_args") or {})}
        model = timm.create_model(config["architecture"], **arguments)
        model.load_state_dict(load_file(str(folder / "model.safetensors")))
        published = config.get("pretrained_cfg", config)
        mean, deviation = (np.array(published[key], "float32") for key in ("mean", "std"))
    except Exception as error:  # torch, timm and safetensors raise kinds of their own
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(f"timm does not load it: {reason}") from error
    model.eval()
    turned = slice(None, None, -1) if config.get("input_order", "bgr") == "bgr" else slice(None)

    def run(images, batch_size=4):
        found = []
        for at in range(0, len(images), batch_size):
            rgb = images[at : at + batch_size, ..., ::-1].astype("float32")
            pixels = ((rgb / 255 - mean) / deviation)[..., turned].transpose(0, 3, 1, 2)
            with torch.no_grad():
                found.append(model(torch.from_numpy(np.ascontiguousarray(pixels))).numpy())
        logits = np.concatenate(found)
        return 1 / (1 + np.exp(-logits.astype("float64"))), logits

    return run
