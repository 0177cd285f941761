"""A hub on the loopback interface that speaks the part of the protocol that huggingface_hub uses."""

import contextlib
import hashlib
import http.server
import json
import threading

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class _Handler(http.server.BaseHTTPRequestHandler):
    """``/api/models/OWNER/NAME/revision/REV``, ``.../tree/REV`` and ``/OWNER/NAME/resolve/REV/FILE``."""

    protocol_version = "HTTP/1.1"
    models: dict = {}  # {"owner/name": folder}
    private: dict = {}  # {"owner/name": token}
    requests: list = []

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self.answer(body=False)

    def do_GET(self):
        self.answer(body=True)

    def answer(self, body):
        path = self.path.partition("?")[0]
        self.requests.append((self.command, path))
        parts = path.strip("/").split("/")
        is_api = parts[:2] == ["api", "models"]
        name = "/".join(parts[2:4] if is_api else parts[:2])
        folder = self.models.get(name)
        token = self.private.get(name)
        if folder is None or (token and self.headers.get("Authorization") != f"Bearer {token}"):
            return self.send(401 if token else 404, b"{}", {"X-Error-Code": "RepoNotFound"}, body)
        action, revision, *rest = parts[4:] if is_api else parts[2:]
        if revision not in ("main", COMMIT, "v2.0"):
            return self.send(404, b"{}", {"X-Error-Code": "RevisionNotFound"}, body)
        files = {str(file.relative_to(folder)): file for file in folder.rglob("*") if file.is_file()}
        if action == "revision":
            siblings = [{"rfilename": file} for file in sorted(files)]
            content = {"id": name, "sha": COMMIT, "siblings": siblings, "tags": [], "private": bool(token)}
            return self.send(200, json.dumps(content).encode(), {}, body)
        if action == "tree":
            entries = [
                {"type": "file", "path": file, "size": path.stat().st_size, "oid": digest(path)[:40]}
                for file, path in sorted(files.items())
            ]
            return self.send(200, json.dumps(entries).encode(), {}, body)
        file = files.get("/".join(rest))
        if file is None:
            return self.send(404, b"", {"X-Error-Code": "EntryNotFound"}, body)
        headers = {"ETag": f'"{digest(file)[:40]}"', "X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"}
        return self.send(200, file.read_bytes(), headers, body)

    def send(self, code, content, headers, body):
        self.send_response(code)
        for key, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(key, value)
        self.end_headers()
        if body:
            self.wfile.write(content)


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@contextlib.contextmanager
def serving(models, private=()):
    """Serve folders as models, ``{"owner/name": folder}``; yields (url, list of requests)."""
    handler = type("Handler", (_Handler,), {"models": models, "private": dict(private), "requests": []})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", handler.requests
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def use(monkeypatch, url, home):
    """Make huggingface_hub ask this hub and keep its cache in ``home``; returns the library."""
    import huggingface_hub
    from huggingface_hub import constants
    from huggingface_hub.utils import disable_progress_bars

    monkeypatch.setenv("HF_ENDPOINT", url)
    monkeypatch.setenv("HF_HOME", str(home))
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr(constants, "ENDPOINT", url)  # it reads its environment once, on import
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(home / "hub"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(home / "token"))
    monkeypatch.setattr(constants, "HF_XET_CACHE", str(home / "xet"), raising=False)
    monkeypatch.setattr(
        constants, "HUGGINGFACE_CO_URL_TEMPLATE", url + "/{repo_id}/resolve/{revision}/{filename}"
    )
    disable_progress_bars()
    return huggingface_hub
