"""Every loss, metric, schedule and optimizer of Utils comes back from its own configuration, by discovery."""

import inspect
import json

import keras
import numpy as np
import pytest
from helpers.optimized import build

from Utils.training import (
    losses,
    missing_positive_losses,
    optimizers,
    prior_scores,
    schedules,
    tag_loss,
    validation_metrics,
)

KINDS = (
    keras.losses.Loss,
    keras.metrics.Metric,
    keras.optimizers.schedules.LearningRateSchedule,
    keras.optimizers.Optimizer,
)
# Arguments that are not the defaults, by class.
ARGUMENTS = {
    "SummedBCE": {"label_smoothing": 0.1, "tag_weights": [1.0, 2.0], "reduction": "sum"},
    "Focal": {"alpha": 0.4, "gamma": 1.0, "label_smoothing": 0.1, "tag_weights": [1.0, 2.0]},
    "ASL": {"gamma_neg": 4.0, "gamma_pos": 1.0, "clip": 0.05, "stop_focus_gradient": False},
    "Hill": {"lam": 1.2, "margin": 0.5, "gamma": 1.0, "tag_weights": [1.0, 2.0]},
    "SPLC": {"tau": 0.7, "change_epoch": 2},
    "LLR": {"delta_rel": 0.4},
    "LLCt": {"delta_rel": 0.4},
    "RAL": {"lam": 1.2, "gamma_neg": 2.0, "gamma_pos": 1.0, "clip": 0.1},
    "TwoWay": {"T_p": 2.0, "T_n": 3.0, "part": "class"},
    "ZLPR": {"label_smoothing": 0.1},
    "EqualPR": {"num_labels": 7, "name": "scores"},
    "MeanLoss": {"loss": losses.Focal(gamma=3.0), "name": "mean"},
    "PriorScores": {"frequencies": [0.1, 0.5], "terms": [[0.2, 0.7], [2.3, 0.7]], "name": "prior"},
    "WarmupCosine": {"peak": 0.2, "warmup_steps": 3, "total_steps": 9, "warmup_start": 0.3, "floor": 0.2},
    "WarmupConstant": {"peak": 0.2, "warmup_steps": 3, "total_steps": 9, "warmup_start": 0.3},
    "WarmupStableDecay": {"peak": 0.2, "warmup_steps": 3, "total_steps": 9, "decay_steps": 2, "floor": 0.2},
    "EPR": {"expected_positives": 4.5, "weight": 2.0},
    "GroupF1": {"columns": [2, 5], "name": "new"},
    "LossScale": {"inner_optimizer": optimizers.OPTIMIZERS["sgd"](0.1, agc=0.01), "initial_scale": 8.0},
    "Shifted": {"schedule": schedules.WarmupCosine(0.2, 3, 9), "start": 4},
}
OPTIMIZER = {
    "learning_rate": schedules.WarmupCosine(0.1, 2, 10),
    "weight_decay": 0.3,
    "agc": 0.02,
    "no_clip": ["head"],
    "no_decay": ["bias", "gamma"],
    "rate_factors": [("stem", 0.1)],
    "use_ema": True,
    "ema_momentum": 0.9,
    "gradient_accumulation_steps": 2,
}


def discovered():
    yield from optimizers.OPTIMIZERS.values()
    for module in (losses, missing_positive_losses, validation_metrics, prior_scores, schedules, optimizers):
        for name, item in vars(module).items():
            is_public = inspect.isclass(item) and issubclass(item, KINDS) and not name.startswith("_")
            is_public = is_public and item not in (tag_loss.TagLoss, tag_loss.EpochLoss)  # bases
            if is_public and item not in optimizers.OPTIMIZERS.values():
                yield item


@pytest.mark.parametrize("kind", list(discovered()), ids=lambda kind: kind.__name__)
def test_every_class_comes_back_from_its_configuration(kind):
    arguments = ARGUMENTS.get(kind.__name__, OPTIMIZER)
    original = kind(**arguments)
    text = json.dumps(keras.saving.serialize_keras_object(original))
    back = keras.saving.deserialize_keras_object(json.loads(text))
    assert type(back) is kind
    assert json.dumps(keras.saving.serialize_keras_object(back)) == text
    config = back.get_config()
    for name, value in arguments.items():
        if isinstance(value, (int, float, str)):
            assert config[name] == value, name


def test_the_tables_hold_everything_discovered():
    tables = {*losses.LOSSES.values(), *schedules.SCHEDULES.values(), schedules.Shifted, optimizers.LossScale}
    tables |= {*optimizers.OPTIMIZERS.values()}
    assert tables == {kind for kind in discovered() if not issubclass(kind, keras.metrics.Metric)}


def test_a_compiled_model_comes_back_from_its_file(tmp_path):
    inputs = keras.Input((4,))
    model = keras.Model(inputs, keras.layers.Dense(3)(inputs))
    loss = losses.ASL(gamma_neg=2.0)
    scores = [validation_metrics.MeanLoss(loss), validation_metrics.EqualPR(3)]
    optimizer = build("lamb", schedules.WarmupCosine(0.1, 2, 10), weight_decay=0.1, ema=0.9)
    model.compile(optimizer, loss, weighted_metrics=scores, jit_compile=False)
    images, labels = np.ones((8, 4), "float32"), np.ones((8, 3), "float32")
    model.fit(images, labels, batch_size=4, verbose=0)
    model.save(tmp_path / "model.keras")
    back = keras.saving.load_model(tmp_path / "model.keras")
    assert back.optimizer.get_config() == model.optimizer.get_config()
    for variable, loaded in zip(model.optimizer.variables, back.optimizer.variables, strict=True):
        np.testing.assert_array_equal(
            keras.ops.convert_to_numpy(variable), keras.ops.convert_to_numpy(loaded), err_msg=variable.path
        )
    assert back.evaluate(images, labels, verbose=0, return_dict=True) == model.evaluate(
        images, labels, verbose=0, return_dict=True
    )
