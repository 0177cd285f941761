"""What runs on macOS and Windows, in processes that lack what only Linux has."""

import os
import pathlib
import re
import subprocess
import sys
import urllib.request

import pytest
from helpers import reviewed, small_booru, small_releases
from helpers.reported import write_dump

ROOT = pathlib.Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "tests" / "helpers" / "other_system.py"
ADDRESS = re.compile(r"http://127\.0\.0\.1:\d+")


def words_on(system, tool, *words):
    return [sys.executable, str(SCRIPT), system, f"tools/{tool}.py", *map(str, words)]


def run(system, tool, *words):
    """Run a tool to its end; returns (exit code, stdout and stderr)."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.run(
        words_on(system, tool, *words), cwd=ROOT, env=environment, capture_output=True, text=True, timeout=200
    )
    return process.returncode, process.stdout + process.stderr


def serve_until_it_answers(system, tool, *words):
    """Start a server, wait until it names its address, end it."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        words_on(system, tool, *words), cwd=ROOT, env=environment,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    shown = ""
    for line in process.stdout:
        shown += line
        if ADDRESS.search(line):
            break
    if match := ADDRESS.search(shown):
        assert urllib.request.urlopen(match[0], timeout=60).status == 200
    process.terminate()
    rest = process.communicate(timeout=60)[0]
    assert ADDRESS.search(shown), shown + rest
    assert "Traceback" not in rest
    assert process.returncode == 0, rest


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    return small_releases.make(tmp_path_factory.mktemp("releases") / "tiny")


@pytest.mark.slow
@pytest.mark.reliability(
    "macOS and Windows: no sched_getaffinity, fcntl, resource, pread, O_NONBLOCK ...",
    "every listed command runs",
)
@pytest.mark.parametrize("system", ["macos", "windows"])
def test_the_commands_run_without_what_only_linux_has(system, release, tmp_path):
    booru = small_booru(tmp_path / "booru")
    dataset, images = tmp_path / "dataset", booru / "images"
    source = ["--source", "fire-eggs", "--from", booru / "danbooru.db", "--images", images]
    dump = tmp_path / "dump"
    write_dump(dump)
    for words in (
        ("tag_images", release, images),
        ("select_tags", booru / "definition.toml", *source, "-o", dataset),
        ("write_records", dataset, "--images", images),
        ("analyze_metrics", "-d", dump),
        ("make_report", dump, "-o", tmp_path / "report"),
        ("find_duplicates", "--images", images, "-o", tmp_path / "groups.csv"),
        ("serve", "--help"),
    ):
        code, shown = run(system, *words)
        assert code == 0, shown
    serve_until_it_answers(system, "serve", release, "--port", "0")
    (tmp_path / "review").mkdir()
    serve_until_it_answers(system, "review_labels", *reviewed.make(tmp_path / "review"), "--port", "0")


@pytest.mark.slow
@pytest.mark.parametrize("system", ["macos", "windows"])
def test_predicting_runs_without_what_only_linux_has(system, tmp_path):
    import Models

    (tmp_path / "run").mkdir()
    model = Models.build("ConvNext/test", image_size=32, num_labels=9, depths=(1, 1), widths=(8, 16))
    model.save(tmp_path / "run" / "best.keras")
    (tmp_path / "run" / "selected_tags.csv").write_text(small_releases.HEAD + small_releases.TAGS)
    images = small_booru(tmp_path / "booru", num_posts=3) / "images"
    code, shown = run(system, "predict", tmp_path / "run", "--images", images, "-o", tmp_path / "dump")
    assert code == 0, shown


def test_a_picture_is_tagged_on_windows(release, tmp_path):
    """The quick one of the tests above."""
    images = small_booru(tmp_path / "booru", num_posts=3) / "images"
    code, shown = run("windows", "tag_images", release, images)
    assert code == 0, shown
    assert "3 pictures tagged" in shown


@pytest.mark.reliability("A benchmark on macOS or Windows", "one sentence: it needs Linux")
def test_what_is_linux_only_says_so():
    code, shown = run("macos", "bench", "records")
    assert code == 2
    assert shown.startswith("error: bench.py needs Linux")
    assert "Traceback" not in shown
