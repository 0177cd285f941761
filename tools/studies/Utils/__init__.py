"""For ``python tools/studies/NAME.py``: gives way to the guide of tools/Utils, as if the study lay there."""

import importlib
import pathlib
import sys

if __name__ == "Utils":  # found beside a script, and not as a part of the package tools.studies
    sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))
    del sys.modules[__name__]
    importlib.import_module(__name__)
