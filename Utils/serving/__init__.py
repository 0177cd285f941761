"""Serving released models: the ONNX tagger, tag selection, the HTTP service and its page."""
