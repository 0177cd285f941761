"""FLOPs of convolutions and products, counted from shapes: against sums by hand and against XLA's count."""

import numpy as np
import pytest

from Utils.training import matrix_flops

jax = pytest.importorskip("jax")
FORMAT = ("NHWC", "HWIO", "NHWC")


def count(function, *shapes):
    arrays = [jax.ShapeDtypeStruct(shape, "float32") for shape in shapes]
    return matrix_flops.count(jax.jit(function).trace(*arrays).jaxpr)


def convolve(images, kernel, stride=1, padding="SAME", groups=1):
    return jax.lax.conv_general_dilated(
        images, kernel, (stride, stride), padding, dimension_numbers=FORMAT, feature_group_count=groups
    )


def gradients(images, kernel, **options):
    return jax.grad(lambda *both: convolve(*both, **options).sum(), (0, 1))(images, kernel)


def test_a_product_has_two_flops_for_each_triple():
    assert count(lambda a, b: a @ b, (5, 3, 4), (4, 7)) == 2 * 5 * 3 * 4 * 7


def test_a_convolution_counts_no_padding():
    assert count(lambda x, k: convolve(x, k, padding="VALID"), (2, 8, 8, 3), (3, 3, 3, 5)) == (
        2 * (2 * 6 * 6 * 5) * (3 * 3 * 3)
    )
    # Of 8 x 3 pairs along an axis two meet the padding.
    assert count(convolve, (2, 8, 8, 3), (3, 3, 3, 5)) == 2 * 2 * 5 * 3 * 22**2
    assert count(lambda x, k: convolve(x, k, groups=3), (2, 8, 8, 3), (3, 3, 1, 3)) == 2 * 2 * 3 * 22**2


@pytest.mark.parametrize("options", [{"stride": 2}, {"stride": 1}, {"stride": 2, "padding": "VALID"}])
def test_each_gradient_costs_as_much_as_the_convolution(options):
    shapes = (2, 9, 9, 4), (3, 3, 4, 6)
    forward = count(lambda x, k: convolve(x, k, **options), *shapes)
    assert count(lambda x, k: gradients(x, k, **options), *shapes) == 3 * forward


def test_what_is_called_counts_as_often_as_it_runs():
    def repeated(a, b):
        return jax.lax.scan(lambda c, _: (jax.checkpoint(lambda x: x @ b)(c), None), a, length=5)[0]

    assert count(repeated, (3, 4), (4, 4)) == 5 * 2 * 3 * 4 * 4
    inner = jax.jit(lambda a, b: a @ b)
    assert count(lambda a, b: inner(inner(a, b), b), (3, 4), (4, 4)) == 2 * 2 * 3 * 4 * 4
    choice = count(lambda a, b: jax.lax.cond(a[0, 0] > 0, lambda: a @ b, lambda: a), (4, 4), (4, 4))
    assert choice == 2 * 4 * 4 * 4


def test_a_function_on_parts_counts_on_every_device_and_a_kernel_at_every_place_of_its_grid():
    kinds = (jax.sharding.AxisType.Auto,)
    mesh, parts = jax.sharding.AbstractMesh((4,), ("batch",), kinds), jax.P("batch")
    mapped = jax.shard_map(lambda a: a @ a.T, mesh=mesh, in_specs=parts, out_specs=parts)
    assert count(mapped, (8, 5)) == 4 * 2 * 2 * 5 * 2
    pallas = pytest.importorskip("jax.experimental.pallas")

    def product(a, b, out):
        out[...] = a[...] @ b[...]

    kernel = pallas.pallas_call(
        product,
        jax.ShapeDtypeStruct((12, 8), "float32"),
        grid=(3, 2),
        in_specs=[
            pallas.BlockSpec((4, 8), lambda i, j: (i, 0)),
            pallas.BlockSpec((8, 4), lambda i, j: (0, j)),
        ],
        out_specs=pallas.BlockSpec((4, 4), lambda i, j: (i, j)),
    )
    assert count(kernel, (12, 8), (8, 8)) == 2 * 12 * 8 * 8


def test_rematerialized_work_counts_twice():
    def block(x, w):
        return jax.numpy.tanh(x @ w)

    def gradient(of_block):
        return jax.grad(lambda w, x: (of_block(of_block(x, w), w) ** 2).sum())

    once, twice = (count(gradient(each), (4, 4), (8, 4)) for each in (block, jax.checkpoint(block)))
    product = 2 * 8 * 4 * 4
    assert once == 5 * product, "two forward, three backward: x has no gradient"
    assert twice == 7 * product


def test_pairs_along_an_axis_match_a_loop():
    random = np.random.default_rng(0)
    for _ in range(200):
        image, kernel, out, stride, dilation, kernel_dilation = random.integers(1, 6, 6).tolist()
        padding = int(random.integers(-1, 4))
        inside = {place * dilation for place in range(image)}
        expected = sum(
            o * stride + k * kernel_dilation - padding in inside for o in range(out) for k in range(kernel)
        )
        sides = image, kernel, out, stride, dilation, kernel_dilation, padding
        assert matrix_flops.products_along(*sides) == expected
