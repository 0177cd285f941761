"""The release folder: its formats, conversion to ONNX, quantization and verification."""
