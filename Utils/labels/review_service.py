"""The review page's server: questions in small portions, images of their posts, decisions in.

GET /api/state, /api/tags, /api/questions?tag=ID, /api/posts, /api/post/ID, /api/examples/TAG?post=ID say what
the page shows; POST /api/decisions takes {"answers": [{"post_id", "tag_id", "decision"}]}. Errors are
{"error": text}.
"""

import hashlib
import pathlib

import flask
import numpy as np

from Utils.labels import label_lookup
from Utils.labels.review import DECISIONS, VERDICTS, NotAskedError, agreement_rows
from Utils.serving import http_server
from Utils.tags import tag_list

ASSETS = pathlib.Path(__file__).parent / "review_page"
LIMITS = http_server.ServerLimits(max_bytes=1 << 18, threads=8)
MOST = 100  # questions, tags or answers in one message
EXAMPLES = 6
ORDERS = ("audit", "open", "name")


class Service:
    """What the page asks for.

    Args:
        review: `Utils.labels.review.Review`.
        pictures: `Utils.data.post_images_server.Pictures`.
        sources: what is known about labels, the best first: see `Utils.labels.label_lookup`.
        name: what tells this review from others that a browser saw at the same address.
    """

    def __init__(self, review, pictures, sources=(), name=""):
        self.review, self.pictures, self.sources = review, pictures, list(sources)
        self.name = hashlib.sha256(f"{name}\0{review.reviewer}".encode()).hexdigest()[:16]
        self._questions = review.questions
        self._shown = set(self._questions.posts.tolist())  # whose images may be seen

    def state(self):
        """Return who reviews, how far it is, what an undo would take back."""
        return {
            "review": self.name,
            "reviewer": self.review.reviewer,
            "progress": self.review.progress(),
            "last": [self._question(row) for row in self.review.last()],
        }

    def overview(self, find, order, offset, limit):
        """Return a portion of the tags whose name has ``find`` in it, and how reviewers agree."""
        names = self._questions.tags["name"].str.lower()
        found = np.flatnonzero(names.str.contains(find.lower(), regex=False))
        if order == "open":
            found = found[np.argsort(-self.review.open_counts[found], kind="stable")]
        elif order == "name":
            found = found[np.argsort(names.to_numpy()[found], kind="stable")]
        rows = [self._tag(int(number)) for number in found[offset : offset + limit]]
        agreement = agreement_rows(self.review.agreement())
        return {"total": len(found), "tags": rows, "agreement": agreement}

    def questions(self, tag_id, limit):
        """Return the first open questions of a tag, of the first tag with some where it is None."""
        number = self.review.next_tag(-1) if tag_id is None else self.review.number_of(tag_id)
        if number is None:
            return {"tag": None, "next": None, "previous": None, "questions": []}
        near = {name: self._id(self.review.next_tag(number, step)) for name, step in STEPS.items()}
        rows = self.review.open_of(number, limit)
        return {"tag": self._tag(number), **near, "questions": [self._question(row) for row in rows]}

    def posts(self, offset, limit):
        """Return some of the posts with open questions, each with all its questions."""
        return {"posts": [self._post(post) for post in self.review.open_posts(offset, limit)]}

    def post(self, post):
        """Return the questions and the labels of a post."""
        found = next((found for source in self.sources if (found := source.tags_of(post)) is not None), None)
        return self._post(post) | {"labels": None if found is None else label_lookup.categories(found)}

    def examples(self, tag_id, post):
        """Return posts that carry a tag, not in doubt themselves, those most like ``post`` first."""
        number = self.review.number_of(tag_id)
        asked = set(self._questions.posts[self._questions.rows_of(number)].tolist())
        carriers = next((found for source in self.sources if (found := source.posts_with(tag_id))), [])
        sure = [other for other in carriers if other not in asked]
        confirmed = self.review.confirmed(number)[: label_lookup.MAX_POSTS].tolist()
        sure = [other for other in [*confirmed, *sure] if other != post]
        nearest = next((source for source in self.sources if hasattr(source, "nearest")), None)
        ordered = nearest.nearest(post, sure) if nearest is not None and sure else None
        chosen = []
        for other in sure if ordered is None else ordered:
            if len(chosen) < EXAMPLES and self.pictures.find(other) is not None:
                chosen.append(other)
        self._shown.update(chosen)
        return {"posts": chosen, "nearest": ordered is not None}

    def decide(self, answers):
        """Record answers; return what stands on each, and the state."""
        found = self.review.decide(answers)
        stand = [{"recorded": recorded, "stands": stands} for recorded, stands in found]
        return {"answers": stand, **self.state()}

    def image(self, post, small):
        """Return ``(bytes, MIME type)`` of an image that may be seen, else None."""
        if post not in self._shown:
            return None
        if small:
            data = self.pictures.small(post)
            return data and (data, "image/jpeg")
        return self.pictures.large(post)

    def is_asked(self, post):
        """Whether a question is about a post."""
        return bool((self._questions.posts == post).any())

    def _id(self, number):
        return None if number is None else int(self._questions.tags["tag_id"].iloc[number])

    def _tag(self, number):
        row, counts = self._questions.tags.iloc[number], self.review.counts[number].tolist()
        return {
            "tag_id": int(row["tag_id"]),
            "name": row["name"],
            "category": tag_list.category_name(row["category"]),
            "questions": sum(counts),
            "open": int(self.review.open_counts[number]),
            **dict(zip(VERDICTS[1:], counts[1:], strict=True)),
        }

    def _post(self, post):
        rows = self.review.rows_of_post(post)
        if len(rows) > MOST:
            rows = sorted(rows, key=lambda row: not self.review.open[row])[:MOST]
        return {"post_id": post, "questions": [self._question(row) for row in rows]}

    def _question(self, row):
        tag = self._questions.tags.iloc[int(self._questions.tag_of(row))]
        p = float(self._questions.probabilities[row])
        return {
            "post_id": int(self._questions.posts[row]),
            "tag_id": int(tag["tag_id"]),
            "tag": tag["name"],
            "category": tag_list.category_name(tag["category"]),
            "probability": None if np.isnan(p) else round(p, 4),
            "carried": bool(self._questions.carried[row]),
            "stands": self.review.stands(row),
        }


STEPS = {"next": 1, "previous": -1}


def application(service, names=()):
    """Return the Flask application of a Service. By ``names`` browsers may call this machine."""
    app = flask.Flask(__name__, static_folder=None)
    app.json.sort_keys = False
    http_server.serve_page(app, ASSETS)
    app.add_url_rule("/api/state", "state", service.state)
    app.add_url_rule("/api/tags", "tags", lambda: _overview(service))
    app.add_url_rule("/api/questions", "questions", lambda: _questions(service))
    app.add_url_rule("/api/posts", "posts", lambda: _posts(service))
    app.add_url_rule("/api/post/<int:post>", "post", lambda post: service.post(_known(service, post)))
    app.add_url_rule("/api/examples/<int:tag_id>", "examples", lambda tag_id: _examples(service, tag_id))
    app.add_url_rule("/api/decisions", "decisions", lambda: _decide(service), methods=["POST"])
    app.add_url_rule("/images/<int:post>", "image", lambda post: _image(service, post, False))
    app.add_url_rule("/images/<int:post>/small", "small", lambda post: _image(service, post, True))
    app.register_error_handler(NotAskedError, lambda error: (flask.jsonify(error=str(error)), 404))
    return http_server.protect(app, LIMITS, names)


def _number(name, usual, most):
    """Return a whole number of the address, from 0 to ``most``."""
    text = flask.request.args.get(name, str(usual))
    if not (text.isascii() and text.isdecimal() and len(text) < 20):
        flask.abort(400, f"{name} must be a whole number; got {text!r}")
    return min(int(text), most)


def _overview(service):
    order = flask.request.args.get("order", ORDERS[0])
    if order not in ORDERS:
        flask.abort(400, f"order is {', '.join(ORDERS)}; got {order!r}")
    find = flask.request.args.get("find", "")[:200]
    return service.overview(find, order, _number("offset", 0, 1 << 40), _number("limit", MOST, MOST))


def _questions(service):
    tag_id = _number("tag", 0, 1 << 62) if "tag" in flask.request.args else None
    return service.questions(tag_id, _number("limit", 24, MOST))


def _posts(service):
    return service.posts(_number("offset", 0, 1 << 40), _number("limit", 4, 20))


def _known(service, post):
    return post if service.is_asked(post) else flask.abort(404, f"nothing is asked about post {post}")


def _examples(service, tag_id):
    return service.examples(tag_id, _number("post", 0, 1 << 62))


def _decide(service):
    sent = flask.request.get_json()
    answers = sent.get("answers") if isinstance(sent, dict) else None
    if not isinstance(answers, list) or not 0 < len(answers) <= MOST:
        flask.abort(400, f'{{"answers": [...]}} with 1 to {MOST} of them is needed')
    asked = [_answer(answer) for answer in answers]
    try:
        return service.decide(asked)
    except OSError as error:  # a full disk
        return flask.jsonify(error=f"the decision could not be written: {error}"), 507


def _answer(answer):
    found = answer if isinstance(answer, dict) else {}
    post, tag_id, decision = (found.get(name) for name in ("post_id", "tag_id", "decision"))
    if type(post) is not int or type(tag_id) is not int or decision not in DECISIONS:
        flask.abort(
            400, f"an answer has post_id, tag_id and decision (yes, no, unsure, undo); got {answer!r}"
        )
    return post, tag_id, decision


def _image(service, post, small):
    found = service.image(post, small)
    if not found:
        flask.abort(404, f"there is no image of post {post} here")
    return flask.Response(found[0], content_type=found[1], headers={"Cache-Control": "private, max-age=3600"})
