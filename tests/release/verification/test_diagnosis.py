"""A fault is named if undoing it removes the difference, alone or together with others."""

import numpy as np
import pytest

from Utils.release.verification import diagnosis
from Utils.release.verification.reference import sigmoid

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.uniform(0, 255, (8, 4, 4, 3))
WEIGHTS = RANDOM.normal(size=(12, 3))


class Linear:
    """A reference that looks at the mean color, so that the order of channels matters."""

    def probabilities(self, images):
        return sigmoid(self.logits(images))

    def logits(self, images):
        return (images.mean(axis=(1, 2)) / 32 - 4) @ WEIGHTS.T


LOGITS, EXPECTED = Linear().logits(IMAGES), Linear().probabilities(IMAGES)
TURNED = Linear().logits(IMAGES[..., ::-1])
ORDER = [*range(1, 12), 0]


def diagnose(outputs):
    return diagnosis.diagnose(outputs, EXPECTED, IMAGES, Linear())


@pytest.mark.parametrize(
    ("outputs", "names"),
    [
        (EXPECTED, []),
        (LOGITS, ["logits instead of probabilities"]),
        (sigmoid(TURNED), ["RGB instead of BGR"]),
        (EXPECTED[:, ORDER], ["outputs in another order"]),
        (TURNED, ["logits instead of probabilities", "RGB instead of BGR"]),
        (LOGITS[:, ORDER], ["logits instead of probabilities", "outputs in another order"]),
        (
            TURNED[:, ORDER],
            ["logits instead of probabilities", "RGB instead of BGR", "outputs in another order"],
        ),
        (sigmoid(LOGITS + 0.1), []),
        (sigmoid(RANDOM.normal(size=LOGITS.shape)), []),
    ],
)
def test_faults_are_named_where_undoing_them_explains_the_difference(outputs, names):
    result = diagnose(outputs.astype(np.float32))
    assert [fault.name for fault in result.faults] == names


def test_the_rest_of_a_difference_and_its_place_are_kept():
    outputs = sigmoid(TURNED)
    outputs[5, 7] += 0.01
    result = diagnose(outputs)
    assert [fault.name for fault in result.faults] == ["RGB instead of BGR"]
    assert result.difference == pytest.approx(0.01)
    assert result.worst_place() == (5, 7)


def test_outputs_that_are_alike_have_no_order():
    outputs = np.repeat(EXPECTED[:, :1], 12, axis=1)
    assert diagnose(outputs).faults == ()
    assert diagnose(EXPECTED[:, ORDER]).faults[0].came == "12 of 12 outputs elsewhere"
