"""Checks of a release: the rules that clients rely on, reimplemented clients, every format against Keras.

``release`` runs everything. ``folder`` checks files and tables, ``graphs`` an ONNX file as it is written,
``clients`` and ``sidecars`` what programs make of a release. ``format_checks`` compares formats with the
Keras model (``reference``, ``runners``, ``agreement``) and asks ``diagnosis`` for the name of a fault.
``findings`` collects the results.
"""
