"""Scores from histograms against exact ones; padding, replicas and logs are as promised."""

import json
import pathlib

import keras
import numpy as np
import pytest

from Utils.command.cli import UserError
from Utils.evaluation import scores, thresholds
from Utils.training import losses, validation_metrics

GOLDEN = json.loads((pathlib.Path(__file__).parents[1] / "golden" / "tensorflow_addons.json").read_text())


def drawn(num_images, num_tags, seed=0):
    """Long-tailed labels and logits that know them to a degree."""
    random = np.random.default_rng(seed)
    prior = np.log(0.3 / np.arange(1, num_tags + 1) ** 0.8)
    truth = prior + random.normal(0, 2, (num_images, num_tags))
    labels = (random.random(truth.shape) < 1 / (1 + np.exp(-truth))).astype("float32")
    return labels, (truth + random.normal(0, 1, truth.shape)).astype("float32")


def streamed(labels, logits, batch=100, weights=None):
    metric = validation_metrics.EqualPR(labels.shape[1])
    for start in range(0, len(labels), batch):
        part = slice(start, start + batch)
        metric.update_state(labels[part], logits[part], None if weights is None else weights[part])
    return {key: float(value) for key, value in metric.result().items()}


def exact(labels, logits):
    """The same scores by the code that scores dumps."""
    probabilities = (1 / (1 + np.exp(-logits.astype("float64")))).astype("float32")
    cut = thresholds.p_equals_r(probabilities, int(labels.sum()))
    predicted = probabilities > cut.threshold
    true = labels > 0.5
    counts = scores.Counts(
        tp=(predicted & true).sum(0),
        fp=(predicted & ~true).sum(0),
        fn=(~predicted & true).sum(0),
        tn=(~predicted & ~true).sum(0),
    )
    return float(scores.f_beta(counts.total())), float(cut.threshold), scores.macro_f1(counts)


def test_a_group_is_scored_as_if_it_were_all_there_is():
    labels, logits = drawn(500, 40)
    columns = [3, 7, 30]
    logits[:, 7] = -9  # never predicted
    metric = validation_metrics.GroupF1(columns, "new")
    metric.update_state(labels, logits)
    got = {key: float(value) for key, value in metric.result().items()}
    alone = streamed(labels[:, columns], logits[:, columns])
    assert got == {f"new_{key}": alone[key] for key in ("f1", "macro_f1", "never_predicted")}
    assert got["new_never_predicted"] == 1
    assert labels[:, 7].any()


@pytest.mark.parametrize(
    ("num_images", "num_tags"),
    [pytest.param(300, 86, marks=pytest.mark.every_backend), (2000, 86), (1000, 500)],
)
def test_scores_equal_those_of_the_dump(num_images, num_tags):
    labels, logits = drawn(num_images, num_tags)
    got = streamed(labels, logits)
    micro, threshold, macro = exact(labels, logits)
    assert got["f1"] == pytest.approx(micro, abs=1e-4)
    assert got["precision"] == pytest.approx(got["recall"], abs=1e-5)
    predicted = (1 / (1 + np.exp(-logits.astype("float64"))) > threshold).any(axis=0)
    never = (labels.any(axis=0) & ~predicted).sum()
    assert got["never_predicted"] == pytest.approx(never, abs=0.02 * num_tags)  # of the bins next to the cut
    assert got["saturated"] == 0
    assert got["threshold"] == pytest.approx(threshold, abs=1e-3)
    assert got["macro_f1"] == pytest.approx(macro, abs=2e-3)


def test_counts_of_tags_add_up_to_the_scores():
    labels, logits = drawn(300, 40)
    metric = validation_metrics.EqualPR(40)
    metric.update_state(labels, logits)
    counts, scores = metric.tag_counts(), {key: float(value) for key, value in metric.result().items()}
    assert counts["positives"].tolist() == labels.sum(axis=0).tolist()
    f1 = 2 * counts["correct"] / np.maximum(counts["predicted"] + counts["positives"], 1)
    assert f1[counts["positives"] > 0].mean() == pytest.approx(scores["macro_f1"], abs=1e-6)
    silent = (counts["positives"] > 0) & (counts["predicted"] <= validation_metrics.PREDICTED)
    assert silent.sum() == scores["never_predicted"]
    assert counts["threshold"].unique() == pytest.approx([scores["threshold"]])


@pytest.mark.every_backend
@pytest.mark.parametrize("height", [9.0, 12.0, -12.0])
def test_of_one_tag_macro_is_micro_wherever_the_threshold_lies(height):
    """Also where that is in the outermost bins of tags, as where the tag is on every picture."""
    labels, logits = drawn(400, 1)
    for truth in (labels, np.ones_like(labels)):
        got = streamed(truth, height + logits / 10)
        assert got["f1"] > 0.3
        assert got["macro_f1"] == pytest.approx(got["f1"], abs=1e-4)
    assert got["f1"] == pytest.approx(1.0, abs=1e-4) and got["never_predicted"] == 0


def test_saturated_outputs_are_those_at_the_ends():
    logits = np.float32([[-40, 0, 1, 15], [17, -3, 2, -15]])
    assert streamed(np.eye(2, 4, dtype="float32"), logits)["saturated"] == pytest.approx(2 / 8)


def test_macro_leaves_out_tags_that_are_never_true():
    labels, logits = drawn(400, 20)
    empty = np.zeros((400, 5), "float32")
    got = streamed(np.hstack([labels, empty]), np.hstack([logits, empty - 7]))
    assert got["macro_f1"] == pytest.approx(streamed(labels, logits)["macro_f1"], abs=1e-6)


def test_extreme_predictions_have_finite_scores():
    labels, _ = drawn(50, 10)
    assert streamed(labels, labels * 8 - 4)["f1"] == pytest.approx(1)
    assert streamed(labels, 4 - labels * 8)["f1"] < 0.5
    nothing = {key: float(value) for key, value in validation_metrics.EqualPR(3).result().items()}
    assert nothing.pop("threshold") == pytest.approx(1, abs=1e-6)
    assert set(nothing.values()) == {0.0}
    unlabeled = streamed(np.zeros((4, 3), "float32"), np.full((4, 3), -3.0, "float32"))
    assert unlabeled["f1"] == unlabeled["macro_f1"] == 0
    assert np.isfinite(streamed(labels, np.where(labels, 1e9, -1e9).astype("float32"))["f1"])


@pytest.mark.every_backend
def test_padding_and_unknown_labels_count_nothing_and_soft_ones_are_rounded():
    labels, logits = drawn(60, 10)
    plain = streamed(labels, logits)
    padded = np.vstack([labels, np.ones((4, 10), "float32")]), np.vstack([logits, np.full((4, 10), 9.0)])
    weights = np.r_[np.ones(60), np.zeros(4)].astype("float32")
    assert streamed(*padded, weights=weights) == plain
    assert streamed(labels * 0.4 + 0.3, logits) == plain
    unknown = labels.copy()
    unknown[:, 4] = -1
    rest = [column for column in range(10) if column != 4]
    got, expected = streamed(unknown, logits), streamed(labels[:, rest], logits[:, rest])
    assert got == pytest.approx(expected, abs=1e-6)


def test_a_reset_metric_starts_again():
    metric = validation_metrics.EqualPR(10)
    labels, logits = drawn(20, 10)
    metric.update_state(labels, logits)
    metric.reset_state()
    assert float(metric.result()["f1"]) == 0


def compiled():
    inputs = keras.Input((6,))
    model = keras.Model(inputs, keras.layers.Dense(10, kernel_initializer=keras.initializers.Ones())(inputs))
    loss = losses.SummedBCE()
    model.compile(
        "sgd",
        loss,
        weighted_metrics=[validation_metrics.MeanLoss(loss), validation_metrics.EqualPR(10)],
        jit_compile=False,
    )
    return model


def test_fit_logs_the_scores_and_the_exact_loss_under_padding():
    random = np.random.default_rng(1)
    images = random.normal(size=(24, 6)).astype("float32")
    labels = (random.random((24, 10)) < 0.4).astype("float32")
    weights = np.r_[np.ones(19), np.zeros(5)].astype("float32")
    model = compiled()
    model.optimizer.learning_rate = 0.0
    history = model.fit(
        images, labels, validation_data=(images, labels, weights), batch_size=8, epochs=2, verbose=0
    ).history
    logits = keras.ops.convert_to_numpy(model(images))
    expected = keras.ops.convert_to_numpy(losses.bce(labels, logits))
    np.testing.assert_allclose(history["loss"][0], expected.mean(), rtol=1e-6)
    np.testing.assert_allclose(history["val_loss"], [expected[:19].mean()] * 2, rtol=1e-6)
    scores_of_19 = streamed(labels[:19], logits[:19])
    for key in ("f1", "threshold", "precision", "recall", "macro_f1", "macro_precision", "macro_recall"):
        np.testing.assert_allclose(history[f"val_{key}"], [scores_of_19[key]] * 2, rtol=1e-5)


@pytest.mark.every_backend
@pytest.mark.parametrize("name", ["epr", "two_way"])
def test_padding_is_no_part_of_a_loss_over_the_images_of_a_batch(name):
    loss = losses.build(name, **({"expected_positives": 3.0} if name == "epr" else {}))
    random = np.random.default_rng(1)
    labels = (random.random((8, 10)) < 0.4).astype("float32")
    logits = random.normal(size=(8, 10)).astype("float32")
    metric, counts = validation_metrics.MeanLoss(loss), np.array([0, 1, 1, 0, 0, 1, 1, 0], "float32")
    metric.update_state(labels, logits, counts)
    rows = np.flatnonzero(counts)
    expected = keras.ops.convert_to_numpy(loss.call(labels[rows], logits[rows])).mean()
    np.testing.assert_allclose(float(metric.result()), expected, rtol=1e-6)


@pytest.mark.every_backend
def test_f1_equals_tensorflow_addons():
    """Of the counts at the golden threshold, of all tags together; 0 where nothing is true or predicted."""
    labels, logits = np.float32(GOLDEN["labels"]), np.float32(GOLDEN["logits"])
    predicted = 1 / (1 + np.exp(-logits)) > GOLDEN["micro_f1"]["threshold"]
    false_positives, true_positives = (predicted & (labels == value) for value in (0, 1))
    got = validation_metrics._scores(
        np.float32(false_positives.sum()), np.float32(true_positives.sum()), labels.sum()
    )
    assert float(got["f1"]) == pytest.approx(GOLDEN["micro_f1"]["f1"], rel=1e-6)


def test_no_tags_is_an_error():
    with pytest.raises(UserError, match="num_labels must be >= 1; got 0"):
        validation_metrics.EqualPR(0)
