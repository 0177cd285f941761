"""The frame of every command: errors with exit codes, an argument parser, progress, JSON on stdout."""

import argparse
import ast
import collections.abc
import contextlib
import difflib
import errno
import functools
import itertools
import json
import math
import operator
import os
import pathlib
import re
import shlex
import sys
import time
import typing

from Utils.command import interrupt, programs, streams

# No command and no user can do anything about these with another command line: no room, no permission, a
# failing disk, a machine at its limits.
_ENVIRONMENT_ERRNOS = (
    errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.EMFILE,
    errno.ENFILE, errno.ENOMEM,
)  # fmt: skip

Item = typing.TypeVar("Item")
Number = typing.TypeVar("Number", int, float)


class UserError(Exception):
    """Wrong use of a command or function: the message says what was wrong, what is allowed and what came.

    `command` prints it as one ``error:`` paragraph and returns exit code 2.
    """


class WorkError(Exception):
    """Work that failed although the command was used correctly; `command` returns exit code 1."""


def command(main: collections.abc.Callable[..., int | None]) -> collections.abc.Callable[..., int]:
    """Decorate ``main(argv)``: an expected failure becomes one ``error:`` paragraph and an exit code.

    Exit codes: 0 done, 1 the work failed (`WorkError`, full disk, nothing can be printed), 2 wrong use
    (`UserError`, wrong flags, a place that the system refuses), 130 interrupted. A reader that closes the
    pipe early, as ``| head`` does, counts as done. All other exceptions pass through with their traceback.
    Messages that stderr cannot take end no work; they are exit code 1 at its end, if nothing else is.

    An error of wrong use ends with the page of the documentation that explains the command. What the
    terminal's encoding cannot show is printed as an escape: no name of a file or tag ends a command.
    """
    page = programs.page_of(pathlib.Path(main.__code__.co_filename).stem)

    @functools.wraps(main)
    def wrapped(argv: collections.abc.Sequence[str] | None = None) -> int:
        interrupt.take_over()
        with streams.messages() as messages:
            code = _exit_code_of(main, argv, page)
            if messages.lost and code == 0:
                reason = f"the work is done, but messages on stderr were lost: {messages.lost}"
                return _print_error(reason, 1)
            return code

    return wrapped


def _exit_code_of(
    main: collections.abc.Callable[..., int | None],
    argv: collections.abc.Sequence[str] | None,
    page: str | None,
) -> int:
    """Run a command; print its expected failure and return its exit code."""
    if sys.stdout is None:  # closed by the shell, ``>&-``; Python would drop all output without a word
        return _print_error("stdout is closed, so that nothing can be printed", 1)
    try:
        try:
            code = main(argv) or 0
        except SystemExit as stop:  # argparse's --help
            code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
        sys.stdout.flush()  # here, where an error can be told; at exit Python would only print its traceback
        return code
    except UserError as error:
        words = sys.argv[1:] if argv is None else argv
        return _print_error(_with_page(str(error), page) + _missing_quotes(words), 2)
    except WorkError as error:
        return _print_error(error, 1)
    except BrokenPipeError:
        return 0
    except OSError as error:
        if error.errno is None:  # a library's own error, in the clothes of the system's
            raise
        return _print_error(_system_reason(error), 1 if is_of_the_machine(error) else 2)
    except RuntimeError as error:
        # Of pathlib before Python 3.13, where it is an OSError.
        if not str(error).startswith("Symlink loop"):
            raise
        return _print_error(f"a link leads to itself: {str(error).partition(' from ')[2]}", 2)
    except KeyboardInterrupt as error:
        code = interrupt.exit_code_of(error)
        print(interrupt.WORDS[code], file=sys.stderr)
        return code


def is_of_the_machine(error: BaseException) -> bool:
    """Whether the system refused what no other command line could get, such as room on a full disk."""
    return isinstance(error, OSError) and error.errno in _ENVIRONMENT_ERRNOS


def _system_reason(error: OSError) -> str:
    if not error.filename:
        return str(error.strerror)
    # What a folder could not be made for, because a file has its name: "File exists" alone would puzzle.
    is_in_the_way = isinstance(error, FileExistsError) and not pathlib.Path(error.filename).is_dir()
    return f"{error.strerror}{', and is no folder' if is_in_the_way else ''}: {error.filename}"


def _with_page(message: str, page: str | None) -> str:
    """Return the message of an error with the page to read, beside the mention of --help where it ends so."""
    if page is None or page in message:
        return message
    return f"{message[:-1]}, {page})" if message.endswith("--help)") else f"{message} ({page})"


def _missing_quotes(words: collections.abc.Sequence[str]) -> str:
    """Return a sentence on a name with spaces that the shell split into words, or an empty string."""
    for start in range(len(words)):
        for end in range(start + 2, len(words) + 1):
            name = " ".join(words[start:end])
            if not os.path.exists(words[start]) and os.path.exists(name):  # noqa: PTH110  any text may come
                return f". Names with spaces need quotes: {shlex.quote(name)}"
    return ""


def _print_error(error: Exception | str, code: int) -> int:
    print(f"error: {error}", file=sys.stderr)
    return code


class Parser(argparse.ArgumentParser):
    """An argument parser without abbreviations; its errors are UserErrors that suggest similar flags.

    Abbreviations are off because a new flag would change what an old command line means.
    """

    def __init__(self, *args: typing.Any, **kwargs: typing.Any) -> None:
        kwargs.setdefault("allow_abbrev", False)
        kwargs["prog"] = programs.prog(kwargs["prog"]) if kwargs.get("prog") else None
        kwargs.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        super().__init__(*args, **kwargs)
        self.register("type", pathlib.Path, _local_path)

    def print_help(self, file: typing.Any = None) -> None:
        """Print the help; argparse would take no notice where nothing can be printed."""
        print(self.format_help(), end="", file=file or sys.stdout)

    def parse_known_args(self, args: typing.Any = None, namespace: typing.Any = None) -> typing.Any:
        """Parse as argparse does; the words are kept for `error`."""
        self._words = [*map(str, sys.argv[1:] if args is None else args)]
        parsed, others = super().parse_known_args(args, namespace)
        for action in self._actions:
            if action.type is pathlib.Path or action.dest == "output":
                name = "/".join(action.option_strings) or action.dest
                require_no_dash(name, getattr(parsed, action.dest, None))
        return parsed, others

    def error(self, message: str) -> typing.NoReturn:
        """Raise a UserError with argparse's message, similar flags, and how to get help."""
        raise UserError(f"{message}{self._similar_flags(message)} (see {self.prog} --help)")

    def _similar_flags(self, message: str) -> str:
        flags = [flag for action in self._actions for flag in action.option_strings]
        if "unrecognized" in message:
            unknown = [word.split("=")[0] for word in message.split() if word.startswith("--")]
            files = [word for word in message.split() if word[0] == "-" and os.path.exists(word)]  # noqa: PTH110
            there = "".join(f"; the file of that name is ./{word}" for word in files)
            return "".join(suggest(word, flags) for word in unknown) + there
        if "are required" in message:  # perhaps because its name was mistyped
            words = [word.split("=")[0] for word in self._words if word.startswith("--")]
            unknown = [word for word in words if word != "--" and word not in flags]
            mistyped = "".join(f"; no option is named {word}{suggest(word, flags)}" for word in unknown)
            return mistyped or self._meanings(message)
        return ""

    def _meanings(self, message: str) -> str:
        """Return what the missing arguments are, for somebody who has not read the help."""
        names = message.partition(": ")[2].split(", ")
        options = {"/".join(action.option_strings): action.help for action in self._actions}
        return "".join(f"; {name}: {options[name]}" for name in names if options.get(name))


def require_no_dash(option: str, path: object) -> None:
    """Raise UserError where the path of an option is ``-``: it would be a file or folder of that name."""
    if str(path) == "-":
        raise UserError(f"{option} is a file or a folder; stdin and stdout (-) cannot take its place")


def _local_path(text: str) -> pathlib.Path:
    """Return the path of an option; as a path ``gs://x`` would be a folder ``gs:`` on this machine."""
    if "://" in text:
        raise argparse.ArgumentTypeError(f"has to be on this machine; got {text!r}")
    return pathlib.Path(text)


def number(
    kind: type[Number] = int,
    *,
    least: Number | None = None,
    above: Number | None = None,
    most: Number | None = None,
    below: Number | None = None,
) -> collections.abc.Callable[[str], Number]:
    """Return a ``type=`` for argparse: an int or float between bounds, the default an int.

    Args:
        kind: int or float.
        least, most: bounds that are allowed themselves.
        above, below: bounds that are not.
    """
    bounds = (
        (least, operator.ge, "of at least {}"),
        (above, operator.gt, "above {}"),
        (most, operator.le, "of at most {}"),
        (below, operator.lt, "below {}"),
    )
    rules = [(is_met, bound, words.format(bound)) for bound, is_met, words in bounds if bound is not None]
    noun = "a whole number" if kind is int else "a number"
    allowed = " ".join([noun, " and ".join(words for *_, words in rules)]).strip()

    def parse(text: str) -> Number:
        try:
            value = kind(text)
        except ValueError:
            value = None
        if value is None or math.isnan(value) or not all(is_met(value, bound) for is_met, bound, _ in rules):
            raise argparse.ArgumentTypeError(f"must be {allowed}; got {text!r}")
        return value

    return parse


def pattern(text: str) -> re.Pattern[str]:
    """Return a regular expression: the ``type=`` of options that choose by name."""
    try:
        return re.compile(text)
    except re.error as error:
        raise argparse.ArgumentTypeError(f"must be a regular expression; got {text!r}: {error}") from error


def suggest(name: object, allowed: collections.abc.Iterable[object]) -> str:
    """Return ``"; did you mean a or b?"`` with the most similar allowed names, or an empty string."""
    others = [text for item in allowed if (text := str(item)) != str(name)]
    similar = difflib.get_close_matches(str(name), others, n=3, cutoff=0.5)
    return f"; did you mean {' or '.join(similar)}?" if similar else ""


def suggest_beside(path: pathlib.Path) -> str:
    """Return what `suggest` says of a path that is not there, by the names beside its first missing part.

    Of a link to nothing, or to itself, that is said instead.
    """
    if "://" in str(path):
        return ""
    while path != path.parent and not path.parent.exists():
        path = path.parent
    if path.is_symlink():
        return f"; {path} is a link that leads nowhere"
    with contextlib.suppress(OSError), os.scandir(path.parent) as entries:
        names = [entry.name for entry in itertools.islice(entries, 10_000)]
        return suggest(path.name, names)
    return ""


def found(path: pathlib.Path) -> str:
    """Return what is at a path where something else was expected, and the names like it where nothing is."""
    if path.is_dir():
        return "a folder"
    if path.exists():
        return "a file" if path.is_file() else "a pipe or a device"
    return f"nothing{suggest_beside(path)}"


def assignment(flag: str, text: str) -> tuple[str, typing.Any]:
    """Split ``name=value``, the text that ``flag`` got, into name and Python value (`value_of`).

    Raises UserError where the text has another form.
    """
    name, equals, value = text.partition("=")
    if not equals or not name.isidentifier():
        raise UserError(f"{flag} takes NAME=VALUE, for example depths=2,2,4,2 or attention=eca; got {text!r}")
    return name, value_of(value)


def value_of(text: str) -> typing.Any:
    """Return the value that a word means: a Python literal, none, true, false, else the text itself."""
    words = {"none": None, "true": True, "false": False}
    if text.lower() in words:
        return words[text.lower()]
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):  # the last two are nested too deep
        return text


def progress(
    iterable: collections.abc.Iterable[Item],
    *,
    total: int | None = None,
    label: str = "",
    unit: str = "it",
    every: float = 10.0,
) -> collections.abc.Iterator[Item]:
    """Yield the items and show the progress on stderr: a bar on a terminal, elsewhere a line now and then.

    Args:
        iterable: what to go through.
        total: number of items, where ``len(iterable)`` does not tell.
        label: name of the work, in front.
        unit: what an item is, in the plural.
        every: seconds between two lines.
    """
    if total is None and isinstance(iterable, collections.abc.Sized):
        total = len(iterable)
    if sys.stderr.isatty():
        from tqdm import tqdm  # importing it takes 0.07 s, which no command that shows no bar should pay

        yield from tqdm(iterable, total=total, desc=label, unit=unit, smoothing=0.05, leave=True)
        return
    started = last_line = time.monotonic()
    for count, item in enumerate(iterable, 1):
        yield item
        now = time.monotonic()
        if now - last_line >= every:
            last_line = now
            of_total = f"/{total}" if total else ""
            rate = _readable_rate(count / (now - started))
            print(f"{label}: {count}{of_total} {unit}, {rate}", file=sys.stderr, flush=True)


def _readable_rate(per_second: float) -> str:
    """Return "120/s", "2.5/s", "0.2/s" or, of what takes longer than 10 s each, "3.0/min" or "1.5/h"."""
    for unit, seconds in (("s", 1), ("min", 60), ("h", 3600)):
        rate = per_second * seconds
        if rate >= 0.095 or unit == "h":  # what is less than that has no digit of one decimal
            break
    return f"{rate:.0f}/{unit}" if rate >= 9.95 else f"{rate:.1f}/{unit}"


def print_json(value: typing.Any) -> None:
    """Print a value as one JSON object on stdout; NaN and infinities, which JSON lacks, become null."""
    print(json.dumps(_strict_json(value), indent=1, ensure_ascii=False))


def _strict_json(value: typing.Any) -> typing.Any:
    if isinstance(value, dict):
        return {str(key): _strict_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_strict_json(item) for item in value]
    if hasattr(value, "tolist"):  # numpy scalars and arrays
        return _strict_json(value.tolist())
    return None if isinstance(value, float) and not math.isfinite(value) else value
