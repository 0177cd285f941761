"""A review that is served, and what tests of its page do there in a browser."""

import contextlib
import json
import pathlib
import socket
import subprocess
import sys

from helpers.reviewed import make
from helpers.servers import answering
from tools import review_labels
from Utils.labels import decisions, review_service
from Utils.serving import http_server

ROOT = pathlib.Path(__file__).resolve().parents[2]


class Reviewed:
    """What a review decided."""

    folder: pathlib.Path

    def lines(self):
        path = self.folder / "decisions.jsonl"
        return [json.loads(line) for line in path.read_bytes().splitlines()]

    def standing(self):
        standing = decisions.DecisionLog(decisions.read(self.folder / "decisions.jsonl")).standing()
        return {pair: next(iter(by.values())).decision for pair, by in standing.items()}


class Process(Reviewed):
    """tools/review_labels.py as a process that can be killed and started again at the same address."""

    def __init__(self, folder):
        self.folder, self.words = folder, [*make(folder), "--reviewer", "ann"]
        # While the process is away nobody else gets its port: a second socket has it, which does not listen.
        self.reserved = socket.socket()
        self.reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.reserved.bind((http_server.LOOPBACK, 0))

    def start(self):
        port = str(self.reserved.getsockname()[1])
        command = [sys.executable, "tools/review_labels.py", *self.words, "--port", port]
        with (self.folder / "said.txt").open("a") as said:
            self.process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=said, text=True)
        line = self.process.stdout.readline()
        assert line.startswith("http"), (self.folder / "said.txt").read_text()
        self.address = line.split()[0]
        return self

    def kill(self):
        self.process.kill()
        self.process.communicate()

    def end(self):
        self.kill()
        self.reserved.close()


@contextlib.contextmanager
def serving(folder, words):
    reviewed = Reviewed()
    reviewed.folder = folder
    options = review_labels.parser().parse_args(words)
    with (
        review_labels.prepared(options) as app,
        answering(app, review_service.LIMITS) as reviewed.address,
    ):
        yield reviewed


QUESTION = """beside => {
  const at = document.querySelector(".large")?.dataset.question;
  return at && at !== beside;
}"""


def shown(page, beside=None):
    """Wait for a question other than ``beside`` and return it: (post id, tag id)."""
    page.wait_for_function(QUESTION, arg=beside and "{} {}".format(*beside))
    return tuple(map(int, page.get_attribute(".large", "data-question").split()))


def press(page, key, question):
    """Press a key that decides the question shown, and return the next one."""
    page.keyboard.press(key)
    return shown(page, question)


def settled(page, decided):
    """Wait until the page says that so many questions are decided."""
    count = "said => document.getElementById('count').textContent.startsWith(said)"
    page.wait_for_function(count, arg=f"{decided} of ")
