"""tools/bench.py: every part is a command; its result is a table or one JSON object."""

import json
import types

from tools import bench

RESULT = {
    "part": "speed",
    "unit": "images/s",
    "setup": {"cores": 2},
    "figures": {"ours": 12.34},
    "ratios": {"of the limit": 0.5},
}


def test_a_result_is_a_table_or_json(monkeypatch, capsys):
    options = types.SimpleNamespace(run_benchmark=lambda options: RESULT, json=False, device="auto")
    monkeypatch.setattr(bench, "parser", lambda: types.SimpleNamespace(parse_args=lambda argv: options))
    assert bench.main() == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "speed: cores 2"
    assert lines[1].split() == ["ours", "12.3", "images/s"]
    assert lines[2].split() == ["ratio", "of", "the", "limit", "0.50"]
    options.json = True
    assert bench.main() == 0
    assert json.loads(capsys.readouterr().out) == RESULT


def test_wrong_use_is_one_paragraph(capsys):
    assert bench.main(["input", "--images", "0"]) == 2
    assert bench.main(["imput"]) == 2
    assert bench.main([]) == 2
    assert bench.main(["infer", "--device", "npu"]) == 2
    assert bench.main(["metrics", "--peer", "nobody"]) == 2
    assert bench.main(["train", "--compile-peer"]) == 2
    assert bench.main(["learn", "--data", "x", "--peer-python", "python"]) == 2
    assert capsys.readouterr().err.count("error: ") == 7
