"""Utils/report/report.py: every number of a report equals brute force; odd dumps have a report too."""

import base64
import types

import cv2
import helpers
import numpy as np
import pytest
from helpers.reported import NAMES, TAGS, write_black_dump, write_dump

from Utils.evaluation import confusion, predictions, scores, thresholds
from Utils.report import report
from Utils.tags import tag_categories


def no_pictures(ids):
    return {}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_dump(tmp_path_factory.mktemp("report") / "dump")


@pytest.fixture
def dump(folder):
    return predictions.load(folder)


def test_the_headline_has_all_tags_and_every_category(dump):
    rows = report.headline(dump)
    assert [row["category"] for row in rows] == ["all", "general", "character", "copyright", "rating"]
    assert [row["tags"] for row in rows] == [9, 4, 2, 1, 2]
    for row in rows:
        for side in ("model", "frequencies"):
            assert row[side]["F1_low"] <= row[side]["F1"] <= row[side]["F1_high"]
            assert row[side]["TP"] + row[side]["FN"] == row["model"]["TP"] + row["model"]["FN"]


def test_a_category_is_scored_as_a_dump_of_its_tags_alone(dump, tmp_path):
    part = TAGS["category"].to_numpy() == 0
    tags = TAGS[part].reset_index(drop=True)
    alone = write_dump(tmp_path / "general", p=dump.probabilities[:, part], y=dump.labels[:, part], tags=tags)
    (only,) = report.headline(predictions.load(alone))  # the one category is not listed twice
    assert only == {**report.headline(dump)[1], "category": "all"}


def test_frequencies_give_every_image_the_most_frequent_tags(dump):
    y = np.asarray(dump.labels).astype(bool)
    baseline = report.headline(dump)[0]["frequencies"]
    counts = TAGS["count"].to_numpy()
    best = min((-1, *np.unique(counts)), key=lambda t: (abs(60 * (counts > t).sum() - y.sum()), -t))
    predicted = counts > best
    tp = y[:, predicted].sum()
    assert baseline["TP"] == tp
    assert baseline["TP"] + baseline["FP"] == 60 * predicted.sum()
    assert baseline["F1"] == pytest.approx(2 * tp / (60 * predicted.sum() + y.sum()))


def test_the_table_has_the_counts_of_brute_force(dump):
    above, y = np.asarray(dump.probabilities) > np.float32(0.5), np.asarray(dump.labels) > 0
    table = report.tag_table(dump, scores.count(dump.probabilities, dump.labels, 0.5))
    assert [row.tag for row in table] == NAMES
    for column, row in enumerate(table):
        tp = (above & y)[:, column].sum()
        assert row.true_positives == tp
        assert row.predicted == above[:, column].sum()
        assert row.positives == y[:, column].sum()
        assert row.false_positives == row.predicted - tp
        assert row.false_negatives == row.positives - tp
        if row.positives:
            assert row.recall == tp / row.positives
            assert row.f1 == pytest.approx(2 * tp / (row.predicted + row.positives))
        else:
            assert row.recall is None


def rows_of(*pairs):
    return [report.TagRow("tag", "general", 0, n, 0, 0, 0, 0, None, None, f1) for n, f1 in pairs]


def test_the_worst_tags_are_frequent_enough_and_have_the_lowest_f1():
    table = rows_of((4, 0.0), (5, 0.3), (90, 0.1), (7, 0.3), (0, None))
    assert report.worst_tags(table) == [2, 3, 1]  # at equal F1 the more frequent one first
    assert report.worst_tags(rows_of((2, 0.5), (1, 0.0))) == [0]  # in a small dump what is most frequent
    assert len(report.worst_tags(rows_of(*[(9, 0.5)] * 30))) == report.NUM_WORST
    assert report.worst_tags([]) == []


def test_the_images_shown_are_the_gravest_mistakes(dump):
    p, y, asked = np.asarray(dump.probabilities), np.asarray(dump.labels) > 0, []

    def find_pictures(ids):
        asked.extend(ids)
        return {number: helpers.jpeg(number, 24) for number in ids if number % 2}

    pair = confusion.Pair(7, 2, 1, 0.5)
    ((column, shots),), (confused,) = report.with_pictures(dump, 0.5, [2], [pair], find_pictures)
    assert column == 2
    missed = np.flatnonzero(y[:, 2] & (p[:, 2] <= 0.5))
    wrong = np.flatnonzero(~y[:, 2] & (p[:, 2] > 0.5))
    gravest = [*missed[np.argsort(p[missed, 2])][:2], *wrong[np.argsort(-p[wrong, 2])][:2]]
    words = ["missed"] * 2 + ["wrong"] * 2
    assert [shot.caption for shot in shots] == [
        f"{word}, {p[row, 2]:.2f}" for word, row in zip(words, gravest, strict=True)
    ]
    assert [shot.address is not None for shot in shots] == [row % 2 == 1 for row in gravest]
    assert (confused.predicted, confused.true, confused.images) == (NAMES[7], NAMES[2], 1)
    both = (p[:, 7] > 0.5) & ~y[:, 7] & y[:, 2] & (p[:, 2] <= 0.5)
    assert len(confused.shots) == both.sum() == 3
    assert sorted(set(asked)) == asked  # each picture is looked for once


def test_without_image_ids_the_report_shows_no_images(folder, tmp_path):
    copy = write_dump(tmp_path / "dump")
    (copy / "image_ids.npy").unlink()
    computed = report.compute(predictions.load(copy), pytest.fail)
    assert computed.worst
    assert all(not tag.shots for tag in computed.worst)


def test_a_post_whose_file_is_no_image_has_no_thumbnail(dump):
    ((_, shots),), _ = report.with_pictures(dump, 0.5, [2], [], lambda ids: dict.fromkeys(ids, b"no image"))
    assert shots
    assert all(shot.address is None for shot in shots)


def test_white_and_black_are_compared_on_the_same_images(tmp_path):
    dump = write_dump(tmp_path / "dump")
    black, rows = write_black_dump(dump)
    dump, black = predictions.load(dump), predictions.load(black)
    computed = report.compute(dump, no_pictures, black)
    y = np.asarray(dump.labels)[rows]
    all_tags = computed.paddings[0]
    assert [row.category for row in computed.paddings] == [row["category"] for row in report.headline(dump)]
    sides = (all_tags.white, np.asarray(dump.probabilities)[rows]), (all_tags.black, black.probabilities)
    for place, (side, p) in enumerate(sides):
        cut = thresholds.p_equals_r(np.asarray(p), int(y.sum())).threshold
        counts = scores.count(p, y, cut)
        assert side.values["micro_F1"] == pytest.approx(float(scores.f_beta(counts.total())))
        f1 = [np.nan if pair[place] is None else pair[place] for pair in computed.padded_f1]
        assert f1 == pytest.approx(scores.f_beta(counts).tolist(), nan_ok=True)
    difference = all_tags.black.values["micro_F1"] - all_tags.white.values["micro_F1"]
    assert all_tags.difference.value == pytest.approx(difference)
    assert computed.columns == report.COLUMNS + report.PADDED
    changed = computed.changed_by_padding()
    assert changed[0][0] == "hat"  # the tag that was turned round
    sizes = [abs(row[3] - row[2]) for row in changed]
    assert sizes == sorted(sizes, reverse=True)
    assert min(sizes) > 0


def test_a_tag_that_the_black_dump_lacks_has_no_f1_there(tmp_path):
    dump = write_dump(tmp_path / "dump")
    opened = predictions.load(dump)
    fewer = write_dump(
        tmp_path / "fewer", p=opened.probabilities[:, :8], y=opened.labels[:, :8], tags=TAGS[:8]
    )
    _, padded_f1 = report.compare_paddings(opened, predictions.load(fewer))
    assert padded_f1[8] == (None, None)
    assert None not in padded_f1[2]


CASES = {
    "nothing true": {"y": np.zeros((8, 9))},
    "all true": {"y": np.ones((8, 9))},
    "one value": {"p": np.full((8, 9), 0.5)},
    "zeros": {"p": np.zeros((8, 9)), "dtype": "float16"},
    "ones": {"p": np.ones((8, 9))},
    "one image": {"rows": 1},
    "one tag": {"tags": TAGS.iloc[[2]].reset_index(drop=True)},
}


@pytest.mark.parametrize("case", CASES)
def test_odd_dumps_have_a_report(case, tmp_path, monkeypatch):
    monkeypatch.setattr(report, "NUM_RESAMPLES", 20)
    dump = predictions.load(write_dump(tmp_path / "dump", **({"rows": 8} | CASES[case])))
    computed = report.compute(dump, no_pictures)
    assert len(computed.rows()) == len(dump.tags)
    assert len(computed.rows_with_ids()[0]) == len(computed.columns) + 1
    assert all(len(row) == len(report.HEADLINE) + 1 for row in computed.headline_rows())
    assert computed.padding_rows() == []
    assert computed.changed_by_padding() == []
    assert 0 <= computed.threshold <= 1 or computed.threshold == -1


def test_data_uris_hold_thumbnails(dump):
    ((_, shots),), _ = report.with_pictures(
        dump, 0.5, [2], [], lambda ids: {number: helpers.jpeg(number, 300) for number in ids}
    )
    prefix, _, data = shots[0].address.partition("base64,")
    assert prefix == "data:image/jpeg;"
    image = cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR)
    assert image.shape == (144, 144, 3)


def test_categories_of_other_boorus_have_rows_of_their_own():
    frame = TAGS.assign(category=[9, 9, 0, 0, 0, 7, 5, 4, 4])
    named = tag_categories.with_names(frame, {5: "species"})
    for tags, name in ((frame, "meta"), (named, "species")):
        expected = {name: [6], "category 7": [5]}
        columns = report.columns_by_category(types.SimpleNamespace(tags=tags))
        assert expected.items() <= {name: rows.tolist() for name, rows in columns.items()}.items()
