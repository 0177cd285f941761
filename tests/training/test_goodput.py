"""Where the wall clock of an epoch goes: waiting for batches, saving, validating, and steps."""

import types

import pytest

from Utils.training import goodput
from Utils.training.goodput import Goodput


@pytest.fixture
def clock(monkeypatch):
    clock = types.SimpleNamespace(now=0.0)
    monkeypatch.setattr(goodput, "time", types.SimpleNamespace(monotonic=lambda: clock.now))
    return clock


def ready(measured, clock, step, moment):
    clock.now, before = moment, clock.now
    measured.batch_is_ready(step)
    clock.now = before


def test_a_step_waits_from_its_question_until_its_batch(clock):
    measured = Goodput()
    measured.begin()
    for step, moment in ((0, -1.0), (1, 12.0), (2, 15.0)):
        ready(measured, clock, step, moment)
    for step in range(3):
        clock.now = 10.0 * step
        measured.step_begins(step)
    clock.now = 30.0
    measured.steps_end()
    assert measured.seconds["input"] == 2.0, "step 1, from 10 to 12; the batch of step 2 was early"


def test_a_batch_comes_after_those_before_it(clock):
    measured = Goodput()
    ready(measured, clock, 1, 1.0)
    ready(measured, clock, 0, 5.0)
    measured.step_begins(1)
    clock.now = 20.0
    measured.steps_end()
    assert measured.seconds["input"] == 5.0


def test_where_batches_are_taken_ahead_the_last_question_is_of_no_step(clock):
    measured = Goodput(ahead=1)
    for step, moment in ((0, -2.0), (1, 3.0), (2, 18.0)):
        ready(measured, clock, step, moment)
    measured.step_begins(0)  # asks for the batch of step 1
    clock.now = 10.0
    measured.step_begins(1)
    clock.now = 20.0
    measured.steps_end()
    assert measured.seconds["input"] == 3.0


def test_a_wait_is_never_longer_than_the_step(clock):
    measured = Goodput()
    measured.step_begins(0)
    clock.now = 3.0
    ready(measured, clock, 0, 100.0)
    measured.step_begins(1)
    assert measured.seconds["input"] == 3.0
    measured.begin()
    assert set(measured.seconds.values()) == {0.0}


def test_shares_are_of_the_epoch(clock):
    measured = Goodput()
    measured.begin()
    measured.step_begins(0)
    ready(measured, clock, 0, 4.0)
    clock.now = 10.0
    with measured.measured("saving"):
        clock.now = 12.0
    measured.step_begins(1)
    clock.now = 20.0
    measured.steps_end()
    for part in ("validation", "saving"):
        with measured.measured(part):
            clock.now += 5.0
    assert measured.shares(20.0, 40.0) == {
        "share_steps": (20.0 - 4.0 - 2.0) / 40,
        "share_input": 4.0 / 40,
        "share_validation": 5.0 / 40,
        "share_saving": (2.0 + 5.0) / 40,
    }


def test_what_was_not_measured_is_nothing():
    """Of an epoch whose row alone was missing, when a run was continued."""
    assert Goodput().shares(0.0, 0.0) == dict.fromkeys(goodput.COLUMNS, 0.0)
