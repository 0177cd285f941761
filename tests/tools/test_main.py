"""One name for all commands: ``swcv NAME`` runs the tool, ``swcv --help`` lists all, importing none."""

import subprocess
import sys

from tools import __main__ as entry
from Utils.command import programs

LIST = """
import sys
from tools.__main__ import main
assert main(["--help"]) == 0
assert not {"numpy", "tensorflow", "keras"} & set(sys.modules), "a list of names needs no libraries"
"""


def test_help_lists_every_command_with_one_line_and_imports_none():
    done = subprocess.run([sys.executable, "-c", LIST], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for stem in programs.PAGES:
        (line,) = (row for row in done.stdout.splitlines() if row.startswith(f"  {programs.name_of(stem)} "))
        assert 10 < len(line.split(maxsplit=1)[1]) < 80


def test_a_command_gets_the_other_words(capsys):
    assert entry.main(["make-report", "--help"]) == 0
    assert "make_report.py" in capsys.readouterr().out
    assert entry.main(["make-report", "--nothing"]) == 2
    assert "docs/scoring.md" in capsys.readouterr().err


def test_the_command_line_that_a_tool_reads_is_its_own(monkeypatch):
    monkeypatch.setattr("sys.argv", ["/bin/swcv", "predict", "--nothing"])
    assert entry.main() == 2
    assert sys.argv == ["/bin/swcv", "--nothing"]


def test_an_unknown_name_is_one_error_with_similar_ones(capsys):
    assert entry.main(["tagg", "pictures"]) == 2
    assert "no command is named 'tagg'; did you mean tag" in capsys.readouterr().err
    assert entry.main(["finetune", "--dataset", "d"]) == 2
    assert "no command is named 'finetune'; did you mean train finetune?" in capsys.readouterr().err


def test_a_flag_in_place_of_a_command_is_named(capsys):
    assert entry.main(["--version"]) == 2
    assert "the first word is a command; got --version" in capsys.readouterr().err


def test_without_words_the_list_is_shown(capsys):
    assert entry.main([]) == 0
    assert "write-records" in capsys.readouterr().out
