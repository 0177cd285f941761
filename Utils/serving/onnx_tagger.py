"""Runs a release folder with onnxruntime, as client programs do: prepared images in, probabilities out.

A release is an ONNX file with a tag list, from this project or any other (`Utils.taggers.readers`). It needs
neither keras nor tensorflow; a run folder or ``.keras`` file, which is taken too, does.
"""

from Utils.command.interrupt import leaving_at_once

import functools
import importlib.util
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from Utils.command.cli import UserError, WorkError, found
from Utils.command.machine import num_cores
from Utils.evaluation.logits import sigmoid
from Utils.files import damage, hub
from Utils.files.atomic import AnyPath, read_json
from Utils.files.model_files import import_hint
from Utils.images import codec
from Utils.images.image_reader import Prepare
from Utils.serving import execution_providers
from Utils.taggers import description, onnx_outputs
from Utils.taggers.preparation import Preparation
from Utils.tags import tag_list

MODEL_FILE = description.MODEL_FILE
ROUNDING = 1e-3  # by which sums that end in no sigmoid may leave 0 to 1 in half precision
PARALLEL_RUNS = 2  # of a session on processors
_DTYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(uint8)": np.uint8}
_OUTPUT_TYPES = ("tensor(float)", "tensor(float16)", "tensor(double)", "tensor(bfloat16)")


class ServingTagger:
    """A model that turns prepared images into probabilities, whatever runs it; row i of ``tags`` is output i.

    Args:
        folder: where thresholds of the model may lie (`Utils.serving.tag_selection.release_thresholds`).
        tags: DataFrame of selected_tags.csv, L rows.
        image_size: side S of the model's input.
        run: function (B, S, S, 3) BGR as ``prepare`` gives it -> (B, L).
        fixed_batch: the only B that ``run`` takes; None for any.
        preparation: of pictures; `codec.prepare` without it.
        published: ``(thresholds float64 (L,), their source)``, NaN for a tag without, where the tagger's own
            files have some.
        evidence: what was recognized and by what, in sentences; empty for a Keras model.
        keras_model: the network that ``run`` calls, where Keras runs it.
        parallel_runs: calls of ``run`` that may go on at a time.
        file: the model's name in the folder, which may hold others; "" where a folder is the model.
    """

    def __init__(
        self,
        folder: AnyPath,
        tags: pd.DataFrame,
        image_size: int,
        run: Callable[[np.ndarray], Any],
        fixed_batch: int | None = None,
        preparation: Preparation | None = None,
        published: tuple[np.ndarray, str] | None = None,
        evidence: tuple[str, ...] = (),
        keras_model: Any = None,
        parallel_runs: int = 1,
        file: str = "",
    ) -> None:
        self.parallel_runs, self.file = parallel_runs, file
        self.folder, self.tags, self.image_size = pathlib.Path(folder), tags, image_size
        self.preparation = preparation
        # (content of an image file, list of damages or None) -> (S, S, 3); raises ImageError
        own = functools.partial(_prepare, image_size)
        self.prepare: Prepare = own if preparation is None else preparation.picture
        self.published, self.evidence, self.keras_model = published, evidence, keras_model
        self.fixed_batch, self._run, self._name = fixed_batch, run, ""

    @property
    def name(self) -> str:
        """The folder's name, or the name on the hub."""
        return self._name or self.folder.resolve().name

    def named(self, name: str) -> "ServingTagger":
        """Return the tagger under another name; an empty one changes nothing."""
        self._name = name or self._name
        return self

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        """Return (B, L) float32 for images (B, S, S, 3) from `prepare`.

        Raises WorkError where the model fails or its outputs are not between 0 and 1.
        """
        size = self.fixed_batch or max(1, len(images))
        batches = [self._batch(images[start : start + size], size) for start in range(0, len(images), size)]
        return np.concatenate(batches) if batches else np.zeros((0, len(self.tags)), np.float32)

    def _batch(self, images: np.ndarray, size: int) -> np.ndarray:
        """Run one batch, filled up with black images to ``size``."""
        missing = size - len(images)
        if missing:
            images = np.pad(images, ((0, missing), (0, 0), (0, 0), (0, 0)))
        outputs = np.asarray(self._run(images), np.float32)
        if outputs.shape != (size, len(self.tags)):
            raise WorkError(f"{self.folder}: {outputs.shape} came from the model for {size} pictures")
        if not np.isfinite(outputs).all():
            raise WorkError(
                f"{self.folder}: the model gives what is no number (NaN or infinity) for {size - missing} "
                "pictures; its weights are broken, or a file beside it describes its input wrongly"
            )
        if not (outputs.min(initial=0) >= -ROUNDING and outputs.max(initial=0) <= 1 + ROUNDING):
            raise WorkError(
                f"{self.folder}: the model's first output must be probabilities, 0 to 1; it reaches from "
                f"{outputs.min():.3g} to {outputs.max():.3g}. Were logits exported? "
                'A preprocess.json beside it with "output": "logits" says so'
            )
        return np.clip(outputs[: size - missing], 0, 1)


def _prepare(image_size: int, data: bytes, damages: list[str] | None = None) -> np.ndarray:
    return codec.prepare(data, image_size, damages=damages)


def find(path: AnyPath) -> pathlib.Path | None:
    """Return a path that is a release, with an ONNX file or DeepDanbooru's Keras file; None for any other.

    Raises UserError for another project's release without its ONNX file.
    """
    if is_release(path) or description.find_deepdanbooru(path):
        return pathlib.Path(path)
    if not pathlib.Path(path).is_file():
        description.require_graph(path)
    return None


def is_release(path: AnyPath) -> bool:
    """Whether a path is a release: an ONNX file, or a folder with some."""
    path = pathlib.Path(path)
    return path.suffix == ".onnx" or (path.is_dir() and any(path.glob("*.onnx")))


def load(
    path: AnyPath, load_keras: Callable[[Any], Any], threads: int | None = None, device: str = "auto"
) -> ServingTagger:
    """Return the tagger at ``path``: a release, a run folder, a .keras file, a timm folder or a hub id.

    Args:
        path: folder or file.
        load_keras: `Models.load`, or a function that imports it when called: the import takes seconds.
        threads: of onnxruntime; None for all cores.
        device: one of `Utils.serving.execution_providers.DEVICES`; only releases have a choice.

    Raises UserError where there is none of them, and as `open_release` does.
    """
    name, path = hub.name_of(path) if hub.is_id(path) else "", hub.local_tagger(path)
    if is_release(path):
        return open_release(path, threads, device).named(name)
    deepdanbooru = description.find_deepdanbooru(path)
    models = [*path.glob("*.keras"), *path.glob("extra/keras/*.keras"), *_timm_weights(path)]
    if path.suffix != ".keras" and not models and deepdanbooru is None:
        description.require_graph(path)
        raise UserError(
            f"a release folder was expected at {path}, with {MODEL_FILE} and {tag_list.FILE}, or a run "
            f"folder, .keras file or timm folder; found {_content_of(path)}"
            f"{import_hint(path)}"
        )
    if device != "auto":
        raise UserError(f"--device is for models that onnxruntime runs; {path} has none: export it first")
    if deepdanbooru is not None:
        return _of_deepdanbooru(deepdanbooru, load_keras(deepdanbooru.model).model).named(name)
    return _of_keras(path, load_keras(path)).named(name)


def _timm_weights(folder: pathlib.Path) -> list[pathlib.Path]:
    """Return the weights in a timm folder; other projects keep theirs under the same name."""
    weights, config = folder / "model.safetensors", folder / "config.json"
    is_timm = weights.is_file() and config.is_file() and "architecture" in read_json(config, dict)
    return [weights] if is_timm else []


def _content_of(path: pathlib.Path) -> str:
    if not path.is_dir():
        return found(path)
    names = sorted(item.name for item in path.iterdir())
    return f"{', '.join(names[:8])}{', ...' if len(names) > 8 else ''}" if names else "an empty folder"


def _of_keras(path: pathlib.Path, keras_tagger: Any) -> ServingTagger:
    if keras_tagger.tags is None:
        raise UserError(f"{path} has no {tag_list.FILE} beside it, so its outputs have no names")
    folder = path if path.is_dir() else path.parent
    predict = keras_tagger.model.predict_on_batch
    return ServingTagger(
        folder,
        keras_tagger.tags,
        keras_tagger.image_size,
        lambda images: predict(images.astype(np.float32)),
        evidence=keras_tagger.evidence,
        keras_model=keras_tagger.model,
        file="" if path.is_dir() else path.name,
    )


def _of_deepdanbooru(release: description.Release, model: Any) -> ServingTagger:
    graph = description.Graph(tuple(model.input_shape), {"output": tuple(model.output_shape)}, {})
    described = description.describe(release, graph)

    def run(pictures: np.ndarray) -> np.ndarray:
        return model.predict_on_batch(np.asarray(described.preparation.tensor(pictures), np.float32))

    return _tried(_tagger(described, run, keras_model=model))


def _tagger(
    described: description.Description,
    run: Callable[[np.ndarray], Any],
    fixed_batch: int | None = None,
    **how_run: Any,
) -> ServingTagger:
    return ServingTagger(
        described.model.parent,
        described.tags,
        described.preparation.image_size,
        run,
        fixed_batch,
        described.preparation,
        described.published,
        described.evidence,
        file=described.model.name,
        **how_run,
    )


def _tried(tagger: ServingTagger) -> ServingTagger:
    """Return the tagger after a trial with one white picture. Raises UserError where that fails."""
    side = tagger.image_size
    try:
        tagger.probabilities(np.full((1, side, side, 3), 255, np.uint8))
    except WorkError as error:
        raise UserError(str(error)) from error
    return tagger


def open_release(path: AnyPath, threads: int | None = None, device: str = "auto") -> ServingTagger:
    """Return the tagger of a release folder, or of its ONNX file, after a trial with one white picture.

    Raises UserError for what is missing, for a model that cannot be loaded or that takes no square pictures,
    and for outputs that are not one probability for every tag.
    """
    release = description.find(path)
    if release is None:
        raise UserError(f"there is no ONNX file in {path}; found {_content_of(pathlib.Path(path))}")
    session = open_session(release.model, threads, device)
    source = _only_input(release.model, session)
    described = description.describe(release, _graph(release.model, session, source))
    run = functools.partial(_run, session, source.name, _dtype(release.model, source), described)
    fixed_batch = source.shape[0] if isinstance(source.shape[0], int) else None
    # On processors a second run works where threads of the first wait for one another.
    on_processor = session.get_providers()[0] == "CPUExecutionProvider"
    return _tried(_tagger(described, run, fixed_batch, parallel_runs=PARALLEL_RUNS if on_processor else 1))


def _graph(model: pathlib.Path, session: Any, source: Any) -> description.Graph:
    return description.Graph(
        _shape(source),
        {node.name: _shape(node) for node in session.get_outputs() if node.type in _OUTPUT_TYPES},
        onnx_outputs.ends_in_sigmoid(model),
    )


def _shape(node: Any) -> tuple[int | None, ...]:
    return tuple(side if isinstance(side, int) else None for side in node.shape)


def _run(
    session: Any, source: str, dtype: type, described: description.Description, pictures: np.ndarray
) -> np.ndarray:
    """Return (B, L) probabilities of pictures (B, S, S, 3) BGR. Raises WorkError where the graph fails."""
    batch = np.ascontiguousarray(described.preparation.tensor(pictures), dtype)
    try:
        outputs = session.run([described.output], {source: batch})[0]
    except Exception as error:  # onnxruntime's errors have no common base class
        raise WorkError(f"{described.model} failed: {_first_line(error)}") from error
    return sigmoid(np.asarray(outputs, np.float32)) if described.is_logits else outputs


def _dtype(model: pathlib.Path, source: Any) -> type:
    if source.type not in _DTYPES:
        raise UserError(f"{model} must take {', '.join(_DTYPES)}; it takes {source.type}")
    return _DTYPES[source.type]


def open_session(file: AnyPath, threads: int | None = None, device: str = "auto") -> Any:
    """Return an onnxruntime session of a file, on the accelerator that onnxruntime was built for, if any.

    Raises UserError where onnxruntime is not installed or does not load the file.
    """
    if importlib.util.find_spec("onnxruntime") is None:
        raise UserError(
            "onnxruntime is needed for a release and not installed: pip install -r requirements.txt"
        )
    with leaving_at_once():
        import onnxruntime

    onnxruntime.set_default_logger_severity(4)  # what goes wrong is raised; the log only repeats it
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = threads or num_cores()
    # Threads that wait for work by turning in a loop would take the cores from those that decode pictures.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    providers = execution_providers.choose(device, onnxruntime.get_available_providers())
    try:
        # Its fallback would print to stdout and try the same again.
        return onnxruntime.InferenceSession(str(file), options, providers=providers, enable_fallback=0)
    except Exception as error:  # onnxruntime's errors have no common base class
        reason = damage.stand_in(file) or _first_line(error)
        raise UserError(f"{file} cannot be loaded as an ONNX model: {reason}") from error


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _only_input(model: pathlib.Path, session: Any) -> Any:
    inputs = session.get_inputs()
    if len(inputs) != 1:
        names = ", ".join(node.name for node in inputs) or "none"
        raise UserError(f"{model} must have one input, the picture; it has {names}")
    return inputs[0]
