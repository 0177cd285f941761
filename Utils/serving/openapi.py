"""The OpenAPI 3.1 document of the service, from one table of its routes."""

from typing import Any

_NUMBER, _TEXT, _FLAG = {"type": "number", "minimum": 0, "maximum": 1}, {"type": "string"}, {"type": "string"}
_COUNT = {"type": "integer", "minimum": 1}
_OBJECT = {"type": "object"}
_MODEL = {"model": _TEXT}
_BINARY = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
_FILE = {
    "type": "object",
    "required": ["image"],
    "properties": {"image": {"type": "string", "format": "binary", "description": "under any name"}},
}
_PICTURE = {**_BINARY, "multipart/form-data": {"schema": _FILE}}
_FILES = {
    "type": "object",
    "required": ["file"],
    "properties": {
        "file": {"type": "array", "minItems": 1, "items": {"type": "string", "format": "binary"}},
        "threshold": _NUMBER,
        "limit": {"type": "integer"},
        "format": {"enum": ["json"]},
    },
}


def _json_of(**properties: Any) -> dict[str, Any]:
    image = {"type": "string", "minLength": 1, "contentEncoding": "base64", "contentMediaType": "image/*"}
    schema = {"type": "object", "required": ["image"], "properties": {"image": image, **properties}}
    return {"application/json": {"schema": schema}}


# method, path, summary, parameters after the question mark, body, schema of the reply (or its media type)
_ROUTES = (
    ("get", "/health", "Whether the service is up", _MODEL, None, _OBJECT),
    ("get", "/models", "The models", {}, None, {"type": "array", "items": _OBJECT}),
    ("get", "/tags", "The tag list with its thresholds", _MODEL, None, {"type": "array", "items": _OBJECT}),
    ("get", "/rules", "How selected tags are edited, which raw leaves to the caller", _MODEL, None, _OBJECT),
    ("post", "/tag", "Tag a picture", {
        **_MODEL, "threshold": _NUMBER, "character_threshold": _NUMBER, "max_tags": _COUNT, "spaces": _FLAG,
        "escape": _FLAG, "raw": _FLAG,
    }, _PICTURE, _OBJECT),
    ("post", "/map", "Where a picture shows a tag", {**_MODEL, "tag": _TEXT}, _PICTURE, "image/png"),
    ("post", "/api/gettags/", "As the original SW-CV-ModelZoo", {}, _json_of(thresh=_NUMBER),
     {"type": "array", "items": _TEXT}),
    ("post", "/tagger/v1/interrogate", "As the WD14 tagger of stable-diffusion-webui", {},
     _json_of(model=_TEXT, threshold=_NUMBER), _OBJECT),
    ("get", "/tagger/v1/interrogators", "The names of the models", {}, None, _OBJECT),
    ("post", "/evaluate", "As danbooru/autotagger", {}, {"multipart/form-data": {"schema": _FILES}},
     {"type": "array", "items": _OBJECT}),
    ("get", "/metrics", "Counts for Prometheus", {}, None, "text/plain"),
)  # fmt: skip
_ERRORS = ("400", "403", "404", "413", "415", "500", "503")


def document() -> dict[str, Any]:
    """Return the document, ready for JSON."""
    paths: dict[str, Any] = {}
    for method, path, summary, parameters, body, reply in _ROUTES:
        media, schema = (reply, _TEXT) if isinstance(reply, str) else ("application/json", reply)
        success = {"description": summary, "content": {media: {"schema": schema}}}
        error = {"$ref": "#/components/responses/Error"}
        operation: dict[str, Any] = {
            "summary": summary,
            "parameters": [
                {"name": name, "in": "query", "schema": schema} for name, schema in parameters.items()
            ],
            "responses": {"200": success, **dict.fromkeys(_ERRORS, error)},
        }
        if body is not None:
            operation["requestBody"] = {"required": True, "content": body}
        paths.setdefault(path, {})[method] = operation
    schema = {"type": "object", "required": ["error"], "properties": {"error": _TEXT}}
    error = {"description": "What went wrong", "content": {"application/json": {"schema": schema}}}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Tagging service", "version": "1"},
        "paths": paths,
        "components": {"responses": {"Error": error}},
    }
