"""Utils/labels/review_service.py: what the page asks for, and what others do not get."""

import json

import cv2
import numpy as np
import pandas as pd
import pytest
from helpers import jpeg
from helpers.reviewed import POSTS, QUESTIONS, TAGS, answer, review_of

from Utils.data import post_images_server
from Utils.evaluation import predictions
from Utils.labels import decisions, label_lookup, questions, review_service


@pytest.fixture
def client(audit, asked, tmp_path):
    """A client of the service, with a dump beside the tags."""
    source = label_lookup.DumpLabels(audit / "dump", TAGS["tag_id"].tolist())
    images = post_images_server.PostImages(audit / "images", np.unique(asked.posts).tolist())
    with review_of(asked, tmp_path / "decisions.jsonl") as review:
        service = review_service.Service(review, images, [source], "here")
        client = review_service.application(service).test_client()
        client.file = tmp_path / "decisions.jsonl"
        yield client


def test_the_page_brings_everything_with_it(client):
    names = [path.name for path in review_service.ASSETS.iterdir()]
    assert len(names) == 6
    for name in ("", *(name for name in names if name != "page.html")):
        reply = client.get(f"/{name}")
        assert reply.status_code == 200
        assert "default-src 'none'" in reply.headers["Content-Security-Policy"]
        assert "//" not in reply.text.replace("// ", "").replace("http://www.w3.org", "")
    assert client.get("/").content_type == "text/html; charset=utf-8"


def test_portions_are_bounded_and_follow_the_audit(client, asked):
    first = client.get("/api/questions").json
    assert first["tag"]["name"] == "solo"
    assert (first["previous"], first["next"]) == (14, 12)
    assert [question["post_id"] for question in first["questions"]] == [*map(str, range(1000, 1024))]
    assert len(client.get("/api/questions?tag=12&limit=99999").json["questions"]) == 60
    assert len(client.get("/api/posts?limit=99999").json["posts"]) == 20
    most = [post["post_id"] for post in client.get("/api/posts").json["posts"]]
    assert most == ["1000", "1001", "1002", "1020"]  # those with two questions come first
    assert [post["post_id"] for post in client.get("/api/posts?offset=2&limit=1").json["posts"]] == ["1002"]
    overview = client.get("/api/tags?order=name&limit=2&offset=1").json
    assert (overview["total"], [tag["name"] for tag in overview["tags"]]) == (3, ["hat", "solo"])
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
    assert [(question["post_id"], question["stands"]) for question in state["last"]] == [
        ("1000", "yes"), ("1001", "no"), ("1002", "unsure"),
    ]  # fmt: skip


def test_ids_are_texts_both_ways(audit, tmp_path):
    post = 2**63 - 1
    (tmp_path / "audit.json").write_text(f'{{"solo": [{post}]}}')
    asked = questions.read([tmp_path / "audit.json"], TAGS)
    with review_of(asked, tmp_path / "decisions.jsonl") as review:
        images = post_images_server.PostImages(audit / "images", [1000])
        client = review_service.application(review_service.Service(review, images)).test_client()
        (question,) = client.get("/api/questions").json["questions"]
        assert question["post_id"] == client.get(f"/api/post/{post}").json["post_id"] == str(post)
        assert answer(client, (question["post_id"], 11, "yes")).json["answers"][0]["recorded"]
        assert [decision.post_id for decision in decisions.read(tmp_path / "decisions.jsonl")] == [post]
        assert client.get("/api/examples/11?post=" + "9" * 19).status_code == 200
        for unknown in ("9" * 19, "9" * 40):
            assert client.get(f"/api/post/{unknown}").status_code == 404
            assert client.get(f"/images/{unknown}").status_code == 404
        assert answer(client, (10**19 - 1, 11, "yes")).status_code == 404


def test_a_post_with_many_questions_gives_the_open_ones_first(client, monkeypatch):
    monkeypatch.setattr(review_service, "MAX_ITEMS", 1)
    for tag_id, following in ((11, 14), (14, 11)):
        (question,) = client.get("/api/post/1000").json["questions"]
        assert question["tag_id"] == tag_id
        answer(client, (1000, tag_id, "yes"))
        assert client.get("/api/post/1000").json["questions"][0]["tag_id"] == following


def test_nothing_is_asked_when_all_is_decided(client):
    for tag_id, posts in ((11, range(1000, 1060)), (12, range(1020, 1080)), (14, range(1000, 1003))):
        assert answer(client, *((post, tag_id, "no") for post in posts)).status_code == 200
    assert client.get("/api/questions").json == {"tag": None, "next": None, "previous": None, "questions": []}
    assert client.get("/api/questions?tag=11").json["next"] is None
    assert client.get("/api/posts").json == {"posts": []}
    assert len(client.file.read_bytes().splitlines()) == QUESTIONS


def test_decisions_are_lines_of_the_file(client):
    reply = answer(client, (1000, 11, "yes"), (1001, 11, "no")).json
    assert reply["answers"] == [{"recorded": True, "stands": "yes"}, {"recorded": True, "stands": "no"}]
    again = answer(client, (1000, 11, "no")).json
    assert again["answers"] == [{"recorded": False, "stands": "yes"}]
    lines = [json.loads(line) for line in client.file.read_text().splitlines()]
    assert [list(line) for line in lines] == [list(decisions.FIELDS)] * 2
    assert (lines[0]["post_id"], lines[0]["tag"], lines[0]["tag_id"]) == (1000, "solo", 11)
    assert (lines[0]["decision"], lines[0]["reviewer"]) == ("yes", "ann")
    assert pd.Timestamp(lines[0]["time"]).tzinfo is not None


def numbered(client, sender, number, *answers):
    """Send answers with the number of their message; return what was recorded and what stands."""
    names = ("post_id", "tag_id", "decision")
    sent = [dict(zip(names, values, strict=True)) for values in answers]
    message = {"answers": sent, "sender": sender, "number": number}
    reply = client.post("/api/decisions", json=message).json["answers"]
    return [(answer["recorded"], answer["stands"]) for answer in reply]


@pytest.mark.reliability("a decision that was resent and undone comes a third time", "it changes nothing")
def test_the_late_copy_of_a_decision_changes_nothing(client):
    yes, undo = (1000, 11, "yes"), (1000, 11, "undo")
    assert numbered(client, "a", 1, yes) == [(True, "yes")]
    assert numbered(client, "a", 1, yes) == [(False, "yes")]  # sent again, as no reply came
    assert numbered(client, "a", 2, undo) == [(True, None)]
    written = client.file.read_bytes()
    assert numbered(client, "a", 1, yes) == [(False, None)]  # the first request, held up on its way
    assert numbered(client, "a", 2, undo) == [(False, None)]
    assert client.file.read_bytes() == written
    assert numbered(client, "a", 3, yes) == [(True, "yes")]
    assert numbered(client, "b", 1, undo) == [(True, None)]  # another tab has numbers of its own
    assert answer(client, yes).json["answers"][0]["recorded"]  # a script sends none


def test_a_message_that_was_not_written_counts_when_it_comes_again(client, monkeypatch):
    def full(*lines):
        raise OSError("no space left")

    with monkeypatch.context() as patch:
        patch.setattr(decisions.Journal, "append", lambda journal, *lines: full())
        message = {"answers": [{"post_id": 1000, "tag_id": 11, "decision": "no"}], "sender": "a", "number": 1}
        assert client.post("/api/decisions", json=message).status_code == 507
    assert numbered(client, "a", 1, (1000, 11, "no")) == [(True, "no")]


def test_the_numbers_of_the_latest_senders_are_kept(client, monkeypatch):
    monkeypatch.setattr(review_service, "MAX_SENDERS", 2)
    for sender in "abc":
        numbered(client, sender, 5, (1000, 11, "yes"))
    assert [numbered(client, sender, 5, (1000, 11, "undo"))[0][0] for sender in "cba"] == [False, False, True]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"answers": []}, 400),
        ({"answers": [{"post_id": 1000, "tag_id": 11, "decision": "no"}] * 101}, 400),
        ({"answers": [{"post_id": "1000.0", "tag_id": 11, "decision": "no"}]}, 400),
        ({"answers": [{"post_id": 1000, "tag_id": True, "decision": "no"}]}, 400),
        ({"answers": [{"post_id": 1000, "tag_id": 11, "decision": "maybe"}]}, 400),
        ({"answers": [{"post_id": 1000, "tag_id": 11, "decision": ["no"]}]}, 400),
        ({"answers": [5]}, 400),
        ({"answers": [{"post_id": 1000, "tag_id": 11, "decision": "no"}], "sender": "a"}, 400),
        ({"answers": [{"post_id": 1000, "tag_id": 11, "decision": "no"}], "sender": "", "number": 1}, 400),
        ({"answers": [{"post_id": 1000, "tag_id": 11, "decision": "no"}], "sender": "a", "number": 0}, 400),
        ({"answers": [{"post_id": 1000, "tag_id": 11, "decision": "no"}], "sender": [], "number": 1}, 400),
        ([5], 400),
        ({"answers": [{"post_id": 1000, "tag_id": 13, "decision": "no"}]}, 404),
        ({"answers": [{"post_id": 1079, "tag_id": 11, "decision": "no"}]}, 404),
    ],
)
def test_a_broken_answer_changes_nothing(body, code, client):
    reply = client.post("/api/decisions", json=body)
    assert (reply.status_code, bool(reply.json["error"])) == (code, True)
    assert client.file.read_bytes() == b""


def test_maps_are_of_images_that_may_be_seen_and_of_tags_that_are_asked_about(audit, asked, tmp_path):
    class Maps:
        def png(self, data, tag):
            return f"{tag}, {len(data)}".encode()

    images = post_images_server.PostImages(audit / "images", np.unique(asked.posts).tolist())
    with review_of(asked, tmp_path / "decisions.jsonl") as review:
        for maps in (None, Maps()):
            client = review_service.application(
                review_service.Service(review, images, maps=maps)
            ).test_client()
            assert client.get("/api/state").json["maps"] == (maps is not None)
            reply = client.get("/images/1000/map/14")
            assert reply.status_code == (404 if maps is None else 200)
        size = len((audit / "images" / "0000" / "1000.jpg").read_bytes())
        assert (reply.text, reply.content_type) == (f"<b>&, {size}", "image/png")
        for path in ("/images/5/map/14", "/images/1000/map/13"):
            assert client.get(path).status_code == 404


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


def test_a_full_disk_is_reported(client, monkeypatch):
    def full(*_):
        raise OSError("No space left on device")

    monkeypatch.setattr(decisions, "append", full)
    reply = answer(client, (1000, 11, "yes"))
    assert reply.status_code == 507
    assert "No space" in reply.json["error"]


def test_only_images_of_asked_posts_are_served(client, audit, asked):
    reply = client.get("/images/1000")
    assert (reply.status_code, reply.content_type) == (200, "image/jpeg")
    assert reply.data == (audit / "images/0000/1000.jpg").read_bytes()
    small = cv2.imdecode(np.frombuffer(client.get("/images/1000/small").data, np.uint8), cv2.IMREAD_COLOR)
    assert small.shape == (post_images_server.SMALL, post_images_server.SMALL, 3)
    other = audit / "images" / "0500" / "500.jpg"  # an image, but of a post that nobody asks about
    other.parent.mkdir(exist_ok=True)
    other.write_bytes(jpeg(0, 16))
    for path in (
        *("500", "500/small", "-1000", "1000.jpg", "1e3", "9" * 400, "", "../audit.json", "..%2Faudit.json"),
        *("%2Fetc%2Fpasswd", "../audit.json", "../api/post/500", "../api/examples/13", "../static/page.js"),
    ):
        assert client.get(f"/images/{path}").status_code == 404, path


def test_examples_are_posts_with_the_tag_nearest_first(client, audit):
    examples = client.get("/api/examples/11?post=1000").json
    dump = predictions.load(audit / "dump")
    carriers = [post for post in POSTS if dump.labels[post - POSTS[0], 0]]
    assert set(carriers).isdisjoint(range(1000, 1060))
    far = np.linalg.norm(dump.probabilities - dump.probabilities[0], axis=1)
    nearest = sorted(carriers, key=lambda post: far[post - POSTS[0]])[: review_service.NUM_EXAMPLES]
    assert examples == {"posts": [*map(str, nearest)], "nearest": True}
    answer(client, (1059, 11, "yes"), (1058, 11, "no"))
    near = client.get("/api/examples/11?post=1059").json["posts"]
    assert "1058" not in near
    assert "1059" not in near  # itself
    sure = sorted([*carriers, 1059], key=lambda post: far[post - POSTS[0]])[: review_service.NUM_EXAMPLES]
    assert client.get("/api/examples/11?post=1000").json["posts"] == [*map(str, sure)]


def test_an_example_is_served_once_it_was_shown_and_is_not_in_doubt(audit, tmp_path, monkeypatch):
    monkeypatch.setattr(review_service, "NUM_EXAMPLES", 99)
    (tmp_path / "audit.json").write_text('{"<b>&": [1000, 1003]}')  # 1003 carries it, 1006 and 1009 do too
    asked = questions.read([tmp_path / "audit.json"], TAGS)
    source = label_lookup.DumpLabels(audit / "dump", [14])
    with review_of(asked, tmp_path / "decisions.jsonl") as review:
        images = post_images_server.PostImages(audit / "images", [1000, 1003])
        client = review_service.application(review_service.Service(review, images, [source])).test_client()
        (first, *_) = posts = source.nearest(1000, [post for post in source.posts_with(14) if post != 1003])
        assert client.get(f"/images/{first}").status_code == 404
        assert client.get("/api/examples/14?post=1000").json["posts"] == [*map(str, posts)]
        assert client.get(f"/images/{first}").status_code == 200
    assert 1003 in source.posts_with(14)
    assert source.posts_with(11) == []  # nobody asks about it
