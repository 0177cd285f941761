"""The step of tensorflow as a TPU needs it: one program of XLA, all shapes static, no call of the host.

A TPUStrategy runs exactly these functions; what comes from the host comes through the input pipeline.
"""

import keras
import pytest
import tensorflow as tf

import Models
from Utils.recipe.options import OptimizerOptions
from Utils.training import losses, optimizers, validation_metrics

BATCH, SIZE, LABELS, ROOM = 4, 32, 6, 2
HOST = {"PyFunc", "PyFuncStateless", "EagerPyFunc", "Print", "PrintV2", "WriteScalarSummary"}
IMAGES = tf.TensorSpec((BATCH, SIZE, SIZE, 3), tf.uint8)
LABELS_OF_IMAGES = tf.TensorSpec((BATCH, 2 * ROOM), tf.float32)  # packed
ROWS = tf.TensorSpec((BATCH,), tf.float32)


@pytest.fixture(scope="module")
def model():
    """A model that augments its images; with masks, attention to channels, and packed labels."""
    keras.utils.set_random_seed(0)
    sizes = {"image_size": SIZE, "num_labels": LABELS, "depths": (1, 1), "widths": (16, 32)}
    body = Models.build("NFNet/test", classifier_activation=None, **sizes)
    model = Models.with_augmentation(body)
    optimizer = optimizers.build(OptimizerOptions(optimizer="lamb", global_clipnorm=1.0), 1e-3)
    model.compile(optimizer, losses.SummedBCE(), jit_compile=True)
    model.optimizer.build(model.trainable_variables)
    return model


def program(step, *data):
    """The program that XLA makes of a function, after a look at its operations."""
    function = tf.function(step, jit_compile=True)
    graph = function.get_concrete_function(*data).graph.as_graph_def()
    nodes = [*graph.node, *(node for called in graph.library.function for node in called.node_def)]
    assert not {node.op for node in nodes} & HOST
    return function.experimental_get_compiler_ir(*data)(stage="hlo")


def assert_static(text):
    assert "ENTRY" in text
    assert "[<=" not in text, "a size that is only bounded"
    assert ",<=" not in text
    assert "callback" not in text.lower()


def test_the_training_step_is_one_static_program(model):
    draws = tf.TensorSpec((BATCH, 4), tf.float32)
    text = program(lambda x, d, y: model.train_step(((x, d), y)), IMAGES, draws, LABELS_OF_IMAGES)
    assert_static(text)
    assert "convolution(" in text


def test_the_validation_step_is_one_static_program(model):
    data = tf.data.Dataset.from_tensors((tf.zeros(IMAGES.shape, tf.uint8), tf.zeros(LABELS_OF_IMAGES.shape)))
    inner = next(layer for layer in model.layers if isinstance(layer, keras.Model))
    evaluator = validation_metrics.Evaluator(inner, data, LABELS, model)
    evaluator.model._symbolic_build(data_batch=(tf.zeros(IMAGES.shape), tf.zeros(LABELS_OF_IMAGES.shape)))
    step = evaluator.model.test_step
    assert_static(program(lambda *data: step(data), IMAGES, LABELS_OF_IMAGES, ROWS))


def test_a_call_of_the_host_would_be_seen():
    with pytest.raises(AssertionError):
        program(lambda rows: tf.numpy_function(lambda x: x, [rows], tf.float32), ROWS)
