"""tools/compare_taggers.py on four taggers whose probabilities are known: exact numbers, work done once."""

import csv
import json
import shutil

import numpy as np
import pytest
from helpers import four_taggers
from sklearn.metrics import average_precision_score

from tools.compare_taggers import main
from Utils.evaluation import predictions
from Utils.tags import tag_list


@pytest.fixture(scope="module")
def posts(tmp_path_factory):
    """The folder of four taggers, what they say and what is true."""
    folder = tmp_path_factory.mktemp("taggers")
    return folder, *four_taggers.make(folder)


def run(folder, *words, taggers=tuple(four_taggers.LISTS), out="out", others=()):
    return main([
        *(str(folder / name) for name in taggers), *others, "--images", str(folder / "pictures"),
        "--labels", str(folder / "labels.csv"), "-o", str(folder / out), "--resamples", "100", *words,
    ])  # fmt: skip


def f1(above, y):
    return 2 * (above & y).sum(axis=0), above.sum(axis=0) + y.sum(axis=0)


def test_the_numbers_are_those_of_brute_force(posts, capsys):
    folder, expected, y, ids = posts
    assert run(folder, "--aliases", str(folder / "aliases.csv"), "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["posts"], found["tags"], found["shared_tags"]) == (40, 5, 5)
    for tagger in found["taggers"]:
        p = expected[tagger["name"]]
        dump = predictions.load(folder / "out" / "predictions" / tagger["name"])
        p = dump.probabilities[:, four_taggers.COLUMNS[tagger["name"]]]  # as stored, to the last bit
        np.testing.assert_allclose(p, expected[tagger["name"]], atol=1e-5)
        assert dump.image_ids.tolist() == ids.tolist()
        cut = np.sort(p, axis=None)[-y.sum() - 1]  # as many lie above as are true
        for limit, entry in ((cut, tagger), (np.float32([0.35] * 4 + [0.85]), tagger["published"])):
            hits, both = f1(p > limit, y)
            assert entry["micro_F1"] == pytest.approx(hits.sum() / both.sum(), rel=1e-12)
            assert entry["macro_F1"] == pytest.approx((hits / both).mean(), rel=1e-12)
        assert tagger["threshold"] == cut
        assert tagger["precision"] == tagger["recall"] == tagger["micro_F1"]
        ap = [average_precision_score(y[:, tag], p[:, tag]) for tag in range(5)]
        assert tagger["macro_AP"] == pytest.approx(np.mean(ap), rel=1e-12)
        assert tagger["categories"]["character"]["macro_AP"] == pytest.approx(ap[4], rel=1e-12)
        bins = np.minimum((p * 20).astype(int), 19)
        gaps = [abs((y - p)[bins == place].sum()) for place in range(20)]
        assert tagger["ECE"] == pytest.approx(sum(gaps) / y.size, rel=1e-5)
        assert tagger["images_per_second"] > 0
    by_name = {tagger["name"]: tagger for tagger in found["taggers"]}
    assert by_name["spaces"]["tags_not_judged"] == 1
    assert by_name["plain"]["tags_not_judged"] == 4  # the ratings
    for row in found["differences"]:
        gain = by_name[row["second"]][row["metric"]] - by_name[row["first"]][row["metric"]]
        assert row["difference"] == pytest.approx(gain, abs=1e-12)
        assert row["low"] <= row["difference"] <= row["high"]


def test_the_tables_say_who_has_what(posts, capsys):
    folder, _, y, _ = posts
    assert run(folder, "--aliases", str(folder / "aliases.csv"), out="tables") == 0
    shown = capsys.readouterr().out
    assert "40 posts, 5 tags that all have" in shown
    lines = (folder / "tables/tags.csv").read_text(encoding="utf-8").splitlines()
    rows = {row["name"]: row for row in csv.DictReader(lines)}
    grass = rows["green_grass"]
    assert [grass[name] for name in four_taggers.LISTS] == [
        "green_grass", "green grass", "lawn", "green_grass",
    ]  # fmt: skip
    assert (grass["judged"], int(grass["positives"])) == ("1", y[:, 1].sum())
    assert rows["blue_sky"]["renamed"] == "azure_sky"
    assert (rows["nobody_else"]["judged"], rows["nobody_else"]["taggers"]) == ("0", "1")
    header = (folder / "tables/comparison.csv").read_text().splitlines()[0]
    assert header.startswith("tagger,tags,threshold,micro_F1,")
    page = (folder / "tables/report.html").read_text(encoding="utf-8")
    assert "data:image/jpeg" in page
    assert "4 taggers on 40 posts and 5 tags" in page


def test_without_aliases_fewer_tags_are_shared(posts, capsys):
    folder = posts[0]
    assert run(folder, "--json", out="fewer", taggers=("plain", "alias")) == 0
    assert json.loads(capsys.readouterr().out)["tags"] == 4 + 1  # by id
    assert run(folder, "--json", out="fewest", taggers=("spaces", "alias")) == 0
    assert json.loads(capsys.readouterr().out)["tags"] == 4


def test_predictions_are_made_once_and_continued(posts, capsys):
    folder = posts[0]
    assert run(folder, out="once", taggers=("plain", "spaces")) == 0
    first = capsys.readouterr().out
    key = predictions.load(folder / "once/predictions/plain").info["key"]
    complete = np.array(predictions.load(folder / "once/predictions/plain").probabilities)
    assert run(folder, out="once", taggers=("plain", "spaces")) == 2  # it is there
    capsys.readouterr()
    assert run(folder, "--overwrite", out="once", taggers=("plain", "spaces")) == 0
    again = capsys.readouterr()
    assert again.err.count("are there already") == 2
    assert again.out == first
    # Interrupted within the second batch: what was written before it is not made again.
    kept = folder / ".part.predictions"
    kept.mkdir()
    np.full((9, complete.shape[1]), 0.125, np.float32).tofile(kept / f"{key}.f32")
    with (kept / f"{key}.f32").open("ab") as file:
        file.write(b"half a row")
    assert run(folder, out="part", taggers=("plain", "spaces")) == 0
    resumed = predictions.load(folder / "part/predictions/plain").probabilities
    assert (resumed[:9] == 0.125).all()
    np.testing.assert_array_equal(resumed[9:], complete[9:])
    assert not kept.exists()


def test_posts_that_are_old_or_were_trained_on_are_left_out(posts, capsys):
    folder, _, _, ids = posts
    (folder / "trained.txt").write_text(f"{ids[-1]}\n5\n{10**20}\n")
    (folder / "groups.csv").write_text(f"group,post_id\n0,{ids[-2]}\n0,5\n")
    plain = str(folder / "plain")
    words = ["--after-id", str(ids[9]), "--trained", f"{plain}={folder / 'trained.txt'}"]
    assert run(folder, *words, "--groups", str(folder / "groups.csv"), "--json", out="newer") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["posts"] == 40 - 10 - 2
    assert found["left_out"][f"not newer than post {ids[9]}"] == 10
    tagger = found["taggers"][0]
    assert (tagger["name"], tagger["leaked_posts"]) == ("plain", 2)
    assert "leaked_posts" not in found["taggers"][1]


def test_a_dump_takes_part(posts, capsys):
    folder = posts[0]
    assert run(folder, out="source", taggers=("plain", "spaces")) == 0
    capsys.readouterr()
    shutil.copytree(folder / "source/predictions/spaces", folder / "dump")
    assert run(folder, "--json", out="with_dump", taggers=("plain", "dump")) == 0
    found = json.loads(capsys.readouterr().out)
    assert [tagger["name"] for tagger in found["taggers"]] == ["plain", "dump"]
    assert not (folder / "with_dump/predictions/dump").exists()


def test_a_dump_of_other_pictures_with_the_same_ids(posts, capsys):
    folder, _, y, ids = posts
    tags = tag_list.read(folder / "spaces" / "selected_tags.csv")
    labels = np.zeros((len(ids), len(tags)), bool)
    labels[:, four_taggers.COLUMNS["spaces"]] = y
    for name, rows in (("own", ids), ("others", np.roll(ids, 1))):
        with predictions.writing(folder / name, tags) as writer:
            writer.add(np.float32(0.1 + 0.8 * labels), rows, labels)
            sizes = [(folder / "pictures" / f"{post}.png").stat().st_size + (post == ids[0]) for post in ids]
            listed = [f"{post},x,{size}\n" for post, size in zip(ids, sizes, strict=True)]
            (writer.folder / "images.csv").write_text("".join(["post_id,path,bytes\n", *listed]))
    assert run(folder, out="with_own", taggers=("plain", "own")) == 0
    assert "own: 1 of 40 pictures have other sizes than those that were predicted" in capsys.readouterr().err
    assert run(folder, out="with_others", taggers=("plain", "others")) == 2
    assert "others and the posts that are judged have the same post ids" in capsys.readouterr().err


def test_mistakes(posts, tmp_path, capsys):
    folder = posts[0]
    other = tmp_path / "other"
    shutil.copytree(folder / "alias", other)
    names = (other / "selected_tags.csv").read_text().splitlines()
    lines = [names[0], *(f"{90 + row},word_{row},0,1" for row in range(len(names) - 1))]
    (other / "selected_tags.csv").write_text("\n".join(lines) + "\n")
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "mine.txt").write_text("mine")
    cases = {
        "no tag in common": [str(other)],
        "--split belongs to --dataset": ["--split", "test"],
        "is newer than 99999": ["--after-id", "99999"],
        "--trained takes TAGGER=POSTS": ["--trained", "nobody=x"],
        "--groups needs --trained": ["--groups", "x.csv"],
        "is named twice": [str(folder / "plain")],
        "is not a comparison of taggers": ["-o", str(tmp_path / "notes"), "--overwrite"],
    }
    for said, words in cases.items():
        others = [word for word in words if len(words) == 1]
        options = [] if others else words
        assert run(folder, *options, taggers=("plain",), out="wrong", others=others) == 2, said
        assert said in capsys.readouterr().err
    assert not (folder / "wrong").exists()
    assert (tmp_path / "notes" / "mine.txt").exists()
