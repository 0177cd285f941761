"""tools/serve.py: the command answers, refuses wrong options, and finishes its replies when it is ended."""

import concurrent.futures
import json
import pathlib
import signal
import subprocess
import sys
import urllib.request

import cv2
import numpy as np
import pytest
from helpers import small_releases

from tools import serve
from Utils.serving import tagging_service

ROOT = pathlib.Path(__file__).resolve().parents[2]
BLUE = cv2.imencode(".png", np.full((12, 12, 3), (255, 0, 0), np.uint8))[1].tobytes()


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    return small_releases.make(tmp_path_factory.mktemp("releases") / "tiny")


SLOW = """
import sys, time
from tools import serve
from Utils.serving import onnx_tagger
opened = onnx_tagger.open_release
def slow(*words):
    tagger = opened(*words)
    run = tagger._run
    tagger._run = lambda pixels: (print("tagging", flush=True), time.sleep(0.8), run(pixels))[2]
    return tagger
onnx_tagger.open_release = slow
code = serve.main(sys.argv[1:])
assert not {'tensorflow', 'keras'} & set(sys.modules)
sys.exit(code)
"""


def test_sigterm_finishes_the_replies_in_progress(release):
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW, str(release), "--port", "0", "--json"],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        answer = json.loads(process.stdout.readline())
        address = answer["url"]
        assert answer["models"] == ["tiny"]
        assert address.startswith("http://127.0.0.1:")
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            reply = pool.submit(lambda: json.load(urllib.request.urlopen(f"{address}tag", BLUE, timeout=60)))
            assert process.stdout.readline() == "tagging\n"
            process.send_signal(signal.SIGTERM)
            assert reply.result()["rating"] == "general"
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 0, err
    assert "9 tags; thresholds: 0.35, characters 0.85" in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--queue", "0"], "--queue: must be a whole number above 0"),
        (["--queue", "100000"], "of at most 4096"),
        (["--timeout", "1e10"], "of at most 86400"),
        (["--name", "a\nb"], "no line breaks and controls; got 'a\\nb'"),
        (["--max-pixels", "-1"], "--max-pixels: must be a whole number above 0"),
        (["--timeout", "nan"], "--timeout: must be a number above 0"),
        (["--wait", "-1"], "--wait: must be a number of at least 0 and of at most 1000"),
        (["--port", "70000"], "port"),
        (["--name", ""], "--name needs a name for each"),
        (["--host", "203.0.113.1"], "cannot listen"),
        (["--threshold", "7"], "between 0 and 1"),
    ],
)
def test_wrong_use_is_an_error_in_one_line(release, words, message, capsys):
    assert serve.main([str(release), "--port", "0", *words]) == 2
    shown = capsys.readouterr().err
    assert shown.startswith("error: ")
    assert message in shown


def test_a_model_is_called_what_it_is_served_as(release):
    options = serve.parser().parse_args([str(release / "model.onnx")])
    assert serve._names(options) == ["model.onnx"]
    service, about = serve._service(options, "model.onnx", release, tagging_service.ServiceLimits())
    with service:
        assert about[0] == "model.onnx: 9 tags; thresholds: 0.35, characters 0.85"


def test_a_folder_without_a_release_is_refused(tmp_path, capsys):
    assert serve.main([str(tmp_path)]) == 2
    assert "a release folder was expected" in capsys.readouterr().err
