"""tools/review_labels.py without a browser: what it is started with, who is asked what."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers import small_dataset, small_releases
from helpers.reviewed import answer, make

from tools import review_labels
from Utils.serving import http_server
from Utils.tags import tag_list


def test_four_arguments_are_enough_and_second_opinions_are_asked_for(tmp_path, capsys):
    words = make(tmp_path)
    plain = tmp_path / "tags.csv"  # away from the dump: nothing is known but the audit
    plain.write_text((tmp_path / "dump" / "selected_tags.csv").read_text())
    words[words.index("--tags") + 1] = str(plain)
    for extra, decided, size in (([], 0, 0), (["--reviewer", "bob"], 1, 1), (["--second-opinion"], 1, 1)):
        options = review_labels.parser().parse_args([*words, *extra])
        assert http_server.is_local(options.host)
        with review_labels.prepared(options) as app:
            client = app.test_client()
            assert client.get("/api/state").json["progress"]["decided"] == decided
            assert client.get("/api/post/1000").json["labels"] is None
            assert len(client.get("/api/examples/11?post=1001").json["posts"]) == size
            answer(client, (1000, 11, "yes"))
    capsys.readouterr()
    options = review_labels.parser().parse_args([*words, "--reviewer", "cid", "--second-opinion"])
    with review_labels.prepared(options) as app:
        client = app.test_client()
        assert client.get("/api/questions").json["questions"][0]["post_id"] == "1000"  # cid has not seen it
        answer(client, (1000, 11, "yes"))
        (row,) = client.get("/api/tags").json["agreement"]
        assert (row["both"], row["same"], row["kappa"]) == (1, 1, None)
        assert "cid reviews" in capsys.readouterr().err


def test_tags_that_the_tagger_of_the_maps_lacks_are_named(tmp_path, capsys):
    release = small_releases.make(tmp_path / "release", tags=small_releases.TAGS.replace("blue_sky", "solo"))
    options = review_labels.parser().parse_args([*make(tmp_path), "--maps", str(release)])
    with review_labels.prepared(options) as app:
        assert app.test_client().get("/api/state").json["maps"] is True
    assert "release has no maps for 2 of 3 tags asked about: hat, <b>&" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--images", "nowhere"], "an image folder"),
        (["--tags", "nowhere.csv"], "a tag list"),
        (["--port", "99999"], "0 to 65535"),
        (["--reviewer", "a\nb"], "1 to 100 letters"),
        (["--dump", "nowhere"], "a dump folder"),
        (["--dataset", "nowhere"], "a dataset folder"),
        (["--db", "nowhere.db"], "a database"),
        (["--maps", "nowhere"], "a release folder was expected"),
        (["-o", "selected.txt"], "line 1"),
    ],
)
def test_wrong_use_is_refused_before_any_work(words, says, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "selected.txt").write_text("mine\n")
    assert review_labels.main([*make(tmp_path), *words]) == 2
    assert says in capsys.readouterr().err
    assert (tmp_path / "selected.txt").read_text() == "mine\n"


def test_a_port_in_use_is_refused_and_leaves_nothing_behind(tmp_path, capsys):
    with http_server.bind(port=0) as taken:
        port = str(taken.getsockname()[1])
        assert review_labels.main([*make(tmp_path), "--port", port]) == 2
    assert "give another --port" in capsys.readouterr().err
    assert not (tmp_path / "decisions.jsonl").exists()


def test_the_next_command_corrects_what_the_labels_came_from(tmp_path, monkeypatch, capsys):
    dataset = small_dataset(tmp_path / "booru", records=False)
    post = 1 + 1619 * 3
    (tmp_path / "audit.json").write_text(json.dumps({"tag_1": [post]}))
    monkeypatch.setattr(http_server, "run", lambda server: server.close())
    words = f"{tmp_path}/audit.json --tags {dataset}/selected_tags.csv -o {tmp_path}/decisions.jsonl --port 0"
    assert review_labels.main(words.split()) == 0
    assert f"--db {tmp_path / 'booru' / 'danbooru.db'} -o corrected.db" in capsys.readouterr().err


def test_pictures_and_labels_that_are_others_than_the_datasets_are_said(tmp_path, monkeypatch, capsys):
    dataset = small_dataset(tmp_path / "booru", records=False)
    table, names = (
        pq.read_table(dataset / "posts.parquet"),
        tag_list.read(dataset / "selected_tags.csv")["name"],
    )
    pq.write_table(table.append_column("picture", pa.array([1] * len(table))), dataset / "posts.parquet")
    first, second = table.to_pylist()[:2]
    asked = next(label for label in first["label_indexes"] if label not in second["label_indexes"])
    audit = {names[asked]: [first["post_id"], second["post_id"]]}  # likely missing, and the first has it
    (tmp_path / "audit.json").write_text(json.dumps(audit))
    monkeypatch.setattr(http_server, "run", lambda server: server.close())
    words = f"{tmp_path}/audit.json --tags {dataset}/selected_tags.csv -o {tmp_path}/decisions.jsonl --port 0"
    assert review_labels.main(words.split()) == 0
    said = capsys.readouterr().err
    assert "2 of 2 pictures looked at in" in said
    assert f"1 of 2 labels looked at in {dataset} are others than when they were audited" in said
