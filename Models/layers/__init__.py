"""The custom layers of the zoo, one idea a file; importing this package registers them all with Keras.

Every class is registered under the package name ``Models``, so that ``keras.saving.load_model`` needs
nothing but ``import Models``.
"""

import importlib
import pkgutil

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
