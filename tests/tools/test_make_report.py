"""tools/make_report.py: numbers of analyze_metrics and of brute force; one file whatever tags are named."""

import csv
import html
import html.parser
import json
import re

import helpers
import numpy as np
import pandas as pd
import pytest

from tools import analyze_metrics
from tools.make_report import main
from Utils.data import dataset_folder
from Utils.evaluation import predictions, scores, thresholds
from Utils.files import tfrecord
from Utils.report import svg_charts
from Utils.tags import tag_list

NAMES = [
    "safe",
    "sensitive",
    "hat",
    "<b>smile</script><!--",
    'tree & "leaf" {{rows}}',
    "長い髪",
    "series_x",
    "alice",
    "bob",
]
TAGS = pd.DataFrame(
    {
        "tag_id": np.arange(9) + 1,
        "name": NAMES,
        "category": [9, 9, 0, 0, 0, 0, 3, 4, 4],
        "count": [900, 100, 500, 300, 300, 20, 80, 60, 0],
    }
)


def make(folder, rows=60, p=None, y=None, tags=TAGS, dtype="float32"):
    rng = np.random.default_rng(0)
    columns = len(tags)
    y = rng.random((rows, columns)) < tags["count"].to_numpy() / 1200 if y is None else y
    p = np.clip(y * 0.3 + rng.random((rows, columns)) * 0.7, 0, 1) if p is None else p
    with predictions.writing(
        folder, tags, dtype=dtype, info={"run_name": "a <run>", "params": 93.2e6}
    ) as writer:
        writer.add(p, np.arange(rows), y)
    return folder


@pytest.fixture
def dump(tmp_path):
    return make(tmp_path / "dump")


def report(dump, capsys, *words):
    code = main([str(dump), "-o", str(dump.parent / "report"), "--overwrite", *words])
    shown = capsys.readouterr()
    assert code == 0, shown.err
    return shown.out


def test_the_model_is_scored_as_analyze_metrics_does(dump, capsys):
    rows = json.loads(report(dump, capsys, "--json"))["rows"]
    assert [row["category"] for row in rows] == ["all", "general", "character", "copyright", "rating"]
    for row in rows:
        words = ["-d", str(dump), "--json", *([] if row["category"] == "all" else ["-c", row["category"]])]
        assert analyze_metrics.main(words) == 0
        expected = json.loads(capsys.readouterr().out)["a <run>"]
        assert {name: row["model"][name] for name in ("thres", "F1", "TP", "FN", "ties")} == {
            name: expected[name] for name in ("thres", "F1", "TP", "FN", "ties")
        }
        assert row["model"]["F1_low"] <= row["model"]["F1"] <= row["model"]["F1_high"]
        assert row["tags"] == expected["tags"]


def test_frequencies_give_every_image_the_most_frequent_tags(dump, capsys):
    opened = predictions.load(dump)
    y = np.asarray(opened.labels).astype(bool)
    known = json.loads(report(dump, capsys, "--json"))["rows"][0]["frequencies"]
    counts = TAGS["count"].to_numpy()
    best = min((-1, *np.unique(counts)), key=lambda t: (abs(60 * (counts > t).sum() - y.sum()), -t))
    chosen = counts > best
    hit = y[:, chosen].sum()
    assert known["TP"] == hit
    assert known["TP"] + known["FP"] == 60 * chosen.sum()
    assert known["F1"] == pytest.approx(2 * hit / (60 * chosen.sum() + y.sum()))


def test_the_csv_has_every_tag_and_the_counts_of_brute_force(dump, capsys):
    threshold = json.loads(report(dump, capsys, "--json"))["rows"][0]["model"]["thres"]
    opened = predictions.load(dump)
    above, y = np.asarray(opened.probabilities) > np.float32(threshold), np.asarray(opened.labels) > 0
    with (dump.parent / "report" / "report.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["tag"] for row in rows] == NAMES
    assert [int(row["tag_id"]) for row in rows] == TAGS["tag_id"].tolist()
    for column, row in enumerate(rows):
        hit = (above & y)[:, column].sum()
        assert int(row["TP"]) == hit
        assert int(row["predicted"]) == above[:, column].sum()
        assert int(row["positives"]) == y[:, column].sum()
        if y[:, column].any():
            assert float(row["R"]) == hit / y[:, column].sum()
        else:
            assert row["R"] == ""


class Page(html.parser.HTMLParser):
    """Collects tags, and the text of cells."""

    def __init__(self, text):
        super().__init__()
        self.seen, self.cells, self.open = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))
        if tag == "td":
            self.cells.append("")

    def handle_data(self, data):
        if self.cells:
            self.cells[-1] += data


def test_the_page_is_one_file_and_shows_the_numbers(dump, capsys):
    rows = json.loads(report(dump, capsys, "--json"))["rows"]
    text = (dump.parent / "report" / "report.html").read_text(encoding="utf-8")
    page = Page(text)
    assert not re.search(r"https?:|src=(?!\"data:)|@import|url\(", text), "nothing is fetched"
    assert ("meta", {"name": "viewport", "content": "width=device-width, initial-scale=1"}) in page.seen
    assert sum(tag == "svg" for tag, _ in page.seen) == 4
    assert text.count("<script") == text.count("</script") == 1
    assert not any(tag == "b" for tag, _ in page.seen[page.seen.index(("script", {})) :])
    cells = [cell for cell in page.cells if cell]
    for row in rows:
        assert any(cell.startswith(f"{row['model']['F1']:.4f}") for cell in cells)
        assert any(cell.startswith(f"{row['frequencies']['F1']:.4f}") for cell in cells)
    assert "<title>a &lt;run&gt;</title>" in text
    assert sorted(name for name in NAMES if name in cells) == sorted(set(NAMES) & set(cells))
    data = re.search(r"ROWS = (\[.*\]), PAGE", text)[1]
    assert [row[0] for row in json.loads(data)] == NAMES


def read_csv(dump, name):
    with (dump.parent / "report" / name).open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_every_number_of_the_page_is_one_of_the_tables(dump, capsys):
    report(dump, capsys)
    text = (dump.parent / "report" / "report.html").read_text(encoding="utf-8")
    page = Page(text)
    columns = json.loads(re.search(r"HEAD = (\[.*?\]), ROWS", text)[1])
    rows = json.loads(re.search(r"ROWS = (\[.*\]), PAGE", text)[1])
    for row, line in zip(rows, read_csv(dump, "report.csv"), strict=True):
        for name, value in zip(columns, row, strict=True):
            if isinstance(value, float):
                assert value == round(float(line[name]), 4)
            else:
                assert ("" if value is None else str(value)) == line[name]
    shown = [cell for cell in page.cells if cell]
    for line in read_csv(dump, "headline.csv"):
        ends = "–".join(f"{float(line[name]):.4f}" if line[name] else "–" for name in ("F1_low", "F1_high"))
        assert f"{float(line['F1']):.4f}{ends}" in shown
    for line in read_csv(dump, "confused.csv"):
        assert f"<h3>{html.escape(line['predicted'])} for {html.escape(line['true'])}</h3>" in text
        assert f"on {line['images']} images; by chance {float(line['expected']):.1f}" in text


def small_dataset(folder, ids, shard_size):
    """A dataset folder as write_records leaves it, of JPEGs of flat color; made without tensorflow."""
    (folder / "validation").mkdir(parents=True)
    shards = []
    for number, start in enumerate(range(0, len(ids), shard_size)):
        part = ids[start : start + shard_size]
        name = f"validation/small-{number}.tfrecord"
        with tfrecord.Writer(folder / name) as writer:
            for post_id in part.tolist():
                writer.write_record(tfrecord.encode_example(post_id, helpers.jpeg(post_id, 24), []))
        shards.append({"file": name, "records": len(part)})
    np.save(folder / "validation" / "ids.npy", ids)
    records = {"validation": {"shards": shards}}
    (folder / "dataset.json").write_text(json.dumps({"name": "small", "image_size": 24, "records": records}))
    tag_list.write(TAGS, folder / "selected_tags.csv")
    return folder


def test_sample_images_come_from_a_folder_or_a_dataset(tmp_path, capsys):
    ids = np.random.default_rng(1).permutation(5000)[:40]
    dataset = small_dataset(tmp_path / "dataset", ids, shard_size=7)
    (tmp_path / "empty").mkdir()
    rng = np.random.default_rng(0)
    with predictions.writing(tmp_path / "dump", TAGS) as writer:
        writer.add(rng.random((40, 9)), ids, rng.random((40, 9)) < 0.5)
    report(tmp_path / "dump", capsys, "--dataset", str(dataset))
    text = (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    assert text.count("<img ") > 8
    assert text.count('src="data:image/jpeg;base64,/9j/') == text.count("<img ")
    report(tmp_path / "dump", capsys, "--images", str(tmp_path / "empty"))
    assert "<img" not in (tmp_path / "report" / "report.html").read_text(encoding="utf-8")


def test_white_and_black_are_compared_on_the_same_images(dump, capsys):
    opened = predictions.load(dump)
    p, y = np.array(opened.probabilities), np.array(opened.labels)
    p[:, 2] = 1 - p[:, 2]
    rows = np.random.default_rng(0).permutation(60)[:50]
    black = make(dump.parent / "black", p=p[rows], y=y[rows], rows=50)
    np.save(black / "image_ids.npy", rows)
    report(dump, capsys, "--black", str(black))
    lines, known = read_csv(dump, "report.csv"), {}
    for name, values in (("white", np.asarray(opened.probabilities)[rows]), ("black", p[rows])):
        cut = thresholds.p_equals_r(values, int(y[rows].sum())).threshold
        counts = scores.count(values, y[rows], cut)
        known[name] = float(scores.f_beta(counts.total()))
        f1 = [float(line[f"F1_{name}"]) if line[f"F1_{name}"] else np.nan for line in lines]
        assert f1 == pytest.approx(scores.f_beta(counts).tolist(), nan_ok=True)
    cells = [cell for cell in Page((dump.parent / "report" / "report.html").read_text()).cells if cell]
    verdict = "black is better" if known["black"] > known["white"] else "white is better"
    at = cells.index(f"all{verdict}")
    lead = f"{known['black'] - known['white']:+.4f}"
    shown = zip(cells[at + 1 : at + 4], (f"{known['white']:.4f}", f"{known['black']:.4f}", lead), strict=True)
    assert all(cell.startswith(value) for cell, value in shown)
    line = read_csv(dump, "padding.csv")[0]
    stored = [float(line[name]) for name in ("F1_white", "F1_black", "difference")]
    assert stored == pytest.approx([known["white"], known["black"], known["black"] - known["white"]])
    assert f"{float(line['difference_low']):+.4f} to {float(line['difference_high']):+.4f}" in cells[at + 3]


def test_the_table_on_the_terminal_is_aligned(dump, capsys):
    out = report(dump, capsys)
    lines = out.splitlines()
    assert lines[0] == "a <run>: 60 images, micro F1 where precision = recall"
    table = lines[3 : 3 + 6]
    assert len({len(line) for line in table}) == 1
    assert table[1].split()[:2] == ["all", "9"]
    assert lines[2].index("frequencies only") < lines[2].index("model")


def test_odd_dumps_are_reported_too(tmp_path, capsys):
    rng = np.random.default_rng(1)
    one = TAGS.iloc[[2]]
    p = rng.random((8, 9))
    cases = {
        "nothing true": {"rows": 8, "p": p, "y": np.zeros((8, 9))},
        "all true": {"rows": 8, "p": p, "y": np.ones((8, 9))},
        "one value": {"rows": 8, "p": np.full((8, 9), 0.5)},
        "zeros": {"rows": 8, "p": np.zeros((8, 9)), "dtype": "float16"},
        "ones": {"rows": 8, "p": np.ones((8, 9))},
        "one image": {"rows": 1},
        "one tag": {"rows": 8, "tags": one.reset_index(drop=True)},
    }
    for name, options in cases.items():
        dump = make(tmp_path / name / "dump", **options)
        assert "micro F1" in report(dump, capsys), name


def test_mistakes(dump, tmp_path, capsys):
    for words in (["--images", "nowhere"], ["--dataset", "nowhere"], ["--black", "nowhere"]):
        assert main([str(dump), "-o", str(tmp_path / "r"), *words]) == 2
        assert "nowhere; found nothing" in capsys.readouterr().err
    (dump / "labels.npy").unlink()
    assert main([str(dump), "-o", str(tmp_path / "r")]) == 2
    assert "nothing to score against" in capsys.readouterr().err
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").write_text("mine")
    assert main([str(dump), "-o", str(tmp_path / "full")]) == 2
    assert (tmp_path / "full" / "x").read_text() == "mine"
    assert not (tmp_path / "r").exists()


def test_axes_have_round_ticks():
    assert [text for _, text in svg_charts.Axis("", 0, 1).ticks()] == ["0", "0.2", "0.4", "0.6", "0.8", "1"]
    assert [text for _, text in svg_charts.Axis("", 1, 3000, log=True).ticks()] == ["1", "10", "100", "1,000"]
    assert svg_charts.Axis("", 1, 100, log=True).share(10) == pytest.approx(0.5)
    assert svg_charts.Axis("", 0, 2).share(7) == 1


def test_a_chart_places_points_and_escapes_text():
    series = [
        svg_charts.Series("a<b", [(0, 0), (1, 1)]),
        svg_charts.Series("", [(0.5, 0.5)], lines=False, texts=['"x"']),
    ]
    svg = svg_charts.chart(svg_charts.Axis("x", 0, 1), svg_charts.Axis("y", 0, 1), series, "a & b")
    middle = (
        (svg_charts.LEFT + svg_charts.WIDTH - svg_charts.RIGHT) / 2,
        (svg_charts.TOP + svg_charts.HEIGHT - svg_charts.BOTTOM) / 2,
    )
    assert f'cx="{middle[0]:.1f}" cy="{middle[1]:.1f}"' in svg
    assert "a&lt;b" in svg
    assert 'aria-label="a &amp; b"' in svg
    assert svg.count("<circle") == 1


@pytest.fixture(scope="module")
def leaky(tmp_path_factory):
    """A dataset, and a dump of its validation split."""
    folder = tmp_path_factory.mktemp("leaks")
    dataset = dataset_folder.load(helpers.small_dataset(folder, num_posts=60, size=16))
    ids, random = dataset.post_ids("validation"), np.random.default_rng(0)
    labels = random.random((len(ids), dataset.num_labels)) < 0.5
    with predictions.writing(folder / "dump", dataset.tags) as writer:
        writer.add(random.random(labels.shape), ids, labels)
    groups = {"group": [1, 1], "post_id": [int(dataset.post_ids("train")[0]), int(ids[0])]}
    pd.DataFrame(groups).to_csv(folder / "groups.csv", index=False)
    return folder


def test_the_report_says_by_how_much_near_duplicates_inflate_the_score(leaky, capsys):
    words = [
        str(leaky / "dump"),
        "--dataset",
        str(leaky / "dataset"),
        "--groups",
        str(leaky / "groups.csv"),
    ]
    assert main([*words, "-o", str(leaky / "report"), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)["leaks"]
    assert shown["counts"]["leaked"] == 1
    with (leaky / "report" / "leaks.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["images"] for row in rows] == ["all", "clean", "leaked"]
    assert float(rows[0]["inflation"]) == shown["inflation"]
    assert '<h2 id="leaks">Leaks</h2>' in (leaky / "report" / "report.html").read_text()


def test_without_a_dataset_nothing_is_known_to_leak(leaky, capsys):
    words = [str(leaky / "dump"), "--groups", str(leaky / "groups.csv"), "-o", str(leaky / "other")]
    assert main(words) == 2
    assert "--groups needs --dataset" in capsys.readouterr().err
    assert not (leaky / "other").exists()
