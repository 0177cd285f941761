"""tools/pareto.py: the frontier of brute force, speeds from several places, a chart with labels."""

import json
import pathlib
import re
import xml.etree.ElementTree

import numpy as np

from tools.pareto import Point, main, mark_frontier
from Utils.evaluation import results_table


def row(name, f1=None, speed=None, definition="-", size=320, **more):
    scores = {} if f1 is None else {"F1": f1, "F2": f1, "P": f1, "R": f1, "category": "all", "from_rank": 0}
    return {
        "run_name": name, "definition_name": definition, "params": 1e7, "image_size": size, "dataset": "d",
        "split": "test", "images_per_second": speed, "status": "measured", **scores, **more,
    }  # fmt: skip


def write(path, *rows):
    results_table.append(path, rows)
    return str(path)


def run(tmp_path, capsys, *words):
    code = main([*words, "-o", str(tmp_path / "pareto.svg"), "--overwrite"])
    return code, capsys.readouterr()


def test_the_frontier_is_that_of_brute_force():
    rng = np.random.default_rng(0)
    for count in (1, 2, 40):
        speed, f1 = rng.integers(1, 12, count), rng.integers(1, 12, count) / 20
        found = mark_frontier(
            [Point(str(i), "-", 1.0, 1.0, float(speed[i]), float(f1[i])) for i in range(count)]
        )
        for point in found:
            i = int(point.run_name)
            better = (speed >= speed[i]) & (f1 >= f1[i]) & ((speed > speed[i]) | (f1 > f1[i]))
            assert point.frontier == (not better.any())
        assert [point.images_per_second for point in found] == sorted(speed, reverse=True)


def test_speeds_come_from_the_row_the_run_or_the_definition(tmp_path, capsys):
    first = write(
        tmp_path / "scores.csv",
        row("own", 0.71, 50.0),
        row("by run", 0.72),
        row("by shape", 0.73, definition="ConvNext/T"),
        row("other size", 0.74, definition="ConvNext/T", size=448),
        row("of a part", 0.9, 60.0, category="general"),
    )
    second = write(
        tmp_path / "speeds.csv",
        row("by run", speed=30.0),
        row("by run", speed=40.0, split=""),
        row("a bench", speed=20.0, definition="ConvNext/T"),
    )
    code, shown = run(tmp_path, capsys, first, second, "--json")
    assert code == 0
    points = json.loads(shown.out)["points"]
    assert [(p["run_name"], p["images_per_second"], p["F1"]) for p in points] == [
        ("own", 50, 0.71),
        ("by run", 40, 0.72),
        ("by shape", 20, 0.73),
    ]
    assert "1 scored rows have no images/s and are left out: other size" in shown.err
    code, shown = run(tmp_path, capsys, first, second)
    assert "3 of 3 models are on the frontier, from own (50 images/s, F1 0.7100) to by shape (20" in shown.err
    assert shown.err.splitlines()[-1].startswith("next: python tools/export_model.py RUN -o RELEASE")
    lines = shown.out.splitlines()
    assert [cell.strip() for cell in lines[2].split("|")[1:-1]] == [
        "own",
        "-",
        "10.0M",
        "320",
        "50",
        "0.7100",
        "yes",
    ]
    code, shown = run(tmp_path, capsys, first, "-c", "0", "--json")
    assert json.loads(shown.out)["points"][0]["run_name"] == "of a part"


def test_a_speed_of_zero_is_none(tmp_path, capsys):
    table = write(tmp_path / "r.csv", row("stuck", 0.9, 0), row("runs", 0.5, 10))
    code, shown = run(tmp_path, capsys, table)
    assert code == 0
    assert "have no images/s and are left out: stuck" in shown.err
    assert run(tmp_path, capsys, write(tmp_path / "only.csv", row("stuck", 0.9, 0)))[0] == 2


def test_the_chart_has_every_point_and_its_label(tmp_path, capsys):
    table = write(
        tmp_path / "t.csv", row("a & b", 0.5, 10.0), row("fast", 0.4, 900.0), row("beaten", 0.45, 9.0)
    )
    assert run(tmp_path, capsys, table)[0] == 0
    text = (tmp_path / "pareto.svg").read_text(encoding="utf-8")
    root = xml.etree.ElementTree.fromstring(text)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    shown = [node.text for node in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"a & b", "fast", "beaten", "images/s", "F1", "frontier"} <= set(shown)
    assert text.count("<circle") == 3
    assert not re.search(r"(href|src|url\()", text), "nothing is fetched"
    assert run(tmp_path, capsys, table)[0] == 0
    assert (tmp_path / "pareto.svg").read_text(encoding="utf-8") == text


def test_scores_that_cannot_belong_together_are_said_and_drawn(tmp_path, capsys):
    """Tables of others: the chart needs F1 and the speed only."""
    path = write(tmp_path / "r.csv", row("theirs", 0.6, 50.0))
    lines = pathlib.Path(path).read_text().replace(",0.6,0.6,", ",0.6,0.1,")
    pathlib.Path(path).write_text(lines)
    code, shown = run(tmp_path, capsys, path)
    assert (code, "theirs" in shown.out) == (0, True)
    assert "warning: " in shown.err
    assert "r.csv, row 2: " in shown.err


def test_mistakes(tmp_path, capsys):
    a = write(tmp_path / "a.csv", row("x", 0.5))
    b = write(tmp_path / "b.csv", row("y", 0.5, 3.0), row("z", 0.6, 4.0, split="validation"))
    cases = {
        "none of these has images per second": [a],
        "different images": [b],
        "unknown category": [b, "-c", "hue"],
    }
    for said, words in cases.items():
        code, shown = run(tmp_path, capsys, *words)
        assert code == 2
        assert said in shown.err
        assert not (tmp_path / "pareto.svg").exists()
    assert run(tmp_path, capsys, b, "--split", "test")[0] == 0
    assert main([b, "--split", "test", "-o", str(tmp_path / "pareto.svg")]) == 2, "what exists is kept"
    assert main([b, "-o", str(tmp_path / "pareto.png")]) == 2
