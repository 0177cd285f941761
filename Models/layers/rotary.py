"""Self-attention that knows where its tokens are by rotating queries and keys (RoPE, arXiv:2104.09864)."""

import keras
import numpy as np
from keras import ops

from Models.layers.head_projections import _HeadProjections, softmax
from Models.layers.tokens import square_side

BASE = 10000.0  # of the geometric row of frequencies


@keras.saving.register_keras_serializable(package="Models")
class RotaryAttention(_HeadProjections):
    """Multi-head self-attention over a square grid of tokens, rotated by row and column (arXiv:2303.11331).

    Channels of a head go in pairs; pair i of the first half turns by ``row * f_i``, of the second half by
    ``column * f_i``, ``f_i = 10000^(-i / n)``, n a quarter of the head. Rows and columns are counted on a
    reference grid: ``row = index / side * reference``, so that another image size keeps the range.
    Arguments: ``heads``, which must divide D and leave heads of a multiple of 4; ``prefix``, leading tokens
    that lie on no grid and are not turned; ``reference``, side of the reference grid, 0 for the grid's own.
    (B, N, D) in, the same shape out. Raises ValueError otherwise.
    """

    def __init__(self, heads, prefix=0, reference=16, **kwargs):
        super().__init__(heads, **kwargs)
        self.prefix = prefix
        self.reference = reference

    def build(self, input_shape):
        """Create the projections; the angles are constants of the grid."""
        tokens, width = input_shape[1:]
        self.build_projections(width)
        if width // self.heads % 4:
            raise ValueError(f"heads must have a multiple of 4 channels; got {width // self.heads}")
        angles = rotations(square_side(tokens - self.prefix), width // self.heads, self.reference)
        angles = np.concatenate([np.zeros((self.prefix, angles.shape[1]), "float32"), angles])  # (N, d / 2)
        self.cosines, self.sines = np.cos(angles), np.sin(angles)
        self.built = True

    def call(self, x):
        """Attend; rotation and softmax are computed in float32."""
        tokens = x.shape[1]
        query, key, value = self.project(x, tokens)  # (B, heads, N, d)
        query = self._rotated(query) * (query.shape[-1] ** -0.5)
        scores = ops.matmul(query, ops.swapaxes(self._rotated(key), -1, -2))  # (B, heads, N, N)
        return self.join(ops.matmul(softmax(scores, x.dtype), value), tokens)

    def _rotated(self, x):
        heads, tokens, depth = x.shape[1:]
        pairs = ops.reshape(ops.cast(x, "float32"), (-1, heads, tokens, depth // 2, 2))
        left, right = pairs[..., 0], pairs[..., 1]  # (B, heads, N, d / 2)
        cosines, sines = ops.convert_to_tensor(self.cosines), ops.convert_to_tensor(self.sines)
        turned = (left * cosines - right * sines, right * cosines + left * sines)
        return ops.cast(ops.reshape(ops.stack(turned, axis=-1), (-1, heads, tokens, depth)), x.dtype)

    def macs(self, input_shape):
        """Return multiply-adds for one image of (B, N, D)."""
        tokens, width = input_shape[1:]
        return 4 * tokens * width**2 + 2 * tokens**2 * width

    def get_config(self):
        """Return the arguments of the constructor."""
        return {**super().get_config(), "prefix": self.prefix, "reference": self.reference}


def rotations(side, depth, reference):
    """Return the angles (side * side, depth / 2) by which the pairs of a head turn, row angles first."""
    places = np.arange(side, dtype="float32") * ((reference or side) / side)
    frequencies = BASE ** -(np.arange(depth // 4) / (depth // 4))
    turns = places[:, None] * frequencies  # (side, depth / 4)
    rows, columns = np.repeat(turns, side, axis=0), np.tile(turns, (side, 1))
    return np.concatenate([rows, columns], axis=1).astype("float32")
