"""Signals end a run in order, and have their old handlers back afterwards."""

import signal

import pytest

from Utils.training import stopping


@pytest.fixture(autouse=True)
def python_handlers():
    """Ctrl-C raises KeyboardInterrupt: in a process that a shell starts in the background it is ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def handlers():
    return signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)


def test_sigterm_ends_a_command_without_an_error(capsys):
    before = handlers()
    with pytest.raises(SystemExit) as ended, stopping.exit_on_sigterm():
        signal.raise_signal(signal.SIGTERM)
    assert ended.value.code == 0
    assert "the same command continues" in capsys.readouterr().err
    assert handlers() == before


def test_the_first_ctrl_c_asks_and_the_second_ends_at_once(capsys):
    before, numbers = handlers(), []
    with pytest.raises(KeyboardInterrupt), stopping.signals_as_requests(numbers.append):
        signal.raise_signal(signal.SIGTERM)
        assert numbers == [signal.SIGTERM]
        signal.raise_signal(signal.SIGINT)
    assert handlers() == before
    with pytest.raises(KeyboardInterrupt), stopping.signals_as_requests(numbers.append):
        signal.raise_signal(signal.SIGINT)
        assert numbers == [signal.SIGTERM, signal.SIGINT]
        signal.raise_signal(signal.SIGINT)
    assert "SIGINT: stopping after this step" in capsys.readouterr().err
    assert handlers() == before


def test_stopped_names_its_signal():
    stopped = stopping.Stopped(signal.SIGTERM, 7)
    assert (str(stopped), stopped.signal) == ("stopped by SIGTERM after step 7", signal.SIGTERM)
