"""Utils/files/row_cache.py: rows that outlive the process that made them."""

import resource

import numpy as np
import pytest

from Utils.command.cli import UserError
from Utils.files import row_cache


def test_a_cache_belongs_to_one_process_and_one_format(tmp_path):
    with row_cache.RowCache(tmp_path / "kept", {"facts": "u1"}, 1) as cache:
        cache.append([7, 9], facts=[1, 2])
        assert cache.find([9, 8, 7]).tolist() == [1, -1, 0]
        with pytest.raises(ValueError, match="facts has 1 bytes for 2 rows"):
            cache.append([1, 2], facts=[1])
        with pytest.raises(UserError, match="in use by another process"):
            row_cache.RowCache(tmp_path / "kept", {"facts": "u1"}, 1)
    with row_cache.RowCache(tmp_path / "kept", {"facts": "u1"}, 1) as cache:
        assert cache.read("facts", cache.find([9, 7])).tolist() == [2, 1]
    with row_cache.RowCache(tmp_path / "kept", {"facts": "u1"}, 2) as cache:
        assert cache.rows == 0


@pytest.mark.parametrize("cut", ["facts.bin", "pictures.bin", row_cache.KEYS])
def test_a_row_that_was_not_finished_is_cut_off(tmp_path, cut):
    columns = {"facts": "<u2", "pictures": np.dtype((np.uint8, (3,)))}
    with row_cache.RowCache(tmp_path / "kept", columns, 1) as cache:
        cache.append([7, 9], facts=[1, 2], pictures=np.arange(6))
    with (tmp_path / "kept" / cut).open("ab") as file:
        file.write(b"+" * 9)
    with row_cache.RowCache(tmp_path / "kept", columns, 1) as cache:
        assert cache.rows == 2
        cache.append([5], facts=[3], pictures=[6, 7, 8])
        assert cache.find([5, 7, 9, 0]).tolist() == [2, 0, 1, -1]
        assert cache.read("pictures", [2, 0]).tolist() == [[6, 7, 8], [0, 1, 2]]  # before it is closed
        assert cache.column("facts").tolist() == [1, 2, 3]
    with row_cache.RowCache(tmp_path / "kept", columns, 1) as cache:
        assert cache.find([5, 7, 9]).tolist() == [2, 0, 1]
        assert cache.column("pictures").ravel().tolist() == list(range(9))


@pytest.mark.parametrize("name", ["facts.bin", row_cache.FORMAT])
def test_a_folder_of_somebody_else_is_left_alone(tmp_path, name):
    (tmp_path / name).write_text("[1]")
    with pytest.raises(UserError, match=f"its {name} holds something else"):
        row_cache.RowCache(tmp_path, {"facts": "u1"}, 1)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {name: "[1]"}


def test_keys_tell_words_apart():
    assert len({row_cache.key("path", number) for number in range(10_000)}) == 10_000
    assert row_cache.key("a", "bc") != row_cache.key("ab", "c")
    assert 0 <= row_cache.key("a\udcff") < 2**64  # a name that is no UTF-8


def test_a_full_disk_names_the_folder(tmp_path):
    """Written through a limit on the size of files, which the system says as a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    cache = row_cache.RowCache(tmp_path / "cache", {"a": "u1"}, 1)
    with pytest.raises(OSError) as caught, cache:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4, before[1]))
        try:
            cache.append(np.arange(100), a=np.zeros(100, np.uint8))
            cache.close()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert caught.value.filename == str(tmp_path / "cache")
