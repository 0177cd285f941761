"""Lists of posts: numbers, paths, arrays."""

import numpy as np
import pytest

from Utils.command.cli import UserError
from Utils.data import id_lists


def test_lines_and_arrays(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbf5\r\n\n x/7.jpg \n")
    assert id_lists.read(tmp_path / "a.txt") == ["5", "x/7.jpg"]
    np.save(tmp_path / "ids.npy", np.array([3, 2]))
    assert id_lists.read(tmp_path / "ids.npy") == [3, 2]


@pytest.mark.parametrize(
    ("data", "said"), [(b"\n", "names no post"), (b"\xff\xfe\xff", "no list of post ids")]
)
def test_what_names_no_post(tmp_path, data, said):
    (tmp_path / "a.txt").write_bytes(data)
    with pytest.raises(UserError, match=said):
        id_lists.read(tmp_path / "a.txt")
