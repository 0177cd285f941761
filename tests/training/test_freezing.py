"""The two parts of fine-tuning: which steps the model is compiled for, and when."""

import pytest

from Utils.training.freezing import Freezing


@pytest.fixture
def calls():
    return []


def test_each_part_is_compiled_once_with_its_first_step(calls):
    freezing = Freezing(2, 10, lambda **options: calls.append(options))
    for step in (0, 5, 19):
        freezing.compile_for(step)
        assert not freezing.unfreezes_at(step)
    assert calls == [{"frozen": True, "start_step": 0}]
    assert freezing.unfreezes_at(20)
    freezing.compile_for(20)
    freezing.compile_for(35)
    assert calls[1:] == [{"frozen": False, "start_step": 20}]
    assert not freezing.unfreezes_at(35)


def test_a_run_that_continues_in_the_second_part_compiles_that_one_only(calls):
    Freezing(2, 10, lambda **options: calls.append(options)).compile_for(25)
    assert calls == [{"frozen": False, "start_step": 20}]


def test_without_frozen_epochs_there_is_one_part(calls):
    freezing = Freezing(0, 10, lambda **options: calls.append(options))
    freezing.compile_for(0)
    assert calls == [{"frozen": False, "start_step": 0}]
    assert not freezing.unfreezes_at(10)
    assert freezing.part_end(0, 7) == 7


def test_a_call_of_fit_ends_with_its_frozen_or_unfrozen_part(calls):
    freezing = Freezing(2, 10, lambda **options: None)
    assert [freezing.part_end(epoch, 7) for epoch in range(7)] == [2, 2, 7, 7, 7, 7, 7]
