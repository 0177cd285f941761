"""tools/review_labels.py without a browser: questions, decisions, images, labels, and who gets what."""

import contextlib
import dataclasses
import datetime
import itertools
import json
import shutil
import sqlite3
import types

import cv2
import numpy as np
import pandas as pd
import pytest
from helpers import jpeg, small_dataset
from reviewed import POSTS, QUESTIONS, TAGS, make

from tools import review_labels
from Utils import datasets, decisions, dumps, labelings, pictures, questions, review_service, reviews, web
from Utils.commands import UserError
from Utils.decisions import Decision, Journal, Ledger


@pytest.fixture(scope="module")
def audit(tmp_path_factory):
    folder = tmp_path_factory.mktemp("audit")
    make(folder)
    return folder


@pytest.fixture
def asked(audit):
    return questions.read([audit / "audit.json"], TAGS)


@contextlib.contextmanager
def review_of(asked, path, reviewer="ann", second_opinion=False):
    with Journal(path) as journal:
        yield reviews.Review(asked, journal, reviewer, second_opinion)


@pytest.fixture
def client(audit, asked, tmp_path):
    """A client of the service, with a dump beside the tags."""
    source = labelings.OfDump(audit / "dump", TAGS["tag_id"].tolist())
    found = pictures.Pictures(audit / "images", np.unique(asked.posts).tolist())
    with review_of(asked, tmp_path / "decisions.jsonl") as review:
        service = review_service.Service(review, found, [source], "here")
        made = review_service.application(service).test_client()
        made.file = tmp_path / "decisions.jsonl"
        yield made


def answer(client, *answers, **headers):
    names = ("post_id", "tag_id", "decision")
    sent = [dict(zip(names, one, strict=True)) for one in answers]
    return client.post("/api/decisions", json={"answers": sent}, headers=headers)


# ---- questions


def test_questions_are_the_audit_in_its_order_with_scores(asked, audit):
    found = json.loads((audit / "audit.json").read_text())
    assert asked.tags["name"].tolist() == list(found)
    for number, (name, posts) in enumerate(found.items()):
        rows = asked.rows_of(number)
        assert asked.posts[rows].tolist() == posts
        assert (asked.tag_of(np.arange(rows.start, rows.stop)) == number).all()
        column = TAGS["name"].tolist().index(name)
        p = dumps.load(audit / "dump").probabilities[np.array(posts) - POSTS[0], column]
        np.testing.assert_allclose(asked.probabilities[rows], p, rtol=1e-6)
        assert [asked.find(post, number) for post in posts] == list(range(rows.start, rows.stop))
    assert asked.find(999, 0) is None
    assert not asked.carried.any()


def test_wrongly_carried_tags_are_asked_beside_missing_ones_each_once(tmp_path):
    (tmp_path / "audit.json").write_text('{"hat": [5, 4, 5], "solo": [7]}')
    (tmp_path / "audit_wrong.json").write_text('{"solo": [8, 7], "smile": []}')
    both = [tmp_path / "audit.json", tmp_path / "audit_wrong.json"]
    found = questions.read(both, TAGS)
    assert found.tags["name"].tolist() == ["hat", "solo"]
    assert found.posts.tolist() == [5, 4, 7, 8]
    assert found.carried.tolist() == [False, False, False, True]
    assert np.isnan(found.probabilities).all()  # no scores beside it
    (tmp_path / "audit.csv").write_text("tag,tag_id,post_id,probability,label,score\nsolo,11,8,0.25,1,0.25\n")
    shutil.copy(both[1], tmp_path / "mine.json")
    shutil.copy(tmp_path / "audit.csv", tmp_path / "mine.csv")
    assert questions.read([tmp_path / "mine.json"], TAGS).carried.tolist() == [True, False]  # by the scores
    found = questions.read(both[1:], TAGS)
    assert (found.posts.tolist(), found.probabilities.tolist()[0]) == ([8, 7], 0.25)
    assert found.carried.tolist() == [True, True]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("[]", "must map tags"),
        ("{", "no JSON"),
        ('{"solo": 5}', "a list of post ids"),
        ('{"solo": ["5"]}', "a list of post ids"),
        ('{"solo": [true]}', "a list of post ids"),
        ('{"solo": [-1]}', "a list of post ids"),
        ('{"sole": [5]}', "did you mean solo"),
        ("{}", "nothing to decide"),
    ],
)
def test_what_is_no_audit_is_told(content, says, tmp_path):
    (tmp_path / "audit.json").write_text(content)
    with pytest.raises(UserError, match=says):
        questions.read([tmp_path / "audit.json"], TAGS)


# ---- decisions


def test_any_sequence_of_answers_equals_what_the_file_says(asked, tmp_path, monkeypatch):
    """Two reviewers answer, repeat and undo at random, and the review is restarted in between."""
    monkeypatch.setattr(decisions.os, "fsync", lambda _: None)  # hundreds of them take their time
    random, path = np.random.default_rng(0), tmp_path / "decisions.jsonl"
    model = {}  # (post, tag id) -> reviewer -> decision
    for turn, second in itertools.product(range(6), (False, True)):
        who = ("ann", "bob")[turn % 2]
        with review_of(asked, path, who, second) as review:
            for row in random.integers(0, 12, 30).tolist():
                post, tag_id = int(asked.posts[row]), int(asked.tags["tag_id"][asked.tag_of(row)])
                kind = str(random.choice(["yes", "no", "unsure", "undo"]))
                by = model.setdefault((post, tag_id), {})
                due = who in by if kind == "undo" else who not in by if second else not by
                if due and kind == "undo":
                    del by[who]
                elif due:
                    by[who] = kind
                assert [recorded for recorded, _ in review.decide([(post, tag_id, kind)])] == [due]
                assert review.decide([(post, tag_id, kind)])[0][0] is False  # sent twice
            standing = Ledger(decisions.read(path)).standing()
            found = {pair: {who: one.decision for who, one in by.items()} for pair, by in standing.items()}
            assert found == {pair: by for pair, by in model.items() if by}
            verdicts, _ = decisions.verdicts(decisions.read(path))
            progress = review.progress()
            assert progress["yes"] == sum(has for _, has in verdicts.values())
            assert progress["no"] == len(verdicts) - progress["yes"]
            assert progress["unsure"] == len(standing) - len(verdicts)
            open_ones = {
                row for row in range(12)
                if who not in (by := found.get((int(asked.posts[row]), 11), {})) and (second or not by)
            }  # fmt: skip
            assert set(review.open_of(0, 12)) & set(range(12)) == open_ones
            assert (review.counts.sum(axis=1) == np.diff(asked.starts)).all()
            assert review.open_counts.sum() == review.open.sum()
            assert [review.next_tag(0, step) for step in (1, -1)] == [1, 2]


def test_what_was_decided_at_once_is_undone_at_once_also_after_a_restart(asked, tmp_path):
    path = tmp_path / "decisions.jsonl"
    with review_of(asked, path) as review:
        review.decide([(1000, 11, "yes")])
        review.decide([(1001, 11, "no"), (1002, 11, "yes"), (1001, 11, "yes")])
        assert review.last() == [1, 2]
    with review_of(asked, path) as review:
        assert review.last() == [1, 2]
        review.decide([(1001, 11, "undo"), (1002, 11, "undo")])
        assert review.last() == [0]
        assert review.stands(1) is None
        with pytest.raises(reviews.NotAskedError):
            review.decide([(1000, 11, "undo"), (1079, 11, "no")])  # nothing of it is taken
        with pytest.raises(reviews.NotAskedError):
            review.decide([(1000, 13, "no")])
        assert review.stands(0) == "yes"
    assert [one.decision for one in decisions.read(path)] == ["yes", "no", "yes", "undo", "undo"]


def test_decisions_have_times_of_their_own_although_the_clock_stands(asked, tmp_path, monkeypatch):
    noon = datetime.datetime(2026, 1, 1, 12, tzinfo=datetime.UTC)
    stopped = types.SimpleNamespace(now=lambda _: noon)
    clock = types.SimpleNamespace(datetime=stopped, UTC=datetime.UTC, timedelta=datetime.timedelta)
    monkeypatch.setattr(reviews, "datetime", clock)
    with review_of(asked, tmp_path / "decisions.jsonl") as review:
        for post in (1000, 1001, 1002):
            review.decide([(post, 11, "yes")])
        assert review.last() == [2]  # the last one alone is undone
    times = [one.time for one in decisions.read(tmp_path / "decisions.jsonl")]
    assert times == [f"2026-01-01T12:00:00.00000{number}Z" for number in range(3)]


def test_the_journal_repairs_its_end_and_has_one_writer(tmp_path):
    path = tmp_path / "new" / "decisions.jsonl"
    lines = [Decision(post, "solo", 11, "yes", "2026-01-01T00:00:00Z", "ann") for post in (1, 2, 3)]
    with Journal(path) as journal:
        journal.append(*lines[:2])
        with pytest.raises(UserError, match="another review writes"):
            Journal(path)
    whole = path.read_bytes()
    for cut in (1, 9, len(whole) // 2 - 1):
        path.write_bytes(whole[:-cut])
        with Journal(path) as journal:
            kept = 2 if cut == 1 else 1  # without its line end alone a line is whole
            assert journal.decisions == lines[:kept]
            assert journal.cut == (0 if cut == 1 else len(whole) // 2 - cut)
            journal.append(lines[2])
        assert decisions.read(path) == [*lines[:kept], lines[2]]
    path.write_bytes(whole + b"\0" * 20)  # a block that was never written
    with Journal(path) as journal:
        assert journal.decisions == lines[:2]
    assert path.read_bytes() == whole


@pytest.mark.parametrize("content", [b"\xff\xd8\xff not a journal", b"[1]\n", b'{"post_id": 1}\n{"post'])
def test_a_file_that_is_something_else_is_left_alone(content, tmp_path):
    (tmp_path / "mine").write_bytes(content)
    with pytest.raises(UserError, match="line 1"):
        Journal(tmp_path / "mine")
    assert (tmp_path / "mine").read_bytes() == content


def test_a_full_disk_takes_the_line_back(asked, tmp_path, monkeypatch):
    path, append = tmp_path / "decisions.jsonl", decisions.append

    def full(file, *some):
        file.write(b'{"post_id"')
        raise OSError("No space left on device")

    with review_of(asked, path) as review:
        review.decide([(1000, 11, "yes")])
        monkeypatch.setattr(decisions, "append", full)
        with pytest.raises(OSError, match="space"):
            review.decide([(1001, 11, "yes")])
        assert review.stands(1) is None
        monkeypatch.setattr(decisions, "append", append)
        review.decide([(1001, 11, "no")])
    assert [(one.post_id, one.decision) for one in decisions.read(path)] == [(1000, "yes"), (1001, "no")]


def test_agreement_is_cohens_kappa():
    """The example of Cohen's kappa in textbooks: 20 both yes, 5 and 10 differ, 15 both no; kappa is 0.4."""
    ann = ["yes"] * 25 + ["no"] * 25 + ["unsure", "yes"]
    bob = ["yes"] * 20 + ["no"] * 5 + ["yes"] * 10 + ["no"] * 15 + ["yes", "unsure"]
    made = [
        Decision(post, "solo", 11, kind, "", who)
        for who, kinds in (("bob", bob), ("ann", ann))
        for post, kind in enumerate(kinds)
    ]
    assert decisions.agreement(Ledger(made).standing()) == [("ann", "bob", 50, 35, pytest.approx(0.4))]
    alike = [dataclasses.replace(one, decision="yes") for one in made]
    assert decisions.agreement(Ledger(alike).standing()) == [("ann", "bob", 52, 52, None)]


# ---- what the page asks for


def test_the_page_brings_everything_with_it(client):
    for path in review_service.PAGES:
        reply = client.get(path)
        assert reply.status_code == 200
        assert "default-src 'none'" in reply.headers["Content-Security-Policy"]
        assert "//" not in reply.text.replace("// ", "").replace("http://www.w3.org", "")
    assert client.get("/").content_type == "text/html; charset=utf-8"


def test_portions_are_bounded_and_follow_the_audit(client, asked):
    first = client.get("/api/questions").json
    assert first["tag"]["name"] == "solo"
    assert (first["previous"], first["next"]) == (14, 12)
    assert [one["post_id"] for one in first["questions"]] == list(range(1000, 1024))
    assert len(client.get("/api/questions?tag=12&limit=99999").json["questions"]) == 60
    assert len(client.get("/api/posts?limit=99999").json["posts"]) == 20
    most = [post["post_id"] for post in client.get("/api/posts").json["posts"]]
    assert most == [1000, 1001, 1002, 1020]  # those with two questions come first
    assert [post["post_id"] for post in client.get("/api/posts?offset=2&limit=1").json["posts"]] == [1002]
    found = client.get("/api/tags?order=name&limit=2&offset=1").json
    assert (found["total"], [tag["name"] for tag in found["tags"]]) == (3, ["hat", "solo"])
    assert [tag["name"] for tag in client.get("/api/tags?find=%3CB").json["tags"]] == ["<b>&"]
    answer(client, (1000, 14, "yes"), (1001, 14, "no"), (1002, 14, "unsure"))
    last = client.get("/api/tags?order=open").json["tags"][-1]
    assert (last["name"], last["open"], last["yes"], last["no"], last["unsure"]) == ("<b>&", 0, 1, 1, 1)
    assert client.get("/api/questions?tag=14").json["questions"] == []
    assert client.get("/api/questions?tag=12").json["next"] == 11
    state = client.get("/api/state").json
    assert state["progress"] | {"questions": 0} == {
        "questions": 0, "decided": 3, "yes": 1, "no": 1, "unsure": 1, "tags": 3, "tags_done": 1,
    }  # fmt: skip
    assert [(one["post_id"], one["stands"]) for one in state["last"]] == [
        (1000, "yes"), (1001, "no"), (1002, "unsure"),
    ]  # fmt: skip


def test_of_a_post_with_many_questions_the_open_ones_come(client, monkeypatch):
    monkeypatch.setattr(review_service, "MOST", 1)
    for tag_id, following in ((11, 14), (14, 11)):
        (question,) = client.get("/api/post/1000").json["questions"]
        assert question["tag_id"] == tag_id
        answer(client, (1000, tag_id, "yes"))
        assert client.get("/api/post/1000").json["questions"][0]["tag_id"] == following


def test_when_all_is_decided_nothing_is_asked(client):
    for tag_id, posts in ((11, range(1000, 1060)), (12, range(1020, 1080)), (14, range(1000, 1003))):
        assert answer(client, *((post, tag_id, "no") for post in posts)).status_code == 200
    assert client.get("/api/questions").json == {"tag": None, "next": None, "previous": None, "questions": []}
    assert client.get("/api/questions?tag=11").json["next"] is None
    assert client.get("/api/posts").json == {"posts": []}
    assert len(client.file.read_bytes().splitlines()) == QUESTIONS


def test_decisions_are_lines_of_the_contract(client):
    reply = answer(client, (1000, 11, "yes"), (1001, 11, "no")).json
    assert reply["answers"] == [{"recorded": True, "stands": "yes"}, {"recorded": True, "stands": "no"}]
    again = answer(client, (1000, 11, "no")).json
    assert again["answers"] == [{"recorded": False, "stands": "yes"}]
    lines = [json.loads(line) for line in client.file.read_text().splitlines()]
    assert [list(line) for line in lines] == [list(decisions.FIELDS)] * 2
    assert (lines[0]["post_id"], lines[0]["tag"], lines[0]["tag_id"]) == (1000, "solo", 11)
    assert (lines[0]["decision"], lines[0]["reviewer"]) == ("yes", "ann")
    assert pd.Timestamp(lines[0]["time"]).tzinfo is not None


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"answers": []}, 400),
        ({"answers": [{"post_id": 1000, "tag_id": 11, "decision": "no"}] * 101}, 400),
        ({"answers": [{"post_id": "1000", "tag_id": 11, "decision": "no"}]}, 400),
        ({"answers": [{"post_id": 1000, "tag_id": True, "decision": "no"}]}, 400),
        ({"answers": [{"post_id": 1000, "tag_id": 11, "decision": "maybe"}]}, 400),
        ({"answers": [{"post_id": 1000, "tag_id": 11, "decision": ["no"]}]}, 400),
        ({"answers": [5]}, 400),
        ([5], 400),
        ({"answers": [{"post_id": 1000, "tag_id": 13, "decision": "no"}]}, 404),
        ({"answers": [{"post_id": 1079, "tag_id": 11, "decision": "no"}]}, 404),
    ],
)
def test_what_is_no_answer_changes_nothing(body, code, client):
    reply = client.post("/api/decisions", json=body)
    assert (reply.status_code, bool(reply.json["error"])) == (code, True)
    assert client.file.read_bytes() == b""


def test_other_pages_cannot_decide(client):
    body = json.dumps({"answers": [{"post_id": 1000, "tag_id": 11, "decision": "no"}]})
    for kind, headers, code in (
        ("application/json", {"Origin": "http://evil.example"}, 403),
        ("application/json", {"Origin": "null"}, 403),
        ("application/json", {"Host": "evil.example"}, 403),
        ("text/plain", {}, 415),  # what a form can send
        ("application/json", {"X": "x" * 10}, 200),
    ):
        assert (
            client.post("/api/decisions", data=body, content_type=kind, headers=headers).status_code == code
        )
    assert client.post("/api/decisions", data="{", content_type="application/json").status_code == 400
    assert len(client.file.read_bytes().splitlines()) == 1
    assert (
        client.post("/api/decisions", data=b" " * 300_000, content_type="application/json").status_code == 413
    )


def test_a_disk_that_is_full_is_told(client, monkeypatch):
    def full(*_):
        raise OSError("No space left on device")

    monkeypatch.setattr(decisions, "append", full)
    reply = answer(client, (1000, 11, "yes"))
    assert reply.status_code == 507
    assert "No space" in reply.json["error"]


# ---- images


def test_images_of_asked_posts_and_of_examples_only(client, audit, asked):
    reply = client.get("/images/1000")
    assert (reply.status_code, reply.content_type) == (200, "image/jpeg")
    assert reply.data == (audit / "images/0000/1000.jpg").read_bytes()
    small = cv2.imdecode(np.frombuffer(client.get("/images/1000/small").data, np.uint8), cv2.IMREAD_COLOR)
    assert small.shape == (pictures.SMALL, pictures.SMALL, 3)
    other = audit / "images" / "0500" / "500.jpg"  # an image, but of a post that nobody asks about
    other.parent.mkdir(exist_ok=True)
    other.write_bytes(jpeg(0, 16))
    for path in (
        *("500", "500/small", "-1000", "1000.jpg", "1e3", "9" * 400, "", "../audit.json", "..%2Faudit.json"),
        *("%2Fetc%2Fpasswd", "../audit.json", "../api/post/500", "../api/examples/13", "../static/page.js"),
    ):
        assert client.get(f"/images/{path}").status_code == 404, path


def test_examples_are_posts_with_the_tag_nearest_first(client, audit):
    found = client.get("/api/examples/11?post=1000").json
    dump = dumps.load(audit / "dump")
    carriers = [post for post in POSTS if dump.labels[post - POSTS[0], 0]]
    assert set(carriers).isdisjoint(range(1000, 1060))
    far = np.linalg.norm(dump.probabilities - dump.probabilities[0], axis=1)
    nearest = sorted(carriers, key=lambda post: far[post - POSTS[0]])[: review_service.EXAMPLES]
    assert found == {"posts": nearest, "nearest": True}
    answer(client, (1059, 11, "yes"), (1058, 11, "no"))
    near = client.get("/api/examples/11?post=1059").json["posts"]
    assert 1058 not in near
    assert 1059 not in near  # itself
    sure = sorted([*carriers, 1059], key=lambda post: far[post - POSTS[0]])[: review_service.EXAMPLES]
    assert client.get("/api/examples/11?post=1000").json["posts"] == sure


def test_an_example_may_be_seen_once_it_was_shown_and_is_not_in_doubt(audit, tmp_path, monkeypatch):
    monkeypatch.setattr(review_service, "EXAMPLES", 99)
    (tmp_path / "audit.json").write_text('{"<b>&": [1000, 1003]}')  # 1003 carries it, 1006 and 1009 do too
    asked = questions.read([tmp_path / "audit.json"], TAGS)
    source = labelings.OfDump(audit / "dump", [14])
    with review_of(asked, tmp_path / "decisions.jsonl") as review:
        found = pictures.Pictures(audit / "images", [1000, 1003])
        client = review_service.application(review_service.Service(review, found, [source])).test_client()
        (first, *_) = posts = source.nearest(1000, [post for post in source.carriers(14) if post != 1003])
        assert client.get(f"/images/{first}").status_code == 404
        assert client.get("/api/examples/14?post=1000").json["posts"] == posts
        assert client.get(f"/images/{first}").status_code == 200
    assert 1003 in source.carriers(14)
    assert source.carriers(11) == []  # nobody asks about it


def test_an_image_is_found_anywhere_but_not_outside(tmp_path):
    folder, outside = tmp_path / "images", tmp_path / "outside"
    for place in (folder / "a b", folder / "0005", outside):
        place.mkdir(parents=True)
    (folder / "a b" / "5.jpg").write_bytes(jpeg(5, 8))
    (outside / "6.jpg").write_bytes(jpeg(6, 8))
    (folder / "0006").symlink_to(outside)
    (folder / "7.jpg").symlink_to(outside / "6.jpg")
    (folder / "8.png").write_bytes(b"no image")
    (folder / "9.png").write_bytes(cv2.imencode(".png", np.zeros((6, 4, 3), np.uint8))[1].tobytes())
    tiff = cv2.imencode(".tiff", np.full((6, 4, 3), 9, np.uint8))[1].tobytes()
    (folder / "10.tif").write_bytes(tiff)
    found = pictures.Pictures(
        folder, [5, 6, 7, 8, 9, 10, 11, 12], {11: "../outside/6.jpg", 12: str(outside / "6.jpg")}
    )
    assert found.large(5) == (jpeg(5, 8), "image/jpeg")
    assert [found.large(post) for post in (6, 7, 8, 11, 12)] == [None] * 5
    assert [found.small(post) for post in (6, 7, 8, 11, 12)] == [None] * 5
    assert found.large(9)[1] == "image/png"
    assert found.large(10)[0][:3] == b"\xff\xd8\xff"  # as browsers show it
    assert found.num_absent == 4
    with pytest.raises(UserError, match="none of 2 posts looked for has an image"):
        pictures.Pictures(folder, [6, 7])
    with pytest.raises(UserError, match="an image folder was expected"):
        pictures.Pictures(tmp_path / "nowhere", [1])


# ---- labels


def test_labels_and_carriers_by_dataset_dump_and_database_agree(tmp_path, monkeypatch):
    monkeypatch.setattr(labelings, "POOL", 5)
    monkeypatch.setattr(labelings, "_ROWS", 7)
    folder = small_dataset(tmp_path, records=False)
    dataset, table = datasets.load(folder), pd.read_parquet(folder / "posts.parquet")
    labels = np.zeros((len(table), dataset.num_labels), np.uint8)
    for row, columns in enumerate(table["label_indexes"]):
        labels[row, columns] = 1
    with dumps.writing(tmp_path / "dump", dataset.tags) as writer:
        writer.add(labels.astype(np.float32), table["post_id"].to_numpy(), labels)
    tag_ids, posts = dataset.tags["tag_id"].tolist(), table["post_id"].to_numpy()
    sources = [
        labelings.OfDataset(folder, tag_ids, posts[:9]),
        labelings.OfDump(tmp_path / "dump", tag_ids),
        labelings.OfDatabase(tmp_path / "danbooru.db"),
    ]
    names = dataset.tags["name"].to_numpy()
    for row, post in enumerate(posts[:9].tolist()):
        expected = {names[column] for column in np.flatnonzero(labels[row])}
        for source in sources:
            found = dict(source.tags_of(post) or [])
            assert set(found) & set(names) == expected
            assert all(
                found[name] == int(dataset.tags.set_index("name")["category"][name]) for name in expected
            )
    for column, tag_id in enumerate(tag_ids):
        carriers = set(posts[labels[:, column] != 0].tolist())
        for source in sources:
            found = source.carriers(tag_id)
            assert len(found) == len(set(found)) == min(5, len(carriers))
            assert set(found) <= carriers
            assert source.carriers(999_999) == []
    for source in sources:
        assert source.tags_of(999_999) is None
    assert sources[0].paths[int(posts[0])] == table["path"][0]
    assert labelings.beside(folder / "selected_tags.csv") == (None, folder)
    assert labelings.beside(tmp_path / "dump" / "selected_tags.csv") == (tmp_path / "dump", None)
    assert labelings.beside(tmp_path / "x.csv") == (None, None)
    with pytest.raises(UserError, match="no fire-eggs database"):
        labelings.OfDatabase(folder / "posts.parquet")


# ---- the command


def test_four_arguments_are_enough_and_second_opinions_are_asked(tmp_path, capsys):
    words = make(tmp_path)
    plain = tmp_path / "tags.csv"  # away from the dump: nothing is known but the audit
    plain.write_text((tmp_path / "dump" / "selected_tags.csv").read_text())
    words[words.index("--tags") + 1] = str(plain)
    for extra, decided, size in (([], 0, 0), (["--reviewer", "bob"], 1, 1), (["--second-opinion"], 1, 1)):
        options = review_labels.parser().parse_args([*words, *extra])
        assert web.is_local(options.host)
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
        assert client.get("/api/questions").json["questions"][0]["post_id"] == 1000  # cid has not seen it
        answer(client, (1000, 11, "yes"))
        (row,) = client.get("/api/tags").json["agreement"]
        assert (row["both"], row["same"], row["kappa"]) == (1, 1, None)
        assert "cid reviews" in capsys.readouterr().err


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
        (["-o", "selected.txt"], "line 1"),
    ],
)
def test_wrong_use_is_told_before_any_work(words, says, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "selected.txt").write_text("mine\n")
    assert review_labels.main([*make(tmp_path), *words]) == 2
    assert says in capsys.readouterr().err
    assert (tmp_path / "selected.txt").read_text() == "mine\n"


def test_a_broken_database_is_told(tmp_path):
    with contextlib.closing(sqlite3.connect(tmp_path / "x.db")) as made, made:
        made.execute("CREATE TABLE tags (tag_id INT)")
    with pytest.raises(UserError, match="imageTags"):
        labelings.OfDatabase(tmp_path / "x.db")
