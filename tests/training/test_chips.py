"""What chips can do at most: a device's share, and the seconds that follow."""

import pytest

from Utils.training import chips, topology


def test_every_generation_that_can_be_compiled_for_has_its_peaks():
    assert set(chips.CHIPS) == set(topology.GENERATIONS)
    for name, chip in chips.CHIPS.items():
        assert chips.of_topology(f"{name}:2x2") is chip
        assert 20 < chip.flops / chip.bytes_per_second < 1000, "FLOPs a byte"


def test_a_step_takes_at_least_its_flops_and_its_bytes():
    assert chips.bounds("v5e:2x4", 197e12, 819e9 / 2) == (1.0, 0.5)
    # A chip of v2 or v3 is two devices.
    assert chips.bounds("v3:2x2", 123e12, None) == (2.0, None)
    assert chips.bounds("v3:2x2", None, 900e9) == (None, 2.0)
    assert chips.bounds("v2:2x2", 46e12, 700e9) == (2.0, 2.0)
    assert chips.bounds("v6e:1x1", None, None) == (None, None)


def test_an_unknown_generation_has_no_peaks():
    with pytest.raises(KeyError):
        chips.of_topology("v9:2x2")
