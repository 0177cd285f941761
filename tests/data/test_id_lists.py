"""Lists of posts: numbers, paths, arrays."""

import numpy as np
import pytest

from Utils.command.cli import UserError
from Utils.data import id_lists


def test_lines_and_arrays(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbf5\r\n\n x/7.jpg \n8, 9.jpg\n")
    assert id_lists.read(tmp_path / "a.txt") == ["5", "x/7.jpg", "8, 9.jpg"]
    (tmp_path / "a.txt").write_bytes(
        "C:\\x\\7.jpg\r\na/b\\c.jpg\r\n".encode("utf-16")
    )  # PowerShell's dir > a.txt
    assert id_lists.read(tmp_path / "a.txt") == ["C:/x/7.jpg", "a/b\\c.jpg"]
    np.save(tmp_path / "ids.npy", np.array([3, 2]))
    assert id_lists.read(tmp_path / "ids.npy") == [3, 2]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"\n", "names no post"),
        (b"\xff\xfe\xff", "no list of post ids"),
        (b"image_id,tags\n5,hat sky\n", "a.txt is a table, with rows such as '5,hat sky'"),
    ],
)
def test_what_names_no_post(tmp_path, data, said):
    (tmp_path / "a.txt").write_bytes(data)
    with pytest.raises(UserError, match=said):
        id_lists.read(tmp_path / "a.txt")


@pytest.mark.parametrize("number", [-1, 2**63, 2**64 - 1])
def test_a_number_that_is_no_post_id_is_named(tmp_path, number):
    np.save(tmp_path / "ids.npy", np.array([3, number], np.int64 if number < 0 else np.uint64))
    with pytest.raises(UserError, match=rf"ids.npy: a post id is from 0 .* got {number}"):
        id_lists.read(tmp_path / "ids.npy")
