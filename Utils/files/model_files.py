"""Names of the Keras models that a run folder and a release hold, for all that write or look for one."""

import pathlib

RUN_MODELS = {"best": "best.keras", "last": "model.keras"}  # by the word that --which takes
RELEASED_MODEL = pathlib.PurePosixPath("extra", "keras", RUN_MODELS["last"])  # below a release folder
