"""The table of commands: every file, its page, and how a command line is spelled."""

import os
import pathlib
import subprocess
import sys

import pytest

from Utils.command import programs

ROOT = pathlib.Path(__file__).resolve().parents[2]


def test_the_table_has_every_file_of_tools():
    files = {path.stem for path in (ROOT / "tools").glob("*.py") if not path.stem.startswith("__")}
    assert set(programs.PAGES) == files | {"train"}


def test_every_page_exists_and_no_name_means_two_commands():
    assert [page for page in programs.PAGES.values() if not (ROOT / page).is_file()] == []
    names = [programs.name_of(stem) for stem in programs.PAGES]
    assert len({*names, *programs.PAGES}) >= len(names) == len(set(names))


@pytest.mark.parametrize("name", ["tag", "tag-images", "tag_images", "tag_images.py"])
def test_a_command_may_be_named_in_any_spelling(name):
    assert programs.stem_of(name) == "tag_images"


def test_a_name_that_no_command_has_is_none():
    assert programs.stem_of("tags") is None


# Commands that take minutes or more; after tag_images, serve and the scores of compare_dumps people are done.
LONG = (
    "select_tags", "write_records", "check_images", "find_duplicates", "sweep", "import_weights", "predict",
    "find_thresholds", "make_report", "compare_taggers", "audit_labels", "review_labels", "apply_decisions",
    "export_model", "verify_release", "push_release", "answer_audit", "make_demo_booru", "ensemble",
)  # fmt: skip


@pytest.mark.parametrize("stem", LONG)
def test_long_commands_say_what_comes_next(stem):
    """The words of these lines are checked where the commands are run; none spells a command by itself."""
    code = (ROOT / programs.script(stem)).read_text(encoding="utf-8")
    assert "programs.next_line(" in code or "programs.line(" in code
    assert "next: python" not in code


def test_an_extra_is_installed_by_its_file_in_a_clone_and_by_its_name_elsewhere(monkeypatch, tmp_path):
    assert programs.install_line("video") == "pip install -r requirements-video.txt"
    monkeypatch.setattr(programs, "__file__", str(tmp_path / "site" / "Utils" / "command" / "programs.py"))
    assert programs.install_line("video") == 'pip install "sw-cv-modelzoo[video]"'


def test_command_lines_are_spelled_as_the_process_was_started(monkeypatch):
    monkeypatch.setattr("sys.argv", ["tools/predict.py"])
    assert programs.line("predict", "my run", "-o", "dump") == "python tools/predict.py 'my run' -o dump"
    assert programs.next_line("train", "demo") == "next: python train.py demo"
    assert programs.prog("predict.py") == "predict.py"
    for started in ("/somewhere/bin/swcv", "swcv.exe"):
        monkeypatch.setattr("sys.argv", [started, "predict"])
        assert programs.line("tag_images", "run") == "swcv tag run"
        assert programs.prog("tools/find_thresholds.py") == "swcv find-thresholds"
        assert programs.prog("tools/studies/learning.py") == "tools/studies/learning.py"
    monkeypatch.setattr("sys.argv", [])  # of an embedded interpreter
    assert programs.line("train", "demo") == "python train.py demo"


SHADOWED = """
import sys, Utils.command.programs as programs
sys.path[:] = [entry for entry in sys.path if entry not in ("", {root!r})] + [{other!r}]
{run}
"""


@pytest.mark.reliability(
    "Another package installs a folder `tools` (tf2onnx does)", "ours is the one that runs"
)
@pytest.mark.parametrize("run", ["swcv", "bench"])
def test_the_tools_of_another_package_are_not_taken_for_ours(tmp_path, run):
    """An editable install is found by a hook that is asked after site-packages."""
    (tmp_path / "tools").mkdir()
    code = SHADOWED.format(root=str(ROOT), other=str(tmp_path), run="programs.run_entry()")
    words, places = (
        (["-c", code], str(ROOT)) if run == "swcv" else ([str(ROOT / "tools/bench.py")], str(tmp_path))
    )
    done = subprocess.run(
        [sys.executable, *words, "--help"],
        capture_output=True, text=True, cwd=tmp_path, env=os.environ | {"PYTHONPATH": places},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert ("tag " if run == "swcv" else "metrics") in done.stdout
