"""Checks of a release: the rules that clients count on, readers made anew, every format against Keras.

``findings`` holds what is found; ``folder`` looks at files and tables, ``graphs`` at an ONNX file as it is
written, ``reference`` computes what is right, ``suspects`` names what differs, ``agreement`` compares formats
and ``clients`` what programs make of it all.
"""
