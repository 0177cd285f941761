"""The web service of a review: hands out questions, a few at a time, and images; records decisions.

GET /api/state, /api/tags, /api/questions?tag=ID, /api/posts, /api/post/ID and /api/examples/TAG?post=ID
return what the page shows, GET /images/ID/map/TAG where a tagger sees a tag; POST /api/decisions takes
{"answers": [{"post_id", "tag_id", "decision"}], "sender", "number"}. Post ids are texts, as a browser would
round those from 2**53 on, which pictures with names have. The page numbers its messages and sends
one after the other, again and again until a reply has come; so one whose number a sender has had already
comes late or twice, and changes nothing. Without the two every message counts.
Errors are {"error": text}.
"""

import collections
import hashlib
import pathlib
import threading
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import flask
import numpy as np

from Utils.data import post_images_server
from Utils.labels import decisions, label_lookup
from Utils.labels.review import VERDICTS, NotAskedError, Review, agreement_rows
from Utils.serving import http_server, refusal
from Utils.serving.live_maps import LiveMaps
from Utils.tags import tag_categories

ASSETS = pathlib.Path(__file__).parent / "review_page"
LIMITS = http_server.ServerLimits(max_bytes=1 << 18, threads=8)
MAX_SENDERS = 1000  # whose last number is kept; each load of the page is one
MAX_ITEMS = 100  # questions, tags or answers in one message
MAX_ID = (1 << 63) - 1
NUM_EXAMPLES = 6
ORDERS = ("audit", "open", "name")
STEPS = {"next": 1, "previous": -1}
_CACHED = {"Cache-Control": "private, max-age=3600"}

Json = dict[str, Any]


class Service:
    """Answers what the page asks.

    Args:
        review: questions and decisions.
        pictures: images of the posts.
        sources: where labels are looked up, the best first.
        name: distinguishes this review from others that a browser has seen at the same address.
        maps: of a tagger, which show where in an image a tag is; None for none.
    """

    def __init__(
        self,
        review: Review,
        pictures: post_images_server.PostImages,
        sources: Iterable[label_lookup.Source] = (),
        name: str = "",
        maps: LiveMaps | None = None,
    ) -> None:
        self.review, self.pictures, self.sources, self.maps = review, pictures, list(sources), maps
        self.name = hashlib.sha256(f"{name}\0{review.reviewer}".encode()).hexdigest()[:16]
        self._questions = review.questions
        self._visible = set(self._questions.posts.tolist())  # posts whose images may be seen
        self._numbers: collections.OrderedDict[str, int] = collections.OrderedDict()  # the last, by sender
        self._lock = threading.Lock()

    def state(self) -> Json:
        """Return who reviews, how far the review is, what an undo would take back."""
        return {
            "review": self.name,
            "reviewer": self.review.reviewer,
            "progress": self.review.progress(),
            "maps": self.maps is not None,
            "last": [self._question(row) for row in self.review.last()],
        }

    def overview(self, find: str, order: str, offset: int, limit: int) -> Json:
        """Return a portion of the tags whose name contains ``find``, and how far reviewers agree."""
        names = self._questions.tags["name"].str.lower()
        matches = np.flatnonzero(names.str.contains(find.lower(), regex=False))
        if order == "open":
            matches = matches[np.argsort(-self.review.open_counts[matches], kind="stable")]
        elif order == "name":
            matches = matches[np.argsort(names.to_numpy()[matches], kind="stable")]
        rows = [self._tag(int(number)) for number in matches[offset : offset + limit]]
        agreement = agreement_rows(self.review.agreement())
        return {"total": len(matches), "tags": rows, "agreement": agreement}

    def questions(self, tag_id: int | None, limit: int) -> Json:
        """Return the first open questions of a tag; None takes the first tag that has any."""
        number = self.review.next_tag(-1) if tag_id is None else self.review.number_of(tag_id)
        if number is None:
            return {"tag": None, "next": None, "previous": None, "questions": []}
        neighbors = {name: self._id(self.review.next_tag(number, step)) for name, step in STEPS.items()}
        rows = self.review.open_of(number, limit)
        return {"tag": self._tag(number), **neighbors, "questions": [self._question(row) for row in rows]}

    def posts(self, offset: int, limit: int) -> Json:
        """Return some of the posts with open questions, each with all its questions."""
        return {"posts": [self._post(post) for post in self.review.open_posts(offset, limit)]}

    def post(self, post: int) -> Json:
        """Return the questions and the labels of a post."""
        of_sources = (source.tags_of(post) for source in self.sources)
        labels = next((labels for labels in of_sources if labels is not None), None)
        return self._post(post) | {"labels": None if labels is None else label_lookup.to_json(labels)}

    def examples(self, tag_id: int, post: int) -> Json:
        """Return posts that carry a tag and are not in doubt, those most like ``post`` first."""
        number = self.review.number_of(tag_id)
        in_doubt = set(self._questions.posts[self._questions.rows_of(number)].tolist())
        carriers = next((posts for source in self.sources if (posts := source.posts_with(tag_id))), [])
        confirmed = self.review.confirmed(number)[: label_lookup.MAX_POSTS].tolist()
        sure = [*confirmed, *(carrier for carrier in carriers if carrier not in in_doubt)]
        candidates = [candidate for candidate in sure if candidate != post]
        dump = next((source for source in self.sources if isinstance(source, label_lookup.DumpLabels)), None)
        nearest = dump.nearest(post, candidates) if dump is not None and candidates else None
        examples = []
        for candidate in candidates if nearest is None else nearest:
            if len(examples) < NUM_EXAMPLES and self.pictures.find(candidate) is not None:
                examples.append(candidate)
        self._visible.update(examples)
        return {"posts": [str(post) for post in examples], "nearest": nearest is not None}

    def decide(self, answers: Sequence[tuple[int, int, str]], sender: str = "", number: int = 0) -> Json:
        """Record answers; return what stands on each, and the state.

        Args:
            answers: post id, tag id and decision of each.
            sender: of the message; empty where it does not say.
            number: of the message among those of its sender, rising. One that is not greater than the last
                is the copy of a message that came late: it is not recorded.
        """
        with self._lock:  # a message and its copy may come at one moment
            is_copy = bool(sender) and number <= self._numbers.get(sender, 0)
            results = self.review.standing_on(answers) if is_copy else self.review.decide(answers)
            if sender and not is_copy:  # not where it could not be written: it will be sent again
                self._numbers[sender] = number
                self._numbers.move_to_end(sender)
                if len(self._numbers) > MAX_SENDERS:
                    self._numbers.popitem(last=False)
        standing = [{"recorded": recorded, "stands": stands} for recorded, stands in results]
        return {"answers": standing, **self.state()}

    def image(self, post: int, small: bool) -> tuple[bytes, str] | None:
        """Return ``(bytes, MIME type)`` of an image that may be seen, else None."""
        if post not in self._visible:
            return None
        if small:
            data = self.pictures.small(post)
            return (data, "image/jpeg") if data else None
        return self.pictures.large(post)

    def map(self, post: int, tag_id: int) -> bytes | None:
        """Return a PNG of an image that may be seen with a map of a tag over it, else None.

        Raises RefusedError as `LiveMaps.png`.
        """
        tag = self._questions.tags["name"].iloc[self.review.number_of(tag_id)]
        image = self.image(post, small=False)
        return None if image is None or self.maps is None else self.maps.png(image[0], tag)

    def is_asked(self, post: int) -> bool:
        """Return whether a question is about a post."""
        return bool((self._questions.posts == post).any())

    def _id(self, number: int | None) -> int | None:
        return None if number is None else int(self._questions.tags["tag_id"].iloc[number])

    def _tag(self, number: int) -> Json:
        row, counts = self._questions.tags.iloc[number], self.review.counts[number].tolist()
        return {
            "tag_id": int(row["tag_id"]),
            "name": row["name"],
            "category": self._category_name(row["category"]),
            "questions": sum(counts),
            "open": int(self.review.open_counts[number]),
            **dict(zip(VERDICTS[1:], counts[1:], strict=True)),
        }

    def _category_name(self, code: int) -> str:
        return tag_categories.name_of(code, tag_categories.names_of(self._questions.tags))

    def _post(self, post: int) -> Json:
        rows = self.review.rows_of_post(post)
        if len(rows) > MAX_ITEMS:  # the open ones first
            rows = sorted(rows, key=lambda row: not self.review.open[row])[:MAX_ITEMS]
        return {"post_id": str(post), "questions": [self._question(row) for row in rows]}

    def _question(self, row: int) -> Json:
        tag = self._questions.tags.iloc[self._questions.tag_of(row)]
        p = float(self._questions.probabilities[row])
        return {
            "post_id": str(self._questions.posts[row]),
            "tag_id": int(tag["tag_id"]),
            "tag": tag["name"],
            "category": self._category_name(tag["category"]),
            "probability": None if np.isnan(p) else round(p, 4),
            "carried": bool(self._questions.carried[row]),
            "stands": self.review.stands(row),
        }


def application(service: Service, names: Collection[str] = ()) -> flask.Flask:
    """Return the Flask application of a Service.

    Args:
        names: by which browsers may call this machine, besides localhost and addresses.
    """
    app = flask.Flask(__name__, static_folder=None)
    app.json.sort_keys = False  # pyright: ignore[reportAttributeAccessIssue]  # the default provider has it
    http_server.serve_page(app, ASSETS)
    app.add_url_rule("/api/state", "state", service.state)
    app.add_url_rule("/api/tags", "tags", lambda: _overview(service))
    app.add_url_rule("/api/questions", "questions", lambda: _questions(service))
    app.add_url_rule("/api/posts", "posts", lambda: _posts(service))
    app.add_url_rule("/api/post/<int:post>", "post", lambda post: _post(service, post))
    app.add_url_rule("/api/examples/<int:tag_id>", "examples", lambda tag_id: _examples(service, tag_id))
    app.add_url_rule("/api/decisions", "decisions", lambda: _decide(service), methods=["POST"])
    app.add_url_rule("/images/<int:post>", "image", lambda post: _image(service, post, False))
    app.add_url_rule("/images/<int:post>/small", "small", lambda post: _image(service, post, True))
    app.add_url_rule(
        "/images/<int:post>/map/<int:tag_id>", "map", lambda post, tag_id: _map(service, post, tag_id)
    )
    app.register_error_handler(refusal.RefusedError, refusal.reply)
    app.register_error_handler(NotAskedError, lambda error: (flask.jsonify(error=str(error)), 404))
    return http_server.protect(app, LIMITS, names)


def _number(name: str, default: int, most: int) -> int:
    """Return a whole number of the address, from 0 to ``most``."""
    text = flask.request.args.get(name, str(default))
    if not (text.isascii() and text.isdecimal() and len(text) < 20):
        flask.abort(400, f"{name} must be a whole number; got {text!r}")
    return min(int(text), most)


def _overview(service: Service) -> Json:
    order = flask.request.args.get("order", ORDERS[0])
    if order not in ORDERS:
        flask.abort(400, f"order is {', '.join(ORDERS)}; got {order!r}")
    find = flask.request.args.get("find", "")[:200]
    return service.overview(
        find, order, _number("offset", 0, 1 << 40), _number("limit", MAX_ITEMS, MAX_ITEMS)
    )


def _questions(service: Service) -> Json:
    tag_id = _number("tag", 0, MAX_ID) if "tag" in flask.request.args else None
    return service.questions(tag_id, _number("limit", 24, MAX_ITEMS))


def _posts(service: Service) -> Json:
    return service.posts(_number("offset", 0, 1 << 40), _number("limit", 4, 20))


def _post(service: Service, post: int) -> Json:
    if not service.is_asked(post):
        flask.abort(404, f"nothing is asked about post {post}")
    return service.post(post)


def _examples(service: Service, tag_id: int) -> Json:
    return service.examples(tag_id, _number("post", 0, MAX_ID))


def _decide(service: Service) -> Json | tuple[flask.Response, int]:
    message = http_server.json_body()
    answers = message.get("answers") if isinstance(message, dict) else None
    if not isinstance(answers, list) or not 0 < len(answers) <= MAX_ITEMS:
        flask.abort(400, f'{{"answers": [...]}} with 1 to {MAX_ITEMS} of them is needed')
    checked = [_answer(answer) for answer in answers]
    sender, number = message.get("sender", ""), message.get("number", 0)
    if type(sender) is not str or len(sender) > 64 or type(number) is not int or (number > 0) != bool(sender):
        flask.abort(400, f"a sender has a name and a number from 1; got {str((sender, number))[:200]}")
    try:
        return service.decide(checked, sender, number)
    except OSError as error:  # a full disk
        return flask.jsonify(error=f"the decision could not be written: {error}"), 507


def _answer(answer: object) -> tuple[int, int, str]:
    """Return post id, tag id and decision of one answer, checked."""
    fields = answer if isinstance(answer, dict) else {}
    post, tag_id, decision = (fields.get(name) for name in ("post_id", "tag_id", "decision"))
    if type(post) is str and post.isascii() and post.isdecimal() and len(post) < 20:
        post = int(post)
    if type(post) is not int or type(tag_id) is not int or decision not in decisions.KINDS:
        flask.abort(
            400, f"an answer has post_id, tag_id and decision (yes, no, unsure, undo); got {answer!r}"
        )
    return post, tag_id, decision


def _image(service: Service, post: int, small: bool) -> flask.Response:
    image = service.image(post, small)
    if image is None:
        flask.abort(404, f"there is no image of post {post} here")
    data, mime_type = image
    return flask.Response(data, content_type=mime_type, headers=_CACHED)


def _map(service: Service, post: int, tag_id: int) -> flask.Response:
    data = service.map(post, tag_id)
    if data is None:
        flask.abort(404, f"there is no map of post {post} here")
    return flask.Response(data, content_type="image/png", headers=_CACHED)
