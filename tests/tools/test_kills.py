"""Commands that are killed at random moments, with --overwrite and without: one whole output at every one."""

import json
import os
import pathlib
import subprocess
import sys

import pytest
from helpers import killed_commands

ROOT = pathlib.Path(__file__).resolve().parents[2]


def kill(folder, seed, moments, *commands):
    """Kill commands in a process of its own; return ``{command: what went wrong}``."""
    done = subprocess.run(
        [sys.executable, killed_commands.__file__, folder, str(seed), str(moments), *commands],
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"},
        capture_output=True,
        text=True,
        timeout=3000,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.reliability(
    "SIGKILL at any moment of a command, with --overwrite and without",
    "the old output, the new one or none, and the next run ends as an undisturbed one",
)
def test_a_whole_output_at_every_moment(tmp_path):
    names = ("write_records", "ensemble", "find_thresholds")
    assert kill(tmp_path, 0, 3, *names) == {name: [] for name in names}


@pytest.mark.slow
@pytest.mark.parametrize("name", killed_commands.COMMANDS)
def test_a_whole_output_at_each_of_30_moments(tmp_path, name):
    assert kill(tmp_path, 1, 30, name) == {name: []}
