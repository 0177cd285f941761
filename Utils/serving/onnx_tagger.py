"""Taggers as their users run them: a release folder through onnxruntime, pictures in, probabilities out.

A release is ``model.onnx`` with ``selected_tags.csv``, ours or any other that the clients of WD's taggers
read: NHWC, 0..255 BGR, probabilities in the first output. Neither keras nor tensorflow is needed for it.
"""

import importlib.util
import os
import pathlib

import numpy as np

from Utils.command.cli import UserError, WorkError
from Utils.files.atomic import read_json
from Utils.tags import tag_list

MODEL, TAGS = "model.onnx", "selected_tags.csv"
PROVIDERS = ("CUDAExecutionProvider", "ROCMExecutionProvider", "DmlExecutionProvider", "CPUExecutionProvider")
_DTYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(uint8)": np.uint8}


class Tagger:
    """A model that turns prepared pictures into probabilities; row i of ``tags`` is output i.

    Args:
        folder: where thresholds of the model may lie.
        tag_list: DataFrame of selected_tags.csv.
        image_size: side of the model's input.
        run: function (B, S, S, 3) uint8 BGR -> (B, L).
        fixed_batch: the only B that ``run`` takes, None for any.
    """

    def __init__(self, folder, tags, image_size, run, fixed_batch=None):
        self.folder, self.tags, self.image_size = pathlib.Path(folder), tags, image_size
        self.fixed_batch, self._run = fixed_batch, run

    @property
    def name(self):
        """The folder's name."""
        return self.folder.resolve().name

    def probabilities(self, pictures):
        """Return (B, L) float32 for pictures (B, S, S, 3) uint8 BGR, as `Utils.images.codec.prepare` makes
        them.

        Raises WorkError where the model fails or gives what is no probability.
        """
        step = self.fixed_batch or max(1, len(pictures))
        parts = [self._part(pictures[at : at + step], step) for at in range(0, len(pictures), step)]
        return np.concatenate(parts) if parts else np.zeros((0, len(self.tags)), np.float32)

    def _part(self, pictures, size):
        missing = size - len(pictures)
        if missing:
            pictures = np.pad(pictures, ((0, missing), (0, 0), (0, 0), (0, 0)))
        found = np.asarray(self._run(pictures), np.float32)
        if found.shape != (size, len(self.tags)):
            raise WorkError(f"{self.folder}: {found.shape} came from the model for {size} pictures")
        if not (found.min(initial=0) >= 0 and found.max(initial=0) <= 1):  # NaN fails too
            raise WorkError(
                f"{self.folder}: the model's first output must be probabilities, 0 to 1; it reaches from "
                f"{found.min():.3g} to {found.max():.3g}. Were logits exported?"
            )
        return found[: size - missing]


def is_release(path):
    """Whether a path is a release: a folder with model.onnx, or that file."""
    path = pathlib.Path(path)
    return path.name == MODEL or (path / MODEL).is_file()


def load(path, load_keras, threads=None):
    """Return the Tagger at ``path``: a release, or what ``load_keras(path)`` gives for a run or .keras file.

    Args:
        path: folder or file.
        load_keras: `Models.load`, behind a function, because importing it takes seconds.
        threads: of onnxruntime; all cores if not given.
    """
    if is_release(path):
        return open_release(path, threads)
    path = pathlib.Path(path)
    runs = [*path.glob("*.keras"), *path.glob("extra/keras/*.keras")]
    if path.suffix != ".keras" and not runs:
        raise UserError(
            f"a release folder was expected at {path}, with {MODEL} and {TAGS}, or a run folder or .keras "
            f"file; found {_content(path)}"
        )
    return _of_keras(path, load_keras(path))


def _content(path):
    if not path.is_dir():
        return "a file" if path.exists() else "nothing"
    names = sorted(item.name for item in path.iterdir())
    return f"{', '.join(names[:8])}{', ...' if len(names) > 8 else ''}" if names else "an empty folder"


def _of_keras(path, loaded):
    if loaded.tags is None:
        raise UserError(f"{path} has no {TAGS} beside it, so its outputs have no names")
    folder = path if path.is_dir() else path.parent
    run = loaded.model.predict_on_batch
    return Tagger(folder, loaded.tags, loaded.image_size, lambda pictures: run(pictures.astype(np.float32)))


def open_release(path, threads=None):
    """Return the Tagger of a release folder (or of its model.onnx), tried on one white picture.

    Raises UserError for what is missing, for a model that is none, whose input is not (B, S, S, 3), or whose
    outputs are not one probability for every row of selected_tags.csv.
    """
    path = pathlib.Path(path)
    folder = path.parent if path.is_file() else path
    tags = tag_list.read(_tags_beside(folder))
    session = session_of(folder / MODEL, threads)
    source = _one_input(folder, session)
    batch, side, dtype = _checked_input(folder, source)
    width = session.get_outputs()[0].shape[-1]
    if isinstance(width, int) and width != len(tags):
        raise UserError(f"{folder}: {TAGS} has {len(tags)} rows, but {MODEL} gives {width} probabilities")
    name, first = source.name, session.get_outputs()[0].name
    flip = slice(None, None, -1) if _is_rgb(folder) else slice(None)

    def run(pictures):
        given = np.ascontiguousarray(pictures[..., flip], dtype)
        try:
            return session.run([first], {name: given})[0]
        except Exception as error:  # onnxruntime's errors share no base
            raise WorkError(f"{folder / MODEL} failed: {_first_line(error)}") from error

    tagger = Tagger(folder, tags, side, run, batch)
    try:
        tagger.probabilities(np.full((1, side, side, 3), 255, np.uint8))
    except WorkError as error:
        raise UserError(str(error)) from error
    return tagger


def _tags_beside(folder):
    """Return the tag list of a folder; that of the release for a flavor under its ``extra``."""
    release = folder.resolve().parent.parent
    if not (folder / TAGS).is_file() and folder.resolve().parent.name == "extra":
        return release / TAGS
    return folder / TAGS


def session_of(file, threads=None):
    """Return an onnxruntime session of a file, on the accelerator that onnxruntime was built for, if any."""
    if importlib.util.find_spec("onnxruntime") is None:
        raise UserError(
            "onnxruntime is needed for a release and not installed: pip install -r requirements.txt"
        )
    import onnxruntime

    onnxruntime.set_default_logger_severity(4)  # what goes wrong comes as an exception
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = threads or len(os.sched_getaffinity(0))
    known = [name for name in PROVIDERS if name in onnxruntime.get_available_providers()]
    try:
        return onnxruntime.InferenceSession(str(file), options, providers=known)
    except Exception as error:  # onnxruntime's errors share no base
        raise UserError(f"{file} cannot be loaded as an ONNX model: {_first_line(error)}") from error


def _first_line(error):
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _one_input(folder, session):
    inputs = session.get_inputs()
    if len(inputs) != 1:
        names = ", ".join(one.name for one in inputs) or "none"
        raise UserError(f"{folder / MODEL} must have one input, the picture; it has {names}")
    return inputs[0]


def _checked_input(folder, source):
    """Return ``(fixed batch or None, side, dtype)`` of a model's input; UserError where it is no picture."""
    shape = list(source.shape)
    square = len(shape) == 4 and isinstance(shape[1], int) and shape[1] == shape[2] and shape[3] == 3
    if not square or source.type not in _DTYPES:
        hint = "; channels come first here" if len(shape) == 4 and shape[1] == 3 else ""
        raise UserError(
            f"{folder / MODEL} must take float32 of the shape (batch, S, S, 3) with a known S; it takes "
            f"{source.type} {shape}{hint}"
        )
    return (shape[0] if isinstance(shape[0], int) else None), shape[1], _DTYPES[source.type]


def _is_rgb(folder):
    """Whether the preprocess.json of a release asks for RGB; without a word it is BGR."""
    file = folder / "preprocess.json"
    told = read_json(file) if file.is_file() else None
    return isinstance(told, dict) and str(told.get("channels")).upper() == "RGB"
