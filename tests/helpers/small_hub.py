"""A hub on the loopback interface that speaks the part of the protocol that huggingface_hub uses."""

import base64
import contextlib
import hashlib
import http.server
import json
import pathlib
import threading

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class _Handler(http.server.BaseHTTPRequestHandler):
    """``/api/models/OWNER/NAME/revision/REV``, ``.../tree/REV`` and ``/OWNER/NAME/resolve/REV/FILE``."""

    protocol_version = "HTTP/1.1"
    models: dict = {}  # {"owner/name": folder}
    private: dict = {}  # {"owner/name": token}
    requests: list = []
    blobs: dict = {}  # contents of large files that were sent, by their SHA-256
    created: dict = {}  # {"owner/name": whether it is private}
    branches: set = set()  # paths of those that were made
    uploads: pathlib.Path  # where new repositories are kept

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self.answer(body=False)

    def do_GET(self):
        self.answer(body=True)

    def do_PUT(self):
        """``/upload/OID``: the content of a large file."""
        self.blobs[self.path.rsplit("/", 1)[1]] = self.content()
        self.send(200, b"", {}, True)

    def do_POST(self):
        """What an upload needs: create, branch, preupload, LFS batch, commit."""
        content = self.content()
        self.requests.append((self.command, self.path.partition("?")[0]))
        if self.headers.get("Authorization") != "Bearer write":
            return self.send(401, b'{"error": "no"}', {}, True)
        parts = self.path.partition("?")[0].strip("/").split("/")
        url = f"http://{self.headers['Host']}"
        if parts[:3] == ["api", "repos", "create"]:
            body = json.loads(content)
            name = f"{body['organization']}/{body['name']}"
            if name in self.models:
                return self.send(409, json.dumps({"url": f"{url}/{name}"}).encode(), {}, True)
            self.models.setdefault(name, self.uploads / name).mkdir(parents=True, exist_ok=True)
            self.created[name] = body.get("private") or body.get("visibility") == "private"
            return self.json({"url": f"{url}/{name}", "name": name})
        if "branch" in parts:
            is_new = self.path not in self.branches
            self.branches.add(self.path)
            return self.send(201 if is_new else 409, b"{}", {}, True)
        if parts[-1] == "batch":
            objects = json.loads(content)["objects"]
            for item in objects:
                item["actions"] = {"upload": {"href": f"{url}/upload/{item['oid']}", "header": {}}}
            return self.json({"transfer": "basic", "objects": objects})
        if "preupload" in parts:
            files = [
                {"path": file["path"], "uploadMode": "lfs" if file["path"].endswith(".onnx") else "regular",
                 "shouldIgnore": False}
                for file in json.loads(content)["files"]
            ]  # fmt: skip
            return self.json({"files": files})
        if "commit" in parts:
            name = "/".join(parts[2:4])
            self.commit(self.models[name], content)
            return self.json(
                {"commitUrl": f"{url}/{name}/commit/{COMMIT}", "commitOid": COMMIT, "success": True}
            )
        return self.json({})

    def commit(self, folder, content):
        for line in map(json.loads, content.decode().splitlines()):
            value = line["value"]
            if line["key"] in ("file", "lfsFile"):
                path = folder / value["path"]
                path.parent.mkdir(parents=True, exist_ok=True)
                regular = line["key"] == "file"
                path.write_bytes(base64.b64decode(value["content"]) if regular else self.blobs[value["oid"]])

    def content(self):
        if self.headers.get("Transfer-Encoding") == "chunked":
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def json(self, value):
        self.send(200, json.dumps(value).encode(), {"Content-Type": "application/json"}, True)

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
        # Without a revision the hub takes main.
        action, revision, *rest = (parts[4:] or ["revision", "main"]) if is_api else parts[2:]
        if revision not in ("main", COMMIT, "v2.0", "v2"):
            return self.send(404, b"{}", {"X-Error-Code": "RevisionNotFound"}, body)
        files = {str(file.relative_to(folder)): file for file in folder.rglob("*") if file.is_file()}
        if action == "revision":
            siblings = [{"rfilename": file} for file in sorted(files)]
            content = {"id": name, "sha": COMMIT, "siblings": siblings, "tags": []}
            content["private"] = bool(token) or self.created.get(name, False)
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
def serving(models, private=(), uploads=None, created=None):
    """Serve folders as models, ``{"owner/name": folder}``; yields (url, list of requests).

    Who has the token "write" may make others: below ``uploads``, noted in ``created``.
    """
    fields = {"models": models, "private": dict(private), "requests": [], "blobs": {}, "branches": set()}
    fields |= {"uploads": uploads, "created": {} if created is None else created}
    handler = type("Handler", (_Handler,), fields)
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
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True, raising=False)  # this hub has the older LFS
    disable_progress_bars()
    return huggingface_hub
