"""For ``python tools/NAME.py``: gives way to the Utils of this clone, whatever is installed.

Python looks beside a script first, and so finds this before any installed package. Without it a script in an
environment that lacks the project would end in a traceback, and one of a second clone would run the code of
the first.
"""

import importlib
import pathlib
import sys

if __name__ == "Utils":  # found beside a script, and not as a part of the package tools
    sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))
    del sys.modules[__name__]
    importlib.import_module(__name__)
