"""Results in order, the next one computed ahead, errors where they belong."""

import threading

import pytest

from Utils.serving import overlapping


def test_the_next_item_is_computed_while_this_one_is_used():
    began = {number: threading.Event() for number in range(4)}

    def square(number):
        began[number].set()
        return number * number

    found = []
    for item, result in overlapping.computed_ahead(square, range(4)):
        assert began[min(item + 1, 3)].wait(60), "it was computed only when it was asked for"
        found.append((item, result))
    assert found == [(0, 0), (1, 1), (2, 4), (3, 9)]


def test_two_workers_compute_two_items_at_a_time_and_results_keep_their_order():
    both = threading.Barrier(2, timeout=60)

    def square(number):
        both.wait()
        return number * number

    results = list(overlapping.computed_ahead(square, range(6), workers=2))
    assert results == [(number, number * number) for number in range(6)]


@pytest.mark.parametrize("workers", [None, 1, 2])
def test_no_more_items_are_taken_than_are_computed_ahead(workers):
    taken = []
    items = (taken.append(number) or number for number in range(10))
    options = {} if workers is None else {"workers": workers}
    for item, _ in overlapping.computed_ahead(str, items, **options):
        assert len(taken) == min(10, item + 1 + (workers or 1))


def test_an_error_comes_where_its_result_would():
    used = overlapping.computed_ahead(lambda number: 1 / number, [2, 1, 0, 4])
    assert [next(used), next(used)] == [(2, 0.5), (1, 1.0)]
    with pytest.raises(ZeroDivisionError):
        next(used)


def test_it_can_be_left_early_and_may_be_empty():
    assert list(overlapping.computed_ahead(str, [])) == []
    used = overlapping.computed_ahead(str, range(100))
    next(used)
    used.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("ahead")]
