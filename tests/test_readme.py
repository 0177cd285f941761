"""The front door is true: every command exists, every flag is known, every file it names is there."""

import importlib
import io
import pathlib
import re
import shlex
from contextlib import redirect_stdout

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def commands():
    """The lines of the README's bash blocks, continuations joined, comments dropped."""
    for block in re.findall(r"```bash\n(.*?)```", README, flags=re.S):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            if words:
                yield words


def python_commands():
    return [words for words in commands() if words[0] == "python" and words[1].endswith(".py")]


def help_of(script, first):
    """The help of a command, and of the part that its first word names."""
    text = io.StringIO()
    module = importlib.import_module(script.removesuffix(".py").replace("/", "."))
    with redirect_stdout(text):
        for words in (["--help"], [first, "--help"]):
            module.main(words)
    return text.getvalue()


def test_there_is_something_to_check():
    assert len(python_commands()) >= 6


@pytest.mark.parametrize("words", python_commands(), ids=" ".join)
def test_every_flag_of_every_command_is_known(words):
    text = help_of(*words[1:3])
    for word in words[2:]:
        if word.startswith("-"):
            flag = word.split("=")[0]
            assert re.search(rf"(?<![\w-]){re.escape(flag)}(?![\w-])", text), f"{words[1]} knows no {flag}"


def test_every_make_target_exists():
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), flags=re.M))
    named = {words[1] for words in commands() if words[0] == "make"}
    assert {"demo", "test"} <= named <= targets


def test_every_linked_file_exists():
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)\)", README)
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []
