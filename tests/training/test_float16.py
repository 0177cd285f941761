"""mixed_float16: the loss is scaled, the gradient unscaled before it is clipped, an overflow skipped."""

import helpers
import keras
import numpy as np
import pytest
from helpers.optimized import build

import Models
import train
from Utils.training import checkpoints, losses, optimizers

NAME = "NFNet/test"


@pytest.fixture(autouse=True)
def policy():
    """The dtype policy before a test comes back after it."""
    before = keras.config.dtype_policy()
    yield
    keras.config.set_dtype_policy(before)


def compiled_model(policy, **options):
    keras.backend.clear_session()
    keras.utils.set_random_seed(1)
    keras.config.set_dtype_policy(policy)
    sizes = {"image_size": 16, "num_labels": 5, "depths": (1, 1), "widths": (16, 16)}
    model = Models.build(NAME, classifier_activation=None, stochastic_depth=0.0, dropout=0.0, **sizes)
    settings = {"agc": 0.02, "ema": 0.5, "no_clip": Models.family(NAME).NO_CLIP, **options}
    model.compile(build("sgd", 0.05, **settings), losses.SummedBCE(), run_eagerly=True)
    model.optimizer.build(model.trainable_variables)
    return model


def batch():
    random = np.random.default_rng(0)
    images = random.uniform(0, 255, (8, 16, 16, 3)).astype("float32")
    return images, (random.random((8, 5)) < 0.4).astype("float32")


def steps(model, count):
    images, labels = batch()
    return [float(model.train_on_batch(images, labels, return_dict=True)["loss"]) for _ in range(count)]


@pytest.mark.slow
def test_it_follows_float32_and_skips_an_overflow():
    exact = compiled_model("float32")
    expected = steps(exact, 3)
    model = compiled_model("mixed_float16")
    assert isinstance(model.optimizer, optimizers.LossScale)
    assert model.compute_dtype == "float16"
    np.testing.assert_allclose(steps(model, 3), expected, rtol=0.01)
    for ours, theirs in zip(model.trainable_variables, exact.trainable_variables, strict=True):
        assert ours.dtype == "float32"
        np.testing.assert_allclose(ours, theirs, atol=0.01, err_msg=ours.path)
    averages = [name for name in checkpoints.capture(model) if "average" in name]
    assert len(averages) == len(model.trainable_variables)

    before = checkpoints.capture(model)
    model.optimizer.dynamic_scale.assign(2.0**60)  # every gradient overflows
    steps(model, 1)
    after = checkpoints.capture(model)
    changed = {name for name in before if before[name].tobytes() != after[name].tobytes()}
    scale = "optimizer/loss_scale_optimizer/"
    assert {name for name in changed if not name.startswith("metrics/")} == {
        f"{scale}dynamic_scale", f"{scale}step_counter",
    }  # fmt: skip
    assert after[f"{scale}dynamic_scale"] == 2.0**59
    checkpoints.restore(model, before)
    again = steps(model, 1)
    checkpoints.restore(model, before)
    assert steps(model, 1) == again, "the state is the whole state"


@pytest.mark.slow
def test_gradients_are_accumulated_unscaled():
    exact = compiled_model("float32", gradient_accumulation=2)
    steps(exact, 2)
    model = compiled_model("mixed_float16", gradient_accumulation=2)
    start = checkpoints.capture(model)
    steps(model, 1)
    weights = [variable.path for variable in model.trainable_variables]
    halfway = checkpoints.capture(model)
    assert all(np.array_equal(start[f"model/{path}"], halfway[f"model/{path}"]) for path in weights)
    steps(model, 1)
    done = checkpoints.capture(model)
    assert not all(np.array_equal(start[f"model/{path}"], done[f"model/{path}"]) for path in weights)
    for ours, theirs in zip(model.trainable_variables, exact.trainable_variables, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=0.01, err_msg=ours.path)


@pytest.mark.slow
def test_a_run_in_float16_goes_on_where_it_was(tmp_path):
    dataset = helpers.dotted_shards(tmp_path / "data", train=8, validation=2)
    words = f"""nfnet_l0 --model {NAME} --image-size 16 --model-options depths=1,1,1,1
    --batch-size-per-device 4 --tracker none --ema 0.9
    --dtype-policy mixed_float16 --schedule constant --warmup 0 --dataset {dataset} --run-dir""".split()
    assert train.main([*words, str(tmp_path / "whole"), "--epochs", "2"]) == 0
    assert train.main([*words, str(tmp_path / "parts"), "--epochs", "1"]) == 0
    assert train.main([*words, str(tmp_path / "parts"), "--epochs", "2"]) == 0
    whole, parts = (checkpoints.load(tmp_path / name / "checkpoints")[1] for name in ("whole", "parts"))
    assert "optimizer/loss_scale_optimizer/dynamic_scale" in whole
    assert [name for name in whole if whole[name].tobytes() != parts[name].tobytes()] == []
    assert keras.saving.load_model(tmp_path / "parts" / "model.keras").dtype_policy.name == "mixed_float16"
