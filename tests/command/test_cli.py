"""Exit codes, error paragraphs, progress lines and strict JSON."""

import argparse
import errno
import io
import json
import os
import pathlib
import subprocess
import sys
import types

import numpy as np
import pytest

from Utils.command import cli
from Utils.command.cli import Parser, UserError, WorkError


def test_a_circle_of_links_is_one_paragraph(tmp_path, capsys):
    (tmp_path / "circle").symlink_to("circle")
    assert cli.command(lambda argv: (tmp_path / "circle").resolve(strict=True))() == 2
    assert capsys.readouterr().err.startswith("error: ")


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


@pytest.mark.reliability(
    "A path below a file, or a name that is too long", "one paragraph with path and reason, exit 2"
)
@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/etc/passwd/x", "Not a directory"), ("x" * 300, "File name too long"),
        ("/nowhere/at/all", "No such file or directory"), ("/etc", "Is a directory"),
    ],
)  # fmt: skip
def test_places_that_the_system_refuses_are_one_paragraph(path, reason, capsys):
    assert cli.command(lambda argv: pathlib.Path(path).read_text() and 0)([]) == 2
    assert capsys.readouterr().err == f"error: {reason}: {path}\n"


def test_a_file_where_a_folder_is_needed_is_told(tmp_path, capsys):
    (tmp_path / "file").touch()
    assert cli.command(lambda argv: (tmp_path / "file").mkdir(exist_ok=True) or 0)([]) == 2
    assert capsys.readouterr().err == f"error: File exists, and is no folder: {tmp_path / 'file'}\n"


def test_an_oserror_raised_by_a_library_keeps_its_traceback():
    def main(argv):
        raise OSError("an image of no known kind")

    with pytest.raises(OSError, match="no known kind"):
        cli.command(main)([])


PRINT = """
import sys
import types
from Utils.command.cli import command
sys.exit(command(lambda argv: print("初音 \\udcff"))([]))
"""


@pytest.mark.reliability("A terminal that cannot show a letter", "an escape is printed in its place")
@pytest.mark.parametrize(
    ("encoding", "printed"), [("latin-1", b"\\u521d\\u97f3 \\udcff\n"), ("utf-8", "初音 \\udcff\n".encode())]
)
def test_letters_that_the_terminal_lacks_are_escaped(encoding, printed):
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    done = subprocess.run([sys.executable, "-c", PRINT], env=environment, capture_output=True)
    assert (done.returncode, done.stdout) == (0, printed)


@pytest.mark.reliability("stdout is closed or full", "an error and exit 1: lost output is no success")
@pytest.mark.parametrize(("where", "reason"), [(">&-", "stdout is closed"), ("> /dev/full", "No space left")])
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_output_that_is_lost_is_no_success(where, reason, unbuffered):
    done = subprocess.run(
        ["sh", "-c", f'"$0" -c "$1" {where}', sys.executable, PRINT], capture_output=True, text=True,
        env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
    )  # fmt: skip
    assert done.returncode == 1  # not 120, which Python itself gives
    assert done.stderr.startswith("error: ")
    assert reason in done.stderr and "stdout" in done.stderr
    assert done.stderr.count("\n") == 1  # Python has nothing to add when it ends


def test_help_that_is_lost_is_no_success(monkeypatch, capsys):
    class Full(io.StringIO):
        def write(self, text):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("sys.stdout", Full())
    assert cli.command(lambda argv: cli.Parser(prog="tool").parse_args(argv) and 0)(["--help"]) == 1
    assert capsys.readouterr().err == "error: No space left on device: stdout\n"


@pytest.mark.parametrize("text", ["-" * 200_000 + "1", "[" * 2000])
def test_a_word_that_is_nested_too_deep_is_a_text(text):
    assert cli.value_of(text) == text


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


def test_a_mistyped_flag_that_is_required_is_named(capsys):
    parser = cli.Parser(prog="tool")
    parser.add_argument("--from", required=True)
    parser.add_argument("--size")
    main = cli.command(lambda argv=None: parser.parse_args(argv) and 0)
    assert main(["--size", "3", "--form", "pictures"]) == 2
    said = capsys.readouterr().err
    assert "required: --from; no option is named --form; did you mean --from?" in said
    assert main(["--size=3"]) == 2
    assert "no option" not in capsys.readouterr().err


def test_a_file_whose_name_begins_with_a_dash_is_told_from_a_flag(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "-dash.jpg").write_bytes(b"")
    main = cli.command(lambda argv=None: cli.Parser(prog="tool").parse_args(argv) and 0)
    assert main(["-dash.jpg"]) == 2
    assert "unrecognized arguments: -dash.jpg; the file of that name is ./-dash.jpg (see" in (
        capsys.readouterr().err
    )


def test_a_dash_is_no_file():
    parser = cli.Parser(prog="tool")
    parser.add_argument("table", nargs="?", type=pathlib.Path)
    parser.add_argument("-o", "--output")
    parser.add_argument("--prefix")
    for words, name in ((["-o", "-"], "-o/--output"), (["-"], "table")):
        with pytest.raises(UserError, match=f"^{name} is a file or a folder; stdin and stdout"):
            parser.parse_args(words)
    assert parser.parse_args(["--prefix", "-"]).prefix == "-"


def test_what_a_missing_option_takes_is_said(capsys):
    parser = cli.Parser(prog="tool")
    parser.add_argument("pictures")
    parser.add_argument("-o", "--output", required=True, help="folder to make")
    main = cli.command(lambda argv=None: parser.parse_args(argv) and 0)
    assert main([]) == 2
    assert "required: pictures, -o/--output; -o/--output: folder to make (see" in capsys.readouterr().err


@pytest.mark.reliability("A name with spaces without quotes", "the error shows the name in quotes")
def test_a_name_that_the_shell_split_is_shown_in_quotes(tmp_path, capsys):
    (tmp_path / "my own pictures").mkdir()
    main = cli.command(lambda argv: Parser(prog="x").parse_args(argv))
    assert main(["--tag", *f"{tmp_path}/my own pictures".split(" "), "--more"]) == 2
    assert f"Names with spaces need quotes: '{tmp_path}/my own pictures'\n" in capsys.readouterr().err
    assert main(["--tag", "my", "pictures"]) == 2
    assert "quotes" not in capsys.readouterr().err


def test_a_mistyped_file_is_answered_with_the_near_one(tmp_path):
    (tmp_path / "pictures").mkdir()
    assert cli.suggest_beside(tmp_path / "picturs") == "; did you mean pictures?"
    assert cli.suggest_beside(tmp_path / "nothing" / "picturs") == ""
    assert cli.suggest_beside(tmp_path / "picturs" / "1.jpg") == "; did you mean pictures?"
    assert cli.suggest_beside(pathlib.Path("gs://picturs")) == ""
    assert cli.found(tmp_path / "picturs") == "nothing; did you mean pictures?"
    assert cli.found(tmp_path / "pictures") == "a folder"


def test_what_was_typed_is_not_suggested(tmp_path):
    assert cli.suggest("train", ["train", "trains"]) == "; did you mean trains?"
    for link, target in (("loop", "loop"), ("lost", "gone")):
        (tmp_path / link).symlink_to(target)
        said = f"; {tmp_path / link} is a link that leads nowhere"
        assert cli.suggest_beside(tmp_path / link) == said
        assert cli.suggest_beside(tmp_path / link / "1.jpg") == said
        assert cli.found(tmp_path / link) == f"nothing{said}"


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


def test_a_pattern_that_is_none_is_named():
    assert cli.pattern("vit|resnet").search("a resnet")
    with pytest.raises(argparse.ArgumentTypeError, match=r"must be a regular expression; got '\(': missing"):
        cli.pattern("(")


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


@pytest.mark.parametrize(
    ("per_second", "text"),
    [
        (1234.5, "1234/s"), (9.96, "10/s"), (9.94, "9.9/s"), (0.2, "0.2/s"), (0.1, "0.1/s"),
        (0.05, "3.0/min"), (1 / 300, "0.2/min"), (1 / 3600, "1.0/h"), (0, "0.0/h"),
    ],
)  # fmt: skip
@pytest.mark.reliability("units that take seconds or hours each", "a rate that is not 0/s: 0.2/s, 3.0/min")
def test_rates_of_slow_units_are_readable(per_second, text):
    assert cli._readable_rate(per_second) == text


def test_progress_lines_have_such_rates(monkeypatch, capsys):
    clock = iter(range(0, 500, 5))
    monkeypatch.setattr(cli, "time", types.SimpleNamespace(monotonic=lambda: float(next(clock))))
    list(cli.progress(range(2), label="records", unit="shards", every=10))
    assert capsys.readouterr().err == "records: 2/2 shards, 0.2/s\n"


def test_json_is_strict(capsys):
    cli.print_json({"f1": np.float32("nan"), "n": np.int64(3), "ts": np.array([0.5, np.inf]), 4: (True,)})
    shown = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert shown == {"f1": None, "n": 3, "ts": [0.5, None], "4": [True]}


def test_a_path_on_another_machine_is_no_path_on_this_one(tmp_path):
    parser = Parser(prog="x")
    group = parser.add_mutually_exclusive_group()
    group.add_argument("-o", type=pathlib.Path)
    assert parser.parse_args(["-o", str(tmp_path)]).o == tmp_path
    with pytest.raises(UserError, match="argument -o: has to be on this machine; got 'gs://b/x.csv'"):
        parser.parse_args(["-o", "gs://b/x.csv"])
