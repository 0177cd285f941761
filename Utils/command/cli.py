"""What every command shares: errors with an exit code, an argument parser, progress, JSON on stdout."""

import argparse
import ast
import difflib
import errno
import functools
import json
import math
import sys
import time

# What no command can help: no room, no permission, a disk that fails. Other errors are told with their place.
OF_THE_MACHINE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO)


class UserError(Exception):
    """A wrong use of a command or function; the message says what was wrong, what is allowed, what came.

    Commands turn it into one ``error:`` paragraph and exit code 2.
    """


class WorkError(Exception):
    """Work that could not be done although the command was used rightly; exit code 1."""


def command(main):
    """Wrap ``main(argv) -> int | None`` so that expected failures become one paragraph and an exit code.

    Returns 0 done, 1 the work failed, 2 wrong use, 130 interrupted, 0 where the reader of a pipe left.
    """

    @functools.wraps(main)
    def wrapped(argv=None):
        try:
            return main(argv) or 0
        except SystemExit as stop:  # argparse: --help (0) and wrong flags (2)
            return _exit_code(stop)
        except UserError as error:
            return _say(error, 2)
        except WorkError as error:
            return _say(error, 1)
        except BrokenPipeError:
            sys.stdout = None  # nothing is left to flush to
            return 0
        except OSError as error:
            if error.errno not in OF_THE_MACHINE:
                raise
            return _say(f"{error.strerror}{f': {error.filename}' if error.filename else ''}", 1)
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
            return 130

    return wrapped


def _exit_code(stop):
    return stop.code if isinstance(stop.code, int) else int(stop.code is not None)


def _say(error, code):
    print(f"error: {error}", file=sys.stderr)
    return code


class Parser(argparse.ArgumentParser):
    """An argument parser without abbreviations, whose errors are one ``error:`` paragraph with near names."""

    def __init__(self, *args, **kwargs):
        kwargs.setdefault("allow_abbrev", False)
        kwargs.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        super().__init__(*args, **kwargs)

    def error(self, message):
        """Raise a UserError that carries argparse's message, a hint and where help is."""
        raise UserError(f"{message}{self._hint(message)} (see {self.prog} --help)")

    def _hint(self, message):
        known = [flag for action in self._actions for flag in action.option_strings]
        unknown = [word.split("=")[0] for word in message.split() if word.startswith("--")]
        if "unrecognized" not in message:
            return ""
        return "".join(suggest(word, known) for word in unknown)


def suggest(name, allowed):
    """Return ``"; did you mean ...?"`` for the nearest allowed names, or an empty string."""
    near = difflib.get_close_matches(str(name), [str(item) for item in allowed], n=3, cutoff=0.5)
    return f"; did you mean {' or '.join(near)}?" if near else ""


def assignment(flag, text):
    """Return ``(name, value)`` of the ``name=value`` given to ``flag``; UserError where it is none."""
    name, equals, value = text.partition("=")
    if not equals or not name.isidentifier():
        raise UserError(f"{flag} takes NAME=VALUE, such as depths=2,2,4,2 or attention=eca; got {text!r}")
    return name, value_of(value)


def value_of(text):
    """Return what a word means: a number or tuple as Python writes it, none, true, false, else the text."""
    words = {"none": None, "true": True, "false": False}
    if text.lower() in words:
        return words[text.lower()]
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def progress(iterable, *, total=None, label="", unit="it", every=10.0):
    """Iterate with a progress bar on a terminal, elsewhere with a line every ``every`` seconds, on stderr."""
    if total is None and hasattr(iterable, "__len__"):
        total = len(iterable)
    if sys.stderr.isatty():
        from tqdm import tqdm  # 0.07 s that every command and worker would begin with

        yield from tqdm(iterable, total=total, desc=label, unit=unit, smoothing=0.05, leave=True)
        return
    started = said = time.monotonic()
    for done, item in enumerate(iterable, 1):
        yield item
        now = time.monotonic()
        if now - said >= every:
            said = now
            of = f"/{total}" if total else ""
            print(f"{label}: {done}{of} {unit}, {done / (now - started):.0f}/s", file=sys.stderr, flush=True)


def print_json(value):
    """Print one JSON object on stdout; numbers that JSON lacks (NaN, infinities) become null."""
    print(json.dumps(_strict(value), indent=1, ensure_ascii=False))


def _strict(value):
    if isinstance(value, dict):
        return {str(key): _strict(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_strict(item) for item in value]
    if hasattr(value, "tolist"):  # numpy scalars and arrays
        return _strict(value.tolist())
    return None if isinstance(value, float) and not math.isfinite(value) else value
