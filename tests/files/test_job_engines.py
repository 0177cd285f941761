"""Engines for independent jobs: every job once, on demand, and errors that end the work."""

import itertools
import math
import os

import pytest
from helpers import only_lives_in

from Utils.command.cli import UserError, WorkError
from Utils.files import job_engines


@pytest.mark.parametrize("workers", [1, 2])
def test_an_engine_does_every_job_once(workers):
    results = list(job_engines.run(math.factorial, range(50), "local", workers))
    assert sorted(results) == [math.factorial(i) for i in range(50)]


def test_jobs_are_taken_when_they_can_begin():
    results = job_engines.run(math.factorial, itertools.count(1), "local", 2)
    assert len(set(itertools.islice(results, 5))) == 5
    results.close()


def test_a_worker_that_dies_ends_the_work():
    with pytest.raises(WorkError, match="enough memory"):
        list(job_engines.run(only_lives_in, itertools.repeat(os.getpid()), "local", 2))


def test_an_error_of_a_job_ends_the_work():
    with pytest.raises(ValueError, match="math domain error"):
        list(job_engines.run(math.sqrt, [3, 2, -1, 1], "local", 2))


def test_a_missing_engine_is_refused_with_its_installation(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    job_engines.require_engine("local")
    with pytest.raises(UserError, match="pip install .*ray"):
        job_engines.require_engine("ray")
