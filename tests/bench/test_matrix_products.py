"""Large matrix products: what they count, and that they are products."""

import pytest

from Utils.bench import matrix_products


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_products_of_means_stay_means(dtype):
    multiply, flops = matrix_products.prepared(None, dtype, side=8, chain=3)
    assert flops == 2 * 3 * 8**3
    assert multiply(1) == 1 / 8
