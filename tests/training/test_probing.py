"""Utils/training/probing.py: where a probe is refused, the best head on disk; tests/train runs it all."""

import types

import keras
import numpy as np
import pytest

from Utils.command.cli import UserError
from Utils.training import probing


def experiment(source=object(), hosts=1, replicas=1, steps=0, given=1):  # noqa: B008  any object is a source
    return types.SimpleNamespace(
        source=source,
        devices=types.SimpleNamespace(host=(0, hosts), replicas=replicas),
        facts={"steps_per_epoch": steps},
        recipe=types.SimpleNamespace(steps_per_execution=given, probe=steps > 1),
    )


@pytest.mark.parametrize(
    ("arguments", "run_dir", "said"),
    [
        ({"source": None}, "runs/x", "name one with --init-from"),
        ({"hosts": 2}, "runs/x", "runs on one host"),
        ({}, "memory://x", "must be here; got memory://x"),
    ],
)
def test_where_no_probe_can_be_run(arguments, run_dir, said):
    with pytest.raises(UserError, match=said):
        probing.require_possible(experiment(**arguments), run_dir)


def test_elsewhere_it_can(tmp_path):
    probing.require_possible(experiment(), tmp_path)
    probing.require_possible(experiment(), "")


def test_as_many_steps_in_one_call_as_divide_an_epoch():
    numbers = [probing.steps_per_execution(experiment(steps=steps)) for steps in (2, 78, 100, 103, 1080)]
    assert numbers == [2, 78, 100, 1, 90]
    assert probing.steps_per_execution(experiment(steps=78, given=2)) == 2
    assert probing.steps_per_execution(experiment(steps=78, replicas=2)) == 1, "each device takes a part"


def test_the_best_head_comes_back(tmp_path):
    inputs = keras.Input((3,))
    head = keras.Model(inputs, keras.layers.Dense(2)(inputs))
    best = probing.BestHead(tmp_path, head)
    assert not best.put_back()
    kept = [weight.copy() for weight in head.get_weights()]
    best.keep()
    head.set_weights([weight + 1 for weight in kept])
    assert best.put_back()
    assert all(map(np.array_equal, kept, head.get_weights()))
    content = best.path.read_bytes()
    for damaged in (content[:-9], content.replace(kept[0].tobytes(), bytes(kept[0].nbytes))):
        best.path.write_bytes(damaged)
        with pytest.raises(UserError, match=r"best_head\.npz is no classifier that a probe has kept"):
            best.put_back()
