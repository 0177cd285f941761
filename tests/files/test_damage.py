"""What a library raises becomes one error with the file's name; the system's refusals stay what they are."""

import errno

import pytest

from Utils.command.cli import UserError, WorkError
from Utils.files import damage


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (KeyError("shape"), "x is no Y: it lacks 'shape'"),
        (RecursionError("maximum depth"), "nested too deep"),
        (ValueError("... use sys.set_int_max_str_digits() to ..."), "number of more than 4,300 digits$"),
        (MemoryError(), "more memory than there is"),
        (OSError("Unable to open"), "Unable to open"),
        (OSError(errno.EINVAL, "Invalid argument"), "Invalid argument"),
        (ValueError("a\n  b" + "c" * 999), "a bc+ \\.\\.\\.$"),
        (AssertionError(), "AssertionError"),
    ],
)
def test_a_librarys_error_names_the_file(error, words):
    for error_type in (UserError, WorkError):
        with pytest.raises(error_type, match=words), damage.named("x", "is no Y", error_type):
            raise error


@pytest.mark.parametrize(
    "error",
    [
        UserError("said already"),
        WorkError("said already"),
        FileNotFoundError("gone"),
        OSError(errno.ENOSPC, "No space left"),
        KeyboardInterrupt(),
    ],
)
def test_what_says_enough_passes(error):
    with pytest.raises(type(error)) as raised, damage.named("x", "is no Y"):
        raise error
    assert raised.value is error


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
            "x is no Y: it is a pointer of Git LFS",
        ),
        (b"\n<!DOCTYPE HTML><html>", "x is no Y: it is a web page"),
        (b"<svg>", "x is no Y: bad magic"),
    ],
)
def test_what_stands_in_for_a_file_is_named(tmp_path, data, words):
    (tmp_path / "x").write_bytes(data)
    with pytest.raises(UserError, match=words), damage.named(tmp_path / "x", "is no Y"):
        raise ValueError("bad magic")


def test_only_the_reader_is_named_not_who_takes_its_items():
    def items():
        yield 1
        raise ValueError("bad block")

    with pytest.raises(UserError, match="x is no Y: bad block"):
        list(damage.iterate(items(), "x", "is no Y"))
    with pytest.raises(ZeroDivisionError):
        for item in damage.iterate(items(), "x", "is no Y"):
            print(item / 0)
    assert list(damage.iterate([1, 2], "x", "is no Y")) == [1, 2]
