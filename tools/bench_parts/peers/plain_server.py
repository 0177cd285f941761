"""A tagger served the plain way: Flask's own server, a thread a request, the model picture by picture.

It has no batches, no queue and no limits on what comes.
"""

import logging
import threading

import flask
from werkzeug.serving import make_server

from Utils.serving.onnx_tagger import ServingTagger
from Utils.serving.tag_selection import TagSelector


def start(tagger: ServingTagger, selector: TagSelector) -> str:
    """Serve from a thread that ends with the process; return the address, which answers POST /tag."""
    app = flask.Flask(__name__)

    @app.post("/tag")
    def tag() -> flask.Response:
        image = tagger.prepare(flask.request.get_data(), None)
        selected = selector.select(tagger.probabilities(image[None])[0])
        return flask.jsonify({tag.name: float(tag.probability) for tag in selected.tags})

    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # a line for every request
    server = make_server("127.0.0.1", 0, app, threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}"
