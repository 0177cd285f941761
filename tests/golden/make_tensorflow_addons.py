"""Write tensorflow_addons.json: what tensorflow-addons 0.23 computes for LAMB, focal loss and micro F1.

tensorflow-addons ended in May 2024 and cannot run on Keras 3, so its numbers are kept, not the package. Run
in an environment of its own (Python 3.11):

    pip install tensorflow-cpu==2.15.1 tensorflow-addons==0.23.0 "numpy<2"
    python tests/golden/make_tensorflow_addons.py
"""

import json
import os
import pathlib
import sys

import numpy as np

# (): a gate, (5,): a bias, (4, 3): a dense kernel, (2, 2, 3, 4): a convolution, zeros: the ratio is 1 there
SHAPES = {"gate": (), "bias": (5,), "dense": (4, 3), "conv": (2, 2, 3, 4), "zeros": (3,)}
STEPS = 5


def listed(values):
    """Return an array as nested lists of float64: every float32 survives JSON exactly."""
    return np.asarray(values, "float64").tolist()


def lamb(tf, tfa, weight_decay):
    """Return start, gradients of every step and the variables after every step, by name."""
    random = np.random.RandomState(3)
    start = {name: random.normal(0, 0.5, shape).astype("float32") for name, shape in SHAPES.items()}
    start["zeros"] = np.zeros(SHAPES["zeros"], "float32")
    optimizer = tfa.optimizers.LAMB(learning_rate=0.01, weight_decay=weight_decay)
    variables = {name: tf.Variable(value, name=name) for name, value in start.items()}
    gradients, after = [], []
    for _ in range(STEPS):
        gradients.append(
            {name: random.normal(0, 1, shape).astype("float32") for name, shape in SHAPES.items()}
        )
        optimizer.apply_gradients((tf.constant(gradients[-1][name]), variables[name]) for name in SHAPES)
        after.append({name: listed(variable.numpy()) for name, variable in variables.items()})
    return {
        "learning_rate": 0.01,
        "weight_decay": weight_decay,
        "start": {name: listed(value) for name, value in start.items()},
        "gradients": [{name: listed(value) for name, value in step.items()} for step in gradients],
        "after": after,
    }


def focal(tf, tfa, labels, logits, alpha, gamma):
    """Return the focal loss of each image, summed over its tags."""
    loss = tfa.losses.SigmoidFocalCrossEntropy(
        from_logits=True, alpha=alpha, gamma=gamma, reduction=tf.keras.losses.Reduction.NONE
    )
    return {"alpha": alpha, "gamma": gamma, "loss": listed(loss(labels, logits).numpy())}


def main():
    """Compute everything and write the JSON beside this script."""
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import tensorflow as tf
    import tensorflow_addons as tfa

    random = np.random.RandomState(5)
    logits = random.normal(-1.5, 2.0, (6, 11)).astype("float32")
    labels = (random.uniform(size=logits.shape) < 1 / (1 + np.exp(-logits))).astype("float32")
    micro = tfa.metrics.F1Score(num_classes=11, average="micro", threshold=0.4)
    micro.update_state(labels, tf.sigmoid(logits))
    golden = {
        "made_with": {"tensorflow": tf.__version__, "tensorflow_addons": tfa.__version__},
        "lamb": [lamb(tf, tfa, weight_decay) for weight_decay in (0.0, 0.005, 0.05)],
        "labels": listed(labels),
        "logits": listed(logits),
        "focal": [
            focal(tf, tfa, labels, logits, *options) for options in ((0.25, 2.0), (0.5, 0.0), (0.9, 1.5))
        ],
        "micro_f1": {"threshold": 0.4, "f1": float(micro.result().numpy())},
    }
    text = json.dumps(golden, indent=None, separators=(",", ":"))
    pathlib.Path(__file__).with_name("tensorflow_addons.json").write_text(text + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
