"""Names of topologies, the compiler's messages about memory, and what it answers, where it is installed."""

import subprocess
import sys

import pytest

from Utils.command import accelerators
from Utils.command.cli import UserError
from Utils.training import topology

needs_libtpu = pytest.mark.skipif(
    not accelerators.has_libtpu(), reason="libtpu is not installed (requirements-tpu.txt)"
)


@pytest.mark.parametrize(
    ("name", "canonical"),
    [
        ("v5e:2x4", "v5e:2x4"),
        ("v4:2x2x1", "v4:2x2x1"),
        ("v3-8", "v3:2x2"),
        ("v2-32", "v2:4x4"),
        ("v4-8", "v4:2x2x1"),
        ("v4-64", "v4:2x4x4"),
        ("v5p-16", "v5p:2x2x2"),
        ("v5e-1", "v5e:1x1"),
        ("v5litepod-16", "v5e:4x4"),
        ("v6e-8", "v6e:2x4"),
    ],
)
def test_machines_have_the_topologies_that_google_cloud_gives_them(name, canonical):
    assert topology.canonical(name) == canonical


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("v9:2x2", "--topology is"), ("v5e", "--topology is"), ("v5e:2", "--topology is"),
        ("v5e:2x2x2", "v5e has two axes, as in v5e:2x4"), ("v5e-12", "a power of 2 of chips; got 12"),
        ("v3-1", "a power of 2 of chips; got 0"), ("gpu-8", "--topology is"), ("v5e:axb", "--topology is"),
    ],
)  # fmt: skip
def test_other_names_are_refused(name, said):
    with pytest.raises(UserError, match=rf"--topology .*{said.removeprefix('--topology ')}"):
        topology.canonical(name)


MESSAGES = {
    "RESOURCE_EXHAUSTED: Ran out of memory on HBM, the total memory required for HLO temporaries (8.00T) "
    "exceeds available HBM (15.75G).": (8 * 2**40, 15.75 * 2**30),
    "RESOURCE_EXHAUSTED: Ran out of memory in memory space hbm. Used 282.95G of 15.75G hbm. Exceeded hbm "
    "capacity by 267.20G.": (282.95 * 2**30, 15.75 * 2**30),
    "INVALID_ARGUMENT: Used 282.95G of 15.75G hbm": None,
    "RESOURCE_EXHAUSTED: too many threads": None,
}


@pytest.mark.parametrize("message", MESSAGES)
def test_the_memory_that_a_program_lacks_is_read_from_the_compilers_message(message):
    expected = MESSAGES[message]
    assert topology.exceeded(message) == (expected and tuple(map(round, expected)))


@needs_libtpu
def test_the_compiler_describes_a_topology_and_refuses_others(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    found = topology.find("v5e-8")
    assert (found.name, found.devices, found.device_kind) == ("v5e:2x4", 8, "TPU v5 lite")
    assert 15 * 2**30 < found.memory_limit < 16 * 2**30
    with pytest.raises(UserError, match="v5e:3x3.*not divisible"):
        topology.find("v5e:3x3")
    monkeypatch.setattr(subprocess, "run", None)
    assert topology.find("v5e:2x4") == found, "what was asked before is remembered"


@pytest.mark.reliability(
    "libtpu ends the process for a topology that it has no routes for", "one error names the topology"
)
def test_a_crash_of_the_compiler_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(topology, "versions", lambda: {"libtpu": "0"})
    run = subprocess.run
    crash = [sys.executable, "-c", "import os; os.abort()"]
    monkeypatch.setattr(subprocess, "run", lambda words, **options: run(crash, **options))
    with pytest.raises(UserError, match=r"v4:2x2x1 is not known.*crash"):
        topology.find("v4:2x2x1")
    assert not list(tmp_path.rglob("*.json"))


def test_an_effort_holds_for_a_block():
    import jax

    before = jax.config.jax_optimization_level, jax.config.jax_memory_fitting_level
    assert before == topology.EFFORTS["full"]
    with topology.effort("low"):
        assert (jax.config.jax_optimization_level, jax.config.jax_memory_fitting_level) == ("O0", "O1")
    assert (jax.config.jax_optimization_level, jax.config.jax_memory_fitting_level) == before
