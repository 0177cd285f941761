"""The OpenAPI document names every route of the service, and no other."""

from helpers import small_releases

from Utils.serving import onnx_tagger, openapi, tag_selection, tagging_service


def test_the_document_has_the_routes_of_the_app(tmp_path):
    tagger = onnx_tagger.open_release(small_releases.make(tmp_path / "release"))
    selector = tag_selection.TagSelector(tagger.tags, tag_selection.default_thresholds(tagger.tags))
    with tagging_service.TaggingService(tagger, selector, tagging_service.ServiceLimits()) as service:
        app = tagging_service.make_app(service)
    routes = {
        (method.lower(), rule.rule)
        for rule in app.url_map.iter_rules()
        for method in rule.methods - {"HEAD", "OPTIONS"}
        if not rule.endpoint.startswith("page ")
    }
    document = openapi.document()
    described = {(method, path) for path, methods in document["paths"].items() for method in methods}
    assert described == routes - {("get", "/openapi.json")}
    for methods in document["paths"].values():
        for method, operation in methods.items():
            assert "200" in operation["responses"]
            assert ("requestBody" in operation) == (method == "post")
    kinds = document["paths"]["/tag"]["post"]["requestBody"]["content"]
    assert "multipart/form-data" in kinds
