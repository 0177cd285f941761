"""Utils/command/machine.py: cores that this process may use, whatever the system tells."""

import os
import resource
import sys

import numpy as np
import pytest

from Utils.command import machine
from Utils.command.cli import UserError
from Utils.command.machine import num_cores, require_linux


def test_a_process_kept_to_one_core_has_one():
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert num_cores() == 1
    finally:
        os.sched_setaffinity(0, before)
    assert num_cores() == len(before)


def test_how_many_files_may_be_open(monkeypatch):
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (200, before[1]))
        assert machine.max_open_files() == 200
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    monkeypatch.setitem(sys.modules, "resource", None)  # as on Windows
    assert machine.max_open_files() is None


@pytest.mark.reliability(
    "No sched_getaffinity, as on macOS and Windows", "the machine's number of cores is taken"
)
def test_a_system_that_tells_less(monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity")
    assert num_cores() == os.cpu_count()
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert num_cores() == 1


def test_what_needs_linux_is_refused_elsewhere(monkeypatch):
    require_linux("x.py")
    monkeypatch.delattr(os, "sched_setaffinity")
    with pytest.raises(UserError, match="x.py needs Linux"):
        require_linux("x.py")


def test_growth_counts_from_now_on():
    np.ones(8_000_000)  # 64 MB, gone again
    growth = machine.MemoryGrowth()
    before = growth.peak_megabytes()
    held = np.ones(16_000_000)  # 128 MB: much beside what a busy machine takes back from this process
    assert before < 20
    assert growth.peak_megabytes() - before == pytest.approx(held.nbytes / 2**20, rel=0.2)


def test_the_processor_is_told_by_the_system(tmp_path, monkeypatch):
    info = tmp_path / "cpuinfo"
    info.write_text("processor\t: 0\nmodel name\t: Xeon X\nflags\t\t: fpu amx_bf16 avx2\n\nprocessor\t: 1\n")
    monkeypatch.setattr(machine, "CPU_INFO", info)
    assert (machine.cpu_name(), machine.has_amx()) == ("Xeon X", True)
    info.write_text("model name\t: EPYC\nflags\t\t: fpu avx512_bf16\n")
    assert (machine.cpu_name(), machine.has_amx()) == ("EPYC", False)
    monkeypatch.setattr(machine, "CPU_INFO", tmp_path / "none")
    assert not machine.has_amx()
