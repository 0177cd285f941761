"""Weights of the original zoo into a model of this one, by the rules that each family keeps as data.

Formats: Keras 2 ``.h5`` (weights alone, or a whole model), a TensorFlow checkpoint prefix, and a SavedModel
folder, of which only ``variables/`` is read: no code of the file is run. The form of the rules is told in
``Models/porting/original_rules.py``. An import assigns everything or nothing.
"""

import dataclasses
import pathlib
import re

import h5py
import numpy as np

from Utils.command.cli import UserError
from Utils.command.text import join_names

CHECKPOINT_KEY = re.compile(r"(?:^|/)layer_with_weights-(\d+)/(.+)/\.ATTRIBUTES/VARIABLE_VALUE$")


@dataclasses.dataclass(frozen=True)
class Source:
    """What a weight file holds: arrays by (layer, weight), and the entries that are no model's weights.

    In an ``.h5`` file the layer is a name; in a checkpoint it is the number of a layer with weights.
    """

    path: str
    format: str  # "h5" or "checkpoint"
    arrays: dict[tuple[str | int, str], np.ndarray]
    skipped: tuple[str, ...]


def read(path):
    """Read an ``.h5`` file, a checkpoint prefix or a SavedModel folder as a ``Source``.

    Raises UserError that says what was looked for and what is there.
    """
    path = pathlib.Path(path)
    if path.suffix in (".h5", ".hdf5") and path.is_file():
        return _read_h5(path)
    return _read_checkpoint(_prefix(path))


def _read_h5(path):
    if not h5py.is_hdf5(path):
        raise UserError(f"{path} is no HDF5 file")
    with h5py.File(path, "r") as file:
        top = file.get("model_weights", file)
        if "layer_names" not in top.attrs:
            raise UserError(f"{path} is no Keras 2 weight file: its top level has no layer_names")
        arrays = {}
        for layer in _texts(top.attrs["layer_names"]):
            for name in _texts(top[layer].attrs["weight_names"]):
                weight = name.removeprefix(f"{layer}/").removesuffix(":0")
                arrays[layer, weight] = np.asarray(top[layer][name])
        skipped = tuple(key for key in file if key != "model_weights") if top is not file else ()
    return Source(str(path), "h5", arrays, skipped)


def _texts(values):
    return [value.decode() if isinstance(value, bytes) else str(value) for value in values]


def _prefix(path):
    """Return the checkpoint prefix that a path means: itself, or the variables of a folder."""
    for prefix in (path, path / "variables" / "variables", path / "variables"):
        if prefix.with_name(f"{prefix.name}.index").is_file():
            return prefix
    if path.is_dir():
        found = ", ".join(sorted(item.name for item in path.iterdir())[:8]) or "nothing"
        raise UserError(f"no variables/variables.index in the folder {path}; it holds {found}")
    raise UserError(
        f"no weights at {path}: an .h5 file, a TensorFlow checkpoint prefix (PREFIX.index beside it) "
        f"or a folder with variables/variables.index is expected"
    )


def _read_checkpoint(prefix):
    import tensorflow as tf

    try:
        reader = tf.train.load_checkpoint(str(prefix))
        keys = sorted(reader.get_variable_to_shape_map())
        arrays, skipped = {}, []
        for key in keys:
            match = CHECKPOINT_KEY.search(key)
            if match is None or ".OPTIMIZER_SLOT" in key or "keras_api/" in key:
                skipped.append(key)
            else:
                arrays[int(match[1]), match[2]] = reader.get_tensor(key)
    except (tf.errors.OpError, ValueError, RuntimeError) as error:
        raise UserError(f"{prefix} cannot be read as a TensorFlow checkpoint: {error}") from error
    return Source(str(prefix), "checkpoint", arrays, tuple(skipped))


def assign(model, rules, source):
    """Give every weight of ``model`` its value from ``source``; return the number of weights assigned.

    Args:
        model: a Keras model built by the family whose rules are given.
        rules: the family's ``IMPORT_RULES``.
        source: what ``read`` returned.

    Raises UserError, before anything is assigned, that lists the weights missing from the file, those left
    over in it, and those of another shape.
    """
    wanted = _wanted(model, rules, source.format)
    found = source.arrays if source.format == "checkpoint" else _recounted(source.arrays, rules)
    missing = [
        f"{variable.path} (from {_label(key)})" for key, variable in wanted.items() if key not in found
    ]
    left = [_label(key) for key in found if key not in wanted]
    if missing or left:
        raise UserError(
            f"{source.path} does not fit {model.name}. Missing from the file: {join_names(missing, 6)}. "
            f"Left over in the file: {join_names(left, 6)}. Check the model, its options and the number of "
            "labels."
        )
    values = {key: _shaped(found[key], variable, _label(key)) for key, variable in wanted.items()}
    for key, variable in wanted.items():
        variable.assign(values[key])
    return len(wanted)


def _label(key):
    layer, weight = key
    return f"layer_with_weights-{layer}/{weight}" if isinstance(layer, int) else f"{layer}/{weight}"


def _shaped(value, variable, label):
    """Reshape where only axes of length 1 or the split of a width into heads differ, else raise UserError."""
    if value.size != int(np.prod(variable.shape)):
        raise UserError(
            f"{label} has the shape {value.shape}, but {variable.path} needs {tuple(variable.shape)}"
        )
    return value.reshape(tuple(variable.shape))


def _wanted(model, rules, file_format):
    """Return ``{key in the file: our variable}`` for all weights of a model that are not random states."""
    counts, wanted = {}, {}
    for number, layer in enumerate(_in_forward_order(model)):
        rule, name, k = _matched(layer.name, rules, counts)
        for variable in layer.weights:
            ours = variable.path.split(f"{layer.name}/", 1)[1]
            theirs = rule[2].get(ours, (ours, ours))
            if file_format == "h5":
                wanted[name, _counted(theirs[0], k)] = variable
            else:
                wanted[number, theirs[1]] = variable
    return wanted


def _in_forward_order(model):
    """Layers with weights as the original counted them: a block's shortcut is the last of its block."""
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


def _is_weight(variable):
    return "seed_generator" not in variable.path


def _block(layer):
    return re.match(r"(stage\d+_block\d+|)", layer.name)[0]


def _matched(name, rules, counts):
    """Return (rule, the original's layer name, k) for one of our layers."""
    for index, rule in enumerate(rules):
        match = re.fullmatch(rule[0], name)
        if match:
            k = counts[index] = counts.get(index, -1) + 1
            return rule, _counted(match.expand(rule[1]), k), k
    raise UserError(f"no import rule of the family covers the layer {name}")


def _counted(text, k):
    for mark, number in (("{k}", k), ("{2k}", 2 * k), ("{2k+1}", 2 * k + 1)):
        text = text.replace(mark, f"_{number}" if number else "")
    return text


def _recounted(arrays, rules):
    """Let counted names begin at 0: the original counted through a session, a file may begin later."""
    layers = [re.sub(r"\{.*", "", rule[1]) for rule in rules if "{" in rule[1]]
    inner = [name.split("{")[0] for rule in rules for name, _ in rule[2].values() if "{" in name]
    layer_numbers = _ranks((layer for layer, _ in arrays), set(layers))
    inner_numbers = _ranks((weight.split("/")[0] for _, weight in arrays), set(inner))
    return {
        (layer_numbers.get(layer, layer), "/".join([inner_numbers.get(first, first), *rest])): value
        for (layer, weight), value in arrays.items()
        for first, *rest in [weight.split("/")]
    }


def _ranks(names, bases):
    """Return ``{name: base_rank}`` for names that are a base with a number, ranked by the number."""
    numbered = {}
    for name in dict.fromkeys(names):
        match = re.fullmatch(r"(.+?)(?:_(\d+))?", name)
        if match[1] in bases:
            numbered.setdefault(match[1], []).append((int(match[2] or 0), name))
    return {
        name: _counted(f"{base}{{k}}", rank)
        for base, found in numbered.items()
        for rank, (_, name) in enumerate(sorted(found))
    }
