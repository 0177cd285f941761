"""Utils/training/time_estimate.py: what a call takes, and how it is said."""

import types

import pytest

from Utils.training import time_estimate


def test_the_first_call_is_left_out_as_it_compiles(monkeypatch):
    moments = iter([0, 9, 10, 12, 20, 22, 30, 32])
    monkeypatch.setattr(time_estimate, "time", types.SimpleNamespace(perf_counter=moments.__next__))
    assert time_estimate.seconds_of(lambda: None) == 2


def test_a_long_first_call_is_enough(monkeypatch):
    moments = iter([0, 100])
    monkeypatch.setattr(time_estimate, "time", types.SimpleNamespace(perf_counter=moments.__next__))
    assert time_estimate.seconds_of(lambda: None) == 100


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.2, "1 s"), (80, "80 s"), (120, "2 min"), (5000, "83 min"), (9000, "2.5 h")]
)
def test_a_time_is_readable(seconds, text):
    assert time_estimate.readable(seconds) == text
