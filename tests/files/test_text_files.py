"""TOML and YAML of hostile hands: nesting, numbers, aliases and size are bounded, within a second."""

import time

import pytest

from Utils.command.cli import UserError
from Utils.files import atomic, text_files


def test_only_line_breaks_end_a_line():
    """Names of files may hold what str.splitlines breaks at."""
    text = "a\u2028b.jpg\r\n\n c\x85d.jpg \n\u3000e\x0cf.jpg\t\n \n"
    assert text_files.lines(text) == ["a\u2028b.jpg", "c\x85d.jpg", "\u3000e\x0cf.jpg"]


@pytest.mark.reliability("Lists, tables, TOML and YAML in UTF-16, as PowerShell and Excel write them", "read")
def test_windows_texts_are_read(tmp_path):
    text = "name = 'é'\r\n"
    for data in (text.encode("utf-8-sig"), text.encode("utf-16"), b"\xfe\xff" + text.encode("utf-16-be")):
        assert text_files.decoded(data) == text
        (tmp_path / "x.toml").write_bytes(data)
        assert text_files.read_toml(tmp_path / "x.toml", "a file") == {"name": "é"}
        assert text_files.read_lines(tmp_path / "x.toml") == ["name = 'é'"]
    with pytest.raises(ValueError, match="no text in UTF-8, or in UTF-16 with its mark; save it as UTF-8"):
        text_files.decoded("é".encode("cp1252"))


def laughs():
    """Nine levels of nine aliases each: 400 million values in a few hundred bytes."""
    lines = ['a: &a ["lol", "lol", "lol", "lol", "lol", "lol", "lol", "lol", "lol"]']
    for before, name in zip("abcdefgh", "bcdefghi", strict=True):
        lines.append(f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]")
    return "\n".join(lines) + "\nparameters: {x: {values: *i}}\n"


@pytest.mark.reliability(
    "JSON, TOML or YAML nested too deep, numbers without end, nested aliases", "one error, at once"
)
@pytest.mark.parametrize(
    ("name", "content", "fault"),
    [
        ("x.toml", "a = " + "[" * 5000 + "]" * 5000, "is no TOML: it is nested too deep"),
        ("x.toml", "a = " + "9" * 100_000, "is no TOML"),
        ("x.toml", "a = \n", "is no TOML"),
        ("x.yaml", "a: " + "[" * 3000 + "]" * 3000, "is no YAML: it is nested too deep"),
        ("x.yaml", "a: " + "9" * 100_000, "is no YAML"),
        ("x.yaml", "a: {b: 1, c: 2, b: 3}", "is no YAML: 'b' is given 2 times"),
        ("x.yaml", "a: !!set {b, c}", "is no YAML"),
        ("x.yaml", "a: !!binary aGVsbG8=", "is no YAML"),
        ("x.yaml", laughs(), "its aliases stand for [0-9,]{9,} values"),
        ("x.yaml", "a: &a [*a]\n", "an alias stands for what it is part of"),
        ("x.yaml", "a: !!python/object/apply:os.getcwd []\n", "is no YAML"),
        ("x.yaml", "a: [" + "1, " * 6_000_000 + "]", "it has 18,000,005 bytes"),
        ("x.json", '{"a": ' + "[" * 100_000 + "]" * 100_000 + "}", "is no JSON: it is nested too deep"),
        ("x.json", '{"a": [' + "9" * 100_000 + "]}", "is no JSON: it has a number of more than 4,300 digits"),
    ],
)
def test_hostile_text_is_one_error_at_once(tmp_path, name, content, fault):
    (tmp_path / name).write_text(content)
    start = time.process_time()  # not the clock's: other processes may keep this one waiting
    with pytest.raises(UserError, match=rf"{name}.*{fault}"):
        if name == "x.json":
            atomic.read_json(tmp_path / name)
        elif name == "x.toml":
            text_files.read_toml(tmp_path / name, "a definition")
        else:
            text_files.read_yaml(tmp_path / name, "a sweep")
    assert time.process_time() - start < 2


def test_good_files_are_read(tmp_path):
    (tmp_path / "x.toml").write_bytes(b'\xef\xbb\xbfname = "x"\n')
    assert text_files.read_toml(tmp_path / "x.toml", "a definition") == {"name": "x"}
    (tmp_path / "x.yaml").write_text("a: &a [1, 2]\nb: *a\nday: 2001-12-14 21:59:43\n")
    read = text_files.read_yaml(tmp_path / "x.yaml", "a sweep")
    assert read == {"a": [1, 2], "b": [1, 2], "day": "2001-12-14 21:59:43"}
