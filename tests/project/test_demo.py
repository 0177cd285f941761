"""`make demo` as README describes it."""

import pathlib
import re
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
SCORE = r"(\d\.\d{4})"
ROW = rf"^(\w+) +(\d+) +{SCORE} +{SCORE} to {SCORE} +{SCORE} +{SCORE} to {SCORE} +{SCORE} .*? {SCORE}$"


def table(text):
    """{category: (what the dataset alone decides, F1, its interval)} of the table of scores in a text."""
    rows = re.findall(ROW, text, re.MULTILINE)
    return {
        row[0]: ((row[1], *row[2:5], row[-1]), float(row[5]), (float(row[6]), float(row[7]))) for row in rows
    }


def make_demo(folder):
    words = ["make", f"PY={sys.executable}", "-o", ".venv/.installed", "demo", f"DEMO={folder}"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.mark.slow
def test_make_demo_ends_with_the_table_of_readme(tmp_path):
    """To the digit where only the dataset counts; F1, which differs between machines, within its interval."""
    shown = table((ROOT / "README.md").read_text(encoding="utf-8"))
    assert set(shown) == {"all", "general", "character", "copyright"}
    printed = table(first := make_demo(tmp_path / "demo"))
    for category, (of_dataset, _, (low, high)) in shown.items():
        assert printed[category][0] == of_dataset
        assert low < printed[category][1] < high
    assert "or use it: source .venv/bin/activate" in first
    assert table(make_demo(tmp_path / "demo")) == printed, "run again, it goes on: the same table"
