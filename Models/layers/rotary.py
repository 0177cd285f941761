"""Self-attention with rotary position embedding of queries and keys (RoPE, arXiv:2104.09864)."""

from typing import Any

import keras
import numpy as np

from Models.layers.dot_product_attention import dot_product_attention
from Models.layers.head_projections import _HeadProjections
from Models.layers.tensors import Shape, Tensor, ops
from Models.layers.tokens import square_side

BASE = 10000.0  # frequencies are powers of 1 / BASE
CENTERED_BASE = 100.0  # of the centered form


@keras.saving.register_keras_serializable(package="Models")
class RotaryAttention(_HeadProjections):
    """Multi-head self-attention over a square grid of tokens, rotated by row and column (arXiv:2303.11331).

    The d channels of a head form pairs. Pair i of the first half rotates by ``row * f_i``, of the second half
    by ``column * f_i``, with ``f_i = 10000^(-i / n)`` and n = d / 4. Rows and columns are counted on a
    reference grid, ``row = index / side * reference``, so that every image size has the same range.
    The centered form is that of DINOv3 (arXiv:2508.10104, section 3.2): rows and columns run from -1 to 1
    between the edges of the image, ``f_i = 2 pi 100^(-i / n)``, and channel i pairs with channel i + d / 2.
    Arguments: ``heads``; ``prefix``, the number of leading tokens outside of the grid, which do not rotate;
    ``reference``, side of the reference grid, 0 for the grid itself; ``centered``, take the centered form.
    (B, N, D) in, the same shape out. Raises ValueError if ``heads`` does not divide D, a head has no multiple
    of 4 channels, or N - ``prefix`` is no square.
    """

    def __init__(
        self, heads: int, prefix: int = 0, reference: int = 16, centered: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(heads, **kwargs)
        self.prefix = prefix
        self.reference = reference
        self.centered = centered

    def build(self, input_shape: Shape) -> None:
        """Create the projections; the angles are constants of the grid."""
        tokens, width = input_shape[1:]
        self.build_projections(width)
        if width // self.heads % 4:
            raise ValueError(f"heads must have a multiple of 4 channels; got {width // self.heads}")
        side, depth = square_side(tokens - self.prefix), width // self.heads
        angles = centered_rotations(side, depth) if self.centered else rotations(side, depth, self.reference)
        angles = np.concatenate([np.zeros((self.prefix, angles.shape[1]), "float32"), angles])  # (N, d / 2)
        self.cosines, self.sines = np.cos(angles), np.sin(angles)
        self.attended_tokens = tokens
        self.built = True

    def call(self, x: Tensor) -> Tensor:
        """Attend; rotation and softmax are in float32."""
        tokens = x.shape[1]
        query, key, value = self.project(x, tokens)  # (B, heads, N, d)
        query = self._rotate(query) * (query.shape[-1] ** -0.5)
        return self.join(dot_product_attention(query, self._rotate(key), value), tokens)

    def _rotate(self, x: Tensor) -> Tensor:
        heads, tokens, depth = x.shape[1:]
        x32 = ops.cast(x, "float32")
        if self.centered:
            left, right = x32[..., : depth // 2], x32[..., depth // 2 :]  # (B, heads, N, d / 2)
        else:
            pairs = ops.reshape(x32, (-1, heads, tokens, depth // 2, 2))
            left, right = pairs[..., 0], pairs[..., 1]
        cosines, sines = ops.convert_to_tensor(self.cosines), ops.convert_to_tensor(self.sines)
        rotated = (left * cosines - right * sines, right * cosines + left * sines)
        if self.centered:
            return ops.cast(ops.concatenate(rotated, axis=-1), x.dtype)
        return ops.cast(ops.reshape(ops.stack(rotated, axis=-1), (-1, heads, tokens, depth)), x.dtype)

    def macs(self, input_shape: Shape) -> int:
        """Return multiply-adds for one image of (B, N, D)."""
        tokens, width = input_shape[1:]
        return 4 * tokens * width**2 + 2 * tokens**2 * width

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor."""
        options = {"prefix": self.prefix, "reference": self.reference, "centered": self.centered}
        return {**super().get_config(), **options}


def rotations(side: int, depth: int, reference: int) -> np.ndarray:
    """Return (side * side, depth / 2) float32: the angles of the pairs of a head, row angles first."""
    positions = np.arange(side, dtype="float32") * ((reference or side) / side)
    frequencies = BASE ** -(np.arange(depth // 4) / (depth // 4))
    return _by_row_and_column(positions[:, None] * frequencies)


def centered_rotations(side: int, depth: int) -> np.ndarray:
    """Return (side * side, depth / 2) float32: the angles of the centered form, row angles first."""
    positions = (np.arange(side) + 0.5) / side * 2.0 - 1.0
    frequencies = 2.0 * np.pi * CENTERED_BASE ** -(np.arange(depth // 4) / (depth // 4))
    return _by_row_and_column(positions[:, None] * frequencies)


def _by_row_and_column(angles: np.ndarray) -> np.ndarray:
    """Return (side * side, 2 n) float32: those of the row, then those of the column; of (side, n)."""
    side = len(angles)
    rows, columns = np.repeat(angles, side, axis=0), np.tile(angles, (side, 1))
    return np.concatenate([rows, columns], axis=1).astype("float32")
