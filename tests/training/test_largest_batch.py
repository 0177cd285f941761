"""The search for the largest batch, on steps whose memory is known."""

import pytest

from Utils.training import largest_batch
from Utils.training.compiled_step import CompiledStep

LIMIT = 1000


def search(memory_of, first, **options):
    """Return the largest batch and those that were compiled for it."""
    tried = []

    def compile_for(batch):
        tried.append(batch)
        needed = memory_of(batch)
        return CompiledStep(needed <= LIMIT, needed, 0, needed, None, None, {}, None, 0.0, 0.0)

    batch, step = largest_batch.find(compile_for, first, LIMIT, **options)
    assert step.fits == (batch > 0)
    return batch, tried


@pytest.mark.parametrize("first", [1, 8, 32, 96, 512])
@pytest.mark.parametrize(
    "memory_of",
    [
        lambda batch: 100 + 7 * batch,
        lambda batch: 100 + 7 * batch + 40 * (batch // 32 % 2),  # the compiler decides anew now and then
        lambda batch: 400 + batch * batch // 20,
    ],
)
def test_the_answer_fits_and_the_next_does_not(memory_of, first):
    batch, tried = search(memory_of, first)
    assert batch % 8 == 0
    assert memory_of(batch) <= LIMIT < memory_of(batch + 8)
    assert len(tried) == len(set(tried)), "nothing is compiled twice"


def test_a_line_needs_few_trials():
    assert len(search(lambda batch: 100 + batch, 32)[1]) <= 5


def test_where_not_even_a_unit_fits_single_images_are_tried():
    assert search(lambda batch: 300 * batch, 32)[0] == 3
    assert search(lambda batch: 2000, 32)[0] == 0


def test_the_answer_is_a_multiple_of_the_unit():
    assert search(lambda batch: 10 * batch, 48, unit=48)[0] == 96


def test_the_search_ends():
    batch, tried = search(lambda batch: 1, 32)
    assert batch >= largest_batch.MOST
    assert len(tried) < 16
