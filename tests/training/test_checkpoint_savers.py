"""Who writes checkpoints: the first host at once, or all hosts in a thread; what is refused."""

import dataclasses
import threading
import types

import jax.numpy as jnp
import numpy as np
import pytest

from Utils.command.cli import UserError, WorkError
from Utils.training import checkpoint_savers, checkpoints, orbax_arrays
from Utils.training.devices import Devices
from Utils.training.weight_sharding import WeightSharding

SHARDED = Devices("4 CPUs", "CPU", 4, True, sharding=WeightSharding(4, ()))


@pytest.fixture
def weight(monkeypatch):
    """The one variable of what stands for a model; its value is to be set."""
    variable = types.SimpleNamespace(value=jnp.zeros(2), shape=(2,))
    monkeypatch.setattr(checkpoints, "variables", lambda model: {"model/w": variable})
    monkeypatch.setattr(checkpoints, "synchronize", lambda model: None)
    return variable


def test_a_save_goes_on_while_the_model_changes_and_becomes_current_at_its_end(tmp_path, weight, monkeypatch):
    saver, may_end = checkpoint_savers.build(tmp_path, 2, SHARDED), threading.Event()
    digest = orbax_arrays.sha256_of_folder
    monkeypatch.setattr(orbax_arrays, "sha256_of_folder", lambda path: may_end.wait(30) and digest(path))
    assert saver.save(None, 1)
    weight.value = jnp.ones(2)
    assert checkpoints.newest(tmp_path) is None
    may_end.set()
    for step in (2, 3):
        assert saver.save(None, step)
        weight.value = weight.value + 1
    saver.wait()
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["newest.json", "step-000000002", "step-000000003"]
    step, state = checkpoints.load(tmp_path)
    assert (step, state.read()["model/w"].tolist()) == (3, [2.0, 2.0])


def test_one_state_is_saved_and_waited_for(tmp_path, weight, monkeypatch):
    checkpoint_savers.save_now(tmp_path / "sharded", None, 3, SHARDED)
    assert checkpoints.load(tmp_path / "sharded")[0] == 3
    monkeypatch.setattr(checkpoints, "capture", lambda model: {"model/w": np.ones(2, "float32")})
    for host, is_saved in (((1, 2), False), ((0, 2), True)):
        checkpoint_savers.save_now(tmp_path / "whole", None, 3, Devices("1 CPU", "CPU", 1, True, host=host))
        assert (checkpoints.newest(tmp_path / "whole") is not None) == is_saved, host
    assert checkpoints.load(tmp_path / "whole")[0] == 3
    second = dataclasses.replace(SHARDED, host=(1, 2))
    checkpoint_savers.save_now(tmp_path / "parts", None, 3, second)
    assert [path.name for path in (tmp_path / "parts").iterdir()] == ["step-000000003"]
    assert checkpoints.newest(tmp_path / "parts") is None


def test_a_damaged_folder_is_passed_over(tmp_path, weight, capsys):
    saver = checkpoint_savers.build(tmp_path, 2, SHARDED)
    for step in (1, 2):
        assert saver.save(None, step)
    saver.wait()
    pointer = tmp_path / checkpoints.POINTER
    listed = pointer.read_bytes()
    pointer.write_bytes(b"")  # without it, a folder is known by the digest that it holds
    step, state = checkpoints.load(tmp_path)
    assert (step, state.read()["model/w"].tolist()) == (2, [0.0, 0.0])
    files = [path for path in (tmp_path / "step-000000002").rglob("*") if path.is_file()]
    file = max(files, key=lambda path: path.stat().st_size)
    file.write_bytes(file.read_bytes()[:-1])
    for content in (b"", listed):
        pointer.write_bytes(content)
        assert checkpoints.load(tmp_path)[0] == 1
    assert "damaged" in capsys.readouterr().err


def test_what_goes_wrong_in_the_thread_is_raised_by_the_next_call(tmp_path, weight, monkeypatch):
    saver = checkpoint_savers.build(tmp_path, 2, SHARDED)

    def fail(path):
        raise OSError("the disk is full\nin a long story")

    monkeypatch.setattr(orbax_arrays, "sha256_of_folder", fail)
    saver.save(None, 1)
    with pytest.raises(WorkError, match="cannot be written: the disk is full$"):
        saver.save(None, 2)
    saver.wait()


@pytest.mark.parametrize("devices", [SHARDED, Devices("1 CPU", "CPU", 1, True)])
def test_what_is_not_finite_is_not_saved(tmp_path, weight, devices, monkeypatch):
    weight.value = jnp.array([0.0, jnp.nan])
    monkeypatch.setattr(checkpoints, "capture", lambda model: {"model/w": np.array(weight.value)})
    saver = checkpoint_savers.build(tmp_path / "checkpoints", 2, devices)
    assert not saver.save(None, 1)
    saver.wait()
    assert checkpoints.newest(tmp_path / "checkpoints") is None


def test_other_file_systems_are_refused_where_all_hosts_write():
    checkpoint_savers.check("memory://runs/a", Devices("1 CPU", "CPU", 1, True))
    checkpoint_savers.check("", SHARDED)
    with pytest.raises(UserError, match=r"mounted file system.*memory://runs/a"):
        checkpoint_savers.check("memory://runs/a", SHARDED)
