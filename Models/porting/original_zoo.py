"""Imports weights of the original zoo into a model of this one, by the ``IMPORT_RULES`` of its family.

Formats: Keras 2 ``.h5`` (weights, or a model with weights), a TensorFlow checkpoint prefix, and a SavedModel
folder. Of the latter only ``variables/`` is read, so that no code of the file runs.
``Models/porting/original_rules.py`` explains the rules. An import assigns everything or nothing.
"""

import dataclasses
import itertools
import pathlib
import re
from collections.abc import Iterable, Sequence
from typing import Any

import h5py
import keras
import numpy as np

from Utils.command.cli import UserError
from Utils.command.text import join_names
from Utils.files import damage, hdf5_files
from Utils.files.model_files import HDF5_SUFFIXES

CHECKPOINT_KEY = re.compile(r"(?:^|/)layer_with_weights-(\d+)/(.+)/\.ATTRIBUTES/VARIABLE_VALUE$")


Key = tuple[str | int, str]  # of a weight in a file: (layer, name below the layer)
Rules = Sequence[tuple[str, str, dict[str, tuple[str, str]]]]


@dataclasses.dataclass(frozen=True)
class Source:
    """Content of a weight file: arrays by (layer, weight), and names of entries that are no weights.

    The layer is a name in an ``.h5`` file, the number of a layer with weights in a checkpoint.
    """

    path: str
    format: str  # "h5" or "checkpoint"
    arrays: dict[Key, np.ndarray]
    skipped: tuple[str, ...]


def read(path: str | pathlib.Path) -> Source:
    """Read an ``.h5`` file, a checkpoint prefix or a SavedModel folder as a ``Source``.

    Raises UserError that says what was looked for and what is there.
    """
    path = pathlib.Path(path)
    if path.suffix in HDF5_SUFFIXES and path.is_file():
        return _read_h5(path)
    return _read_checkpoint(_prefix(path))


def _read_h5(path: pathlib.Path) -> Source:
    hdf5_files.require_readable(path)
    with damage.named(path, "is damaged or no HDF5 file"), h5py.File(path, "r") as file:
        top: Any = file.get("model_weights", file)
        layers = _listed(top, "layer_names")
        if not layers:
            raise UserError(f"{path} is no Keras 2 weight file: its top level has no layer_names")
        arrays = {}
        for layer in layers:
            if layer not in top:
                raise UserError(f"{path} is damaged: it lists the layer {layer} and does not hold it")
            for name in _listed(top[layer], "weight_names"):
                if name not in top[layer]:
                    raise UserError(f"{path} is damaged: it lists {name} of {layer} and does not hold it")
                # Scopes may come before the layer's name: that of an outer model, or of a replica.
                weight = name.rsplit(f"{layer}/", 1)[-1].removesuffix(":0")
                arrays[layer, weight] = _array(top[layer][name])
        skipped = tuple(str(key) for key in file if key != "model_weights") if top is not file else ()
    return Source(str(path), "h5", arrays, skipped)


def _listed(group: Any, name: str) -> list[str]:
    """Return the names that Keras 2 stored with a group; it cut long lists into NAME0, NAME1 and so on."""
    if name in group.attrs:
        return _texts(group.attrs[name])
    parts = itertools.takewhile(lambda part: part in group.attrs, (f"{name}{i}" for i in itertools.count()))
    return [text for part in parts for text in _texts(group.attrs[part])]


def _array(dataset: h5py.Dataset) -> np.ndarray:
    if dataset.dtype.kind not in "biuf":
        raise ValueError(f"{dataset.name} holds {dataset.dtype}, no numbers")
    return np.asarray(dataset)


def _texts(values: Iterable[Any]) -> list[str]:
    return [value.decode() if isinstance(value, bytes) else str(value) for value in values]


def _prefix(path: pathlib.Path) -> pathlib.Path:
    """Return the checkpoint prefix for a path: itself, or the variables of a folder."""
    for prefix in (path, path / "variables" / "variables", path / "variables"):
        if prefix.with_name(f"{prefix.name}.index").is_file():
            return prefix
    if path.is_dir():
        content = ", ".join(sorted(item.name for item in path.iterdir())[:8]) or "nothing"
        raise UserError(f"no variables/variables.index in the folder {path}; it holds {content}")
    if path.suffix == ".keras" and path.is_file():
        raise UserError(
            f"{path} is a .keras file already; every command that takes a model takes it as it is"
        )
    raise UserError(
        f"no weights at {path}: an .h5 file, a TensorFlow checkpoint prefix (PREFIX.index beside it) "
        f"or a folder with variables/variables.index is expected"
    )


def _read_checkpoint(prefix: pathlib.Path) -> Source:
    import tensorflow as tf

    with damage.named(prefix, "cannot be read as a TensorFlow checkpoint"):
        reader = tf.train.load_checkpoint(str(prefix))
        keys = sorted(reader.get_variable_to_shape_map())
        arrays: dict[Key, np.ndarray] = {}
        skipped = []
        for key in keys:
            match = CHECKPOINT_KEY.search(key)
            if match is None or ".OPTIMIZER_SLOT" in key or "keras_api/" in key:
                skipped.append(key)
            else:
                arrays[int(match[1]), match[2]] = reader.get_tensor(key)
    return Source(str(prefix), "checkpoint", arrays, tuple(skipped))


def assign(model: keras.Model, rules: Rules, source: Source) -> int:
    """Give every weight of ``model`` its value from ``source``; return the number of weights assigned.

    Args:
        model: a model of the family.
        rules: the ``IMPORT_RULES`` of the family.
        source: what ``read`` returned.

    Raises UserError, before anything is assigned, that lists weights missing from the file, weights left over
    in it, and weights of another shape.
    """
    variables = weight_keys(model, rules, source.format)
    arrays = source.arrays if source.format == "checkpoint" else _renumbered(source.arrays, rules)
    missing = [f"{variables[key].path} (from {_label(key)})" for key in variables if key not in arrays]
    unused = [_label(key) for key in arrays if key not in variables]
    if missing or unused:
        raise UserError(
            f"{source.path} does not fit {model.name}. Missing from the file: {join_names(missing, 6)}. "
            f"Left over in the file: {join_names(unused, 6)}. Check the model, its options and the number of "
            "labels."
        )
    # All shapes are checked before the first assignment, so that an error leaves the model as it was.
    values = {key: _reshaped(arrays[key], variable, _label(key)) for key, variable in variables.items()}
    for key, variable in variables.items():
        variable.assign(values[key])
    return len(variables)


def _label(key: Key) -> str:
    layer, weight = key
    return f"layer_with_weights-{layer}/{weight}" if isinstance(layer, int) else f"{layer}/{weight}"


def _reshaped(value: np.ndarray, variable: keras.Variable, label: str) -> np.ndarray:
    """Return a value in the shape of a variable; UserError if their sizes differ."""
    if value.size != int(np.prod(variable.shape)):
        raise UserError(
            f"{label} has the shape {value.shape}, but {variable.path} needs {tuple(variable.shape)}"
        )
    return value.reshape(tuple(variable.shape))


def weight_keys(model: keras.Model, rules: Rules, file_format: str) -> dict[Key, keras.Variable]:
    """Return ``{key in a file of that format: our variable}`` for all weights of a model."""
    counts: dict[int, int] = {}
    variables: dict[Key, keras.Variable] = {}
    for number, layer in enumerate(_in_forward_order(model)):
        renamed, name, k = _match(layer.name, rules, counts)
        for variable in layer.weights:
            ours = variable.path.split(f"{layer.name}/", 1)[1]
            in_h5, in_checkpoint = renamed.get(ours, (ours, ours))
            key = (name, _numbered(in_h5, k)) if file_format == "h5" else (number, in_checkpoint)
            variables[key] = variable
    return variables


def _in_forward_order(model: keras.Model) -> list[keras.layers.Layer]:
    """Return the layers with weights as the original counted them: a shortcut is the last of its block."""
    layers = [layer for layer in model.layers if any(_is_weight(variable) for variable in layer.weights)]
    ordered, shortcut = [], None
    for layer in layers:
        if shortcut is not None and _block(layer) != _block(shortcut):
            ordered.append(shortcut)
            shortcut = None
        if layer.name.endswith("_shortcut"):
            shortcut = layer
        else:
            ordered.append(layer)
    return ordered if shortcut is None else [*ordered, shortcut]


def _is_weight(variable: keras.Variable) -> bool:
    return "seed_generator" not in variable.path  # the state of a random layer


def _block(layer: keras.layers.Layer) -> str:
    block = re.match(r"stage\d+_block\d+", layer.name)
    return block[0] if block else ""


def _match(name: str, rules: Rules, counts: dict[int, int]) -> tuple[dict[str, tuple[str, str]], str, int]:
    """Return (renamed weights, the original's layer name, k) for one of our layers; count k up."""
    for index, (pattern, original, renamed) in enumerate(rules):
        match = re.fullmatch(pattern, name)
        if match:
            k = counts[index] = counts.get(index, -1) + 1
            return renamed, _numbered(match.expand(original), k), k
    raise UserError(f"no import rule of the family covers the layer {name}")


def _numbered(text: str, k: int) -> str:
    """Replace ``{k}``, ``{2k}`` and ``{2k+1}`` by "_number", by "" for 0."""
    for mark, number in (("{k}", k), ("{2k}", 2 * k), ("{2k+1}", 2 * k + 1)):
        text = text.replace(mark, f"_{number}" if number else "")
    return text


def _renumbered(arrays: dict[Key, np.ndarray], rules: Rules) -> dict[Key, np.ndarray]:
    """Let numbered names begin at 0: Keras 2 numbered through a session, so that a file may begin later."""
    layers = [re.sub(r"\{.*", "", rule[1]) for rule in rules if "{" in rule[1]]
    inner = [name.split("{")[0] for rule in rules for name, _ in rule[2].values() if "{" in name]
    layer_names = _ranks((str(layer) for layer, _ in arrays), set(layers))
    inner_names = _ranks((weight.split("/")[0] for _, weight in arrays), set(inner))
    return {
        (layer_names.get(str(layer), layer), "/".join([inner_names.get(first, first), *rest])): value
        for (layer, weight), value in arrays.items()
        for first, *rest in [weight.split("/")]
    }


def _ranks(names: Iterable[str], bases: set[str]) -> dict[str, str]:
    """Return ``{name: base_rank}`` for names that are a base with a number, ranked by the number."""
    numbered: dict[str, list[tuple[int, str]]] = {}
    for name in dict.fromkeys(names):
        match = re.fullmatch(r"(.+?)(?:_(\d+))?", name)
        if match and match[1] in bases:
            numbered.setdefault(match[1], []).append((int(match[2] or 0), name))
    return {
        name: _numbered(f"{base}{{k}}", rank)
        for base, pairs in numbered.items()
        for rank, (_, name) in enumerate(sorted(pairs))
    }
