"""``--profile STEP``: three steps are recorded once, whatever cuts them short."""

import types

import pytest

from Utils.command.cli import UserError
from Utils.training import profiling
from Utils.training.profiling import Profile


@pytest.fixture
def events(monkeypatch):
    events, clock = [], iter(range(99))  # every look at the clock takes a second
    monkeypatch.setattr(profiling, "time", types.SimpleNamespace(monotonic=clock.__next__))
    monkeypatch.setattr(profiling, "_start", lambda folder: events.append(f"start {folder.name}"))
    monkeypatch.setattr(profiling, "_stop", lambda: events.append("stop"))
    return events


def steps(profile, numbers, events):
    for step in numbers:
        profile.step_begins(step)
        events.append(step)


def test_three_steps_are_recorded_once(events, tmp_path, capsys):
    profile = Profile(tmp_path, 2, lambda: events.append("wait"))
    steps(profile, range(8), events)
    assert events == [0, 1, "wait", "start profile", 2, 3, 4, "wait", "stop", 5, 6, 7]
    assert f"profile of steps 2 to 4 (1.00 s) in {tmp_path / 'profile'}" in capsys.readouterr().err


def test_the_end_of_an_epoch_ends_a_profile(events, tmp_path):
    profile = Profile(tmp_path, 1, lambda: None)
    steps(profile, range(2), events)
    profile.end(2)
    steps(profile, range(2, 5), events)
    profile.end(5)
    assert events == [0, "start profile", 1, "stop", 2, 3, 4]


def test_executions_of_several_steps_are_recorded_whole(events, tmp_path):
    for first in (4, 1):
        steps(Profile(tmp_path, first, lambda: None), range(0, 20, 5), events)
    assert events == 2 * [0, "start profile", 5, "stop", 10, 15], "the first that begins at the step or after"


def test_a_run_that_continues_after_the_step_records_nothing(events, tmp_path):
    steps(Profile(tmp_path, 2, lambda: None), range(5, 8), events)
    steps(Profile(tmp_path, None, lambda: None), range(2), events)
    assert events == [5, 6, 7, 0, 1]


def test_a_step_that_does_not_come_is_said(events, tmp_path, capsys):
    profile = Profile(tmp_path, 2, lambda: None)
    steps(profile, range(5, 8), events)
    profile.close(5, 8)
    assert "no profile: steps 5 to 7 were done, and --profile 2 was not among" in capsys.readouterr().err
    profile.close(8, 8)
    assert "no profile: no step was done" in capsys.readouterr().err
    profile = Profile(tmp_path, 8, lambda: None)
    steps(profile, range(8, 9), events)
    profile.close(8, 9)
    Profile(tmp_path, None, lambda: None).close(0, 5)
    assert "no profile" not in capsys.readouterr().err


def test_a_remote_run_is_refused():
    with pytest.raises(UserError, match="local folders only"):
        Profile("memory://runs/one", 2, lambda: None)
    Profile("memory://runs/one", None, lambda: None)


def test_the_profiler_leaves_a_file(tmp_path):
    profile = Profile(tmp_path, 0, lambda: None)
    steps(profile, range(1), [])
    profile.end(1)
    assert list(tmp_path.rglob("*.xplane.pb"))
