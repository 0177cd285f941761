"""A released model at work: the ONNX tagger, the choice of tags, the HTTP service and its page."""
