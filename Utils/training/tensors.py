"""The tensor type of signatures, and ``keras.ops`` without the annotations of every backend."""

from typing import Any

import keras

Tensor = Any  # of the backend, symbolic or eager, or a numpy array

# A type checker infers for keras.ops the union of what six backends return, None among it; that says nothing.
ops: Any = keras.ops
