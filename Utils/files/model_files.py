"""File names of the Keras models in run folders and releases."""

import pathlib

from Utils.files.outputs import FileKind, FolderKind, has_members

RUN_MODELS = {"best": "best.keras", "last": "model.keras"}  # by the word that --which takes
RELEASED_MODEL = pathlib.PurePosixPath("extra", "keras", RUN_MODELS["last"])  # below a release folder
KERAS_FILE = FileKind("a Keras model", has_members("config.json", "metadata.json", "model.weights.h5"))
RELEASE = FolderKind(
    "a release", ("release.json", "model.onnx", "selected_tags.csv"),
    ("preprocess.json", "categories.json", "README.md", "config.json", "model.safetensors", "extra/*"),
)  # fmt: skip
