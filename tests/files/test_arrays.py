"""Arrays of .npy files: what numpy wrote is read, a header is held against the file, the rest is named."""

import numpy as np
import pytest

from Utils.command.cli import UserError
from Utils.files import arrays


@pytest.mark.parametrize("mapped", [False, True])
@pytest.mark.parametrize("shape", [(4, 3), (7,), (0, 3), ()])
@pytest.mark.parametrize("order", ["C", "F"])
def test_what_numpy_wrote_is_read(tmp_path, mapped, shape, order):
    array = np.asarray(np.random.default_rng(0).random(shape), "float16", order)
    np.save(tmp_path / "x.npy", array)
    read = arrays.read(tmp_path / "x.npy", rank=len(shape), mapped=mapped)
    assert read.shape == shape and read.dtype == array.dtype and np.array_equal(read, array)
    assert isinstance(read, np.memmap) == (mapped and array.size > 0)


def header(text):
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (header("{'descr': '<f4', 'fortran_order': False, 'shape': (10000000000000, 3), }\n"), "is cut off"),
        (header("{'descr': '<f4', 'fortran_order': False, 'shape': (1,), }\n") + bytes(8), "is longer"),
        (header("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }\n"), "it has object"),
        (header("{'descr': '<f4', 'fortran_order': False, 'shape': (-1,), }\n"), "no .npy file"),
        (header("(" * 9000), "no .npy file"),
        (b"", "no .npy file"),
    ],
)
def test_a_header_is_not_believed(tmp_path, content, fault):
    (tmp_path / "x.npy").write_bytes(content)
    for mapped in (False, True):
        with pytest.raises(UserError, match=rf"x\.npy.*{fault}"):
            arrays.read(tmp_path / "x.npy", mapped=mapped)


def test_another_rank_or_kind_is_named(tmp_path):
    np.save(tmp_path / "x.npy", np.ones((2, 2)))
    with pytest.raises(UserError, match=r"x\.npy must have 1 dimensions; got \(2, 2\)"):
        arrays.read(tmp_path / "x.npy", rank=1)
    with pytest.raises(UserError, match=r"needed is one of int, uint; it has float64"):
        arrays.read(tmp_path / "x.npy", kinds="iu")
