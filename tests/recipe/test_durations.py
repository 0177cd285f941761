"""Utils/recipe/durations.py: every unit in steps, and what is no duration."""

import pytest

from Utils.command.cli import UserError
from Utils.recipe import durations


@pytest.mark.parametrize(
    ("text", "steps"),
    [("5 epochs", 50), ("5", 50), ("0.25 epochs", 2), ("7 steps", 7), ("65 images", 3), ("1e3 steps", 1000)],
)
def test_durations_in_steps(text, steps):
    assert durations.parse(text).steps(10, 32) == steps


def test_durations_in_time():
    seconds = {"90s": 90, "10m": 600, "2 h": 7200, "1.5 hours": 5400}
    assert {text: durations.parse(text, time=True).amount for text in seconds} == seconds
    with pytest.raises(UserError, match="not in time; got '10m'"):
        durations.parse("10m")
    with pytest.raises(ValueError, match="600 s"):
        durations.parse("10m", time=True).steps(10, 32)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "epochs",
        "5 weeks",
        "-3 steps",
        "3 steps 2 epochs",
        "1.2.3",
        "inf",
        "1e999 s",
        "1e308",
        "1e13 steps",
    ],
)
def test_a_text_that_is_no_duration_is_refused(text):
    with pytest.raises(UserError, match="--checkpoint-every must be .*got"):
        durations.parse(text, time=True, flag="--checkpoint-every")
