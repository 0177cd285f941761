"""Exit codes, error paragraphs, progress lines and strict JSON."""

import json
import pathlib

import numpy as np
import pytest

from Utils.command import cli
from Utils.command.cli import UserError, WorkError


@pytest.mark.parametrize(
    ("error", "code"), [(UserError("wrong"), 2), (WorkError("failed"), 1), (KeyboardInterrupt(), 130)]
)
def test_expected_failures_become_exit_codes(error, code, capsys):
    @cli.command
    def main(argv=None):
        raise error

    assert main([]) == code
    assert "Traceback" not in capsys.readouterr().err


def test_a_full_disk_is_one_paragraph(capsys):
    def main(argv):
        pathlib.Path("/dev/full").write_text("x")

    assert cli.command(main)([]) == 1
    assert capsys.readouterr().err == "error: No space left on device\n"
    with pytest.raises(FileNotFoundError):
        cli.command(lambda argv: pathlib.Path("/nowhere/at/all").read_text())([])


def test_an_unexpected_failure_keeps_its_traceback():
    @cli.command
    def main(argv=None):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        main([])


def test_none_counts_as_done():
    assert cli.command(lambda argv=None: None)([]) == 0


def test_a_mistyped_flag_is_answered_with_the_near_one(capsys):
    parser = cli.Parser(prog="tool")
    parser.add_argument("--image-size", type=int)
    main = cli.command(lambda argv=None: parser.parse_args(argv) and 0)
    assert main(["--image-sze", "3"]) == 2
    shown = capsys.readouterr()
    assert "did you mean --image-size" in shown.err
    assert shown.err.count("error:") == 1
    assert main(["--image-siz", "3"]) == 2, "abbreviations are not flags"


@pytest.mark.parametrize(
    ("rule", "good", "bad", "allowed"),
    [
        (cli.number(least=1), "1", ("0", "1.5", "x", ""), "a whole number of at least 1"),
        (cli.number(float, above=0, below=10), "0.5", ("0", "10", "nan"), "a number above 0 and below 10"),
        (cli.number(float, most=1), "1", ("1.01",), "a number of at most 1"),
    ],
)
def test_a_number_out_of_bounds_names_what_is_allowed(rule, good, bad, allowed):
    parser = cli.Parser(prog="tool")
    parser.add_argument("--size", type=rule)
    assert parser.parse_args([f"--size={good}"]).size == float(good)
    for text in bad:
        with pytest.raises(UserError, match=f"argument --size: must be {allowed}; got '{text}' "):
            parser.parse_args([f"--size={text}"])


def test_assignments_are_read_as_python_writes_them():
    texts = {
        "a=1e-3": 1e-3,
        "b=2,2,4": (2, 2, 4),
        "c=none": None,
        "d=True": True,
        "e=eca": "eca",
        "f=a=b": "a=b",
    }
    for text, value in texts.items():
        assert cli.assignment("--set", text) == (text[0], value)
    for text in ("attention", "=1", "a b=1"):
        with pytest.raises(UserError, match="--set takes NAME=VALUE"):
            cli.assignment("--set", text)


def test_progress_yields_everything_and_speaks_on_stderr_only(capsys):
    assert list(cli.progress(range(5), label="count", unit="posts", every=0.0)) == list(range(5))
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "count: 5/5 posts" in shown.err


def test_json_is_strict(capsys):
    cli.print_json({"f1": np.float32("nan"), "n": np.int64(3), "ts": np.array([0.5, np.inf]), 4: (True,)})
    shown = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert shown == {"f1": None, "n": 3, "ts": [0.5, None], "4": [True]}
