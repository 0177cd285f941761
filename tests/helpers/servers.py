"""A server that answers from a thread while a test asks it; nothing of it is left after the block."""

import contextlib
import threading

from Utils.serving import http_server


@contextlib.contextmanager
def running(app, limits=http_server.DEFAULT_LIMITS):
    """Yield the server of an app, on a free port."""
    server = http_server.listen(app, port=0, limits=limits)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.stop()
        thread.join()  # before its sockets are closed, whose numbers other files get
        server.close()


@contextlib.contextmanager
def answering(app, limits=http_server.DEFAULT_LIMITS):
    """Yield the address of the server of an app."""
    with running(app, limits) as server:
        yield http_server.url_of(server)
