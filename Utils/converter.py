"""tf2onnx with the memory of one copy of a model, not of sixty: 20 GB less for a ViT/B16."""

import contextlib
import os

COPIES = "TF2ONNX_CATCH_ERRORS"  # the variable of the environment that decides about copies


@contextlib.contextmanager
def lean():
    """Keep tf2onnx, while the block runs, from copying weights again and again.

    Each of its dozen passes over the graph, some rounds of them, copies the whole graph, in case it raises;
    what raises now ends the export. Each then writes every constant into its message of protobuf anew, and
    a message gives the memory of what it held before back only when it is gone itself.
    """
    from tf2onnx.graph import Node

    given, update = os.environ.get(COPIES), Node.update_proto
    os.environ[COPIES], Node.update_proto = "FALSE", _updated_once(update)
    try:
        yield
    finally:
        Node.update_proto = update
        os.environ.pop(COPIES)
        if given is not None:
            os.environ[COPIES] = given


def _updated_once(update):
    """Return ``Node.update_proto`` that leaves the value of a constant alone while it is the same object."""

    def update_proto(node, external_tensor_storage=None):
        value = node.attr.get("value") if node.is_const() else None
        if value is not None and getattr(node, "written", None) is value:
            del node.op.output[:]
            node.op.output.extend(node.output)
            return
        update(node, external_tensor_storage)
        node.written = value

    return update_proto
