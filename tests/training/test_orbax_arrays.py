"""Arrays that Orbax writes: read back bit by bit, in the meantime changed, damaged, not finite."""

import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from Utils.command.cli import UserError
from Utils.training import orbax_arrays


def arrays(value=1.0):
    """A weight, a counter and a seed, named as variables are."""
    weight = jnp.full((3, 4), value).at[0, 0].set(jnp.pi)
    return {
        "model/a/kernel": weight,
        "optimizer/step": jnp.int32(7),
        "model/seed": jnp.arange(2, dtype="uint32"),
    }


def test_arrays_come_back_as_they_were_when_the_writing_began(tmp_path):
    writer, written = orbax_arrays.AsyncWriter(), arrays()
    expected = {name: np.array(array) for name, array in written.items()}
    donate = jax.jit(lambda x: x + 1, donate_argnums=0)
    writer.write(tmp_path / "step", written)
    # As a step does with the state before it; a buffer that is just being read is copied instead.
    changed = {name: donate(array) for name, array in written.items()}
    writer.wait()
    assert float(changed["optimizer/step"]) == 8
    stored = orbax_arrays.StoredArrays(tmp_path / "step")
    assert set(stored) == set(expected)
    assert tuple(stored["model/a/kernel"].shape) == (3, 4)
    read = stored.read()
    assert all(read[name].tobytes() == array.tobytes() for name, array in expected.items())
    assert all(read[name].dtype == array.dtype for name, array in expected.items())

    before = orbax_arrays.sha256_of_folder(tmp_path / "step")
    assert before == orbax_arrays.sha256_of_folder(tmp_path / "step")
    writer.write(tmp_path / "step", arrays(2.0))  # in its place
    writer.wait()
    assert orbax_arrays.sha256_of_folder(tmp_path / "step") != before
    assert orbax_arrays.StoredArrays(tmp_path / "step").read()["model/a/kernel"][1, 1] == 2.0


def test_arrays_are_read_as_the_variables_are_spread(tmp_path):
    writer = orbax_arrays.AsyncWriter()
    writer.write(tmp_path / "step", arrays())
    writer.wait()
    mesh = jax.sharding.Mesh(np.array(jax.devices()[:1]), ("model",))
    spread = jax.device_put(jnp.zeros((3, 4)), jax.sharding.NamedSharding(mesh, jax.P("model")))
    variable = types.SimpleNamespace(value=spread, shape=spread.shape)
    read = orbax_arrays.StoredArrays(tmp_path / "step").read({"model/a/kernel": variable})
    assert read["model/a/kernel"].sharding == spread.sharding
    assert isinstance(read["model/seed"], np.ndarray)


def test_the_digest_of_a_folder_is_of_names_too(tmp_path):
    for folder, name in (("a", "x"), ("b", "y")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / name).write_text("1")
    one, other = (orbax_arrays.sha256_of_folder(tmp_path / folder) for folder in "ab")
    assert one != other
    (tmp_path / "b" / "y").rename(tmp_path / "b" / "x")
    assert one == orbax_arrays.sha256_of_folder(tmp_path / "b")


def test_what_is_no_checkpoint_is_an_error(tmp_path):
    (tmp_path / "step").mkdir()
    with pytest.raises(UserError, match="is no checkpoint"):
        orbax_arrays.StoredArrays(tmp_path / "step")


def test_numbers_that_are_not_finite_are_seen():
    assert orbax_arrays.is_finite(arrays().values())
    assert not orbax_arrays.is_finite([jnp.arange(3), jnp.array([0.0, jnp.inf])])


def test_without_orbax_the_error_names_the_package(monkeypatch):
    monkeypatch.setattr(orbax_arrays.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="orbax-checkpoint.*pip install -r requirements-sharded.txt"):
        orbax_arrays.require()
