"""Run by test_resume.py and test_sharded_runs.py: a run killed again and again, and an uninterrupted one.

``killed_runs.py DATASET FOLDER KILLS SEED FLAG...`` leaves FOLDER/whole and FOLDER/killed and prints what
happened as a JSON list. Every attempt is a process, forked after the imports, that ends by SIGKILL at a
moment drawn from SEED: somewhere in a step, or with a file half written.
"""

import json
import os
import pathlib
import random
import signal
import sys
import threading

import Models  # noqa: F401  first: it starts Keras; imported once, used by every attempt

# isort: split
import Generators  # noqa: F401
import train
from Utils.files import atomic
from Utils.report import run_plots
from Utils.training import checkpoints, loop, orbax_arrays, trackers  # noqa: F401


def attempt(words, arrange=lambda: None):
    """Train in a process of its own; return 0 where it ended by itself, -9 where SIGKILL ended it."""
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        arrange()
        os._exit(train.main(words))
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def die():
    """End this process at once."""
    os.kill(os.getpid(), signal.SIGKILL)


def in_a_step(steps, seconds):
    """Die some seconds after the beginning of a step."""
    begin = loop.TrainingLoop.on_train_batch_begin
    started = []

    def counted(training, batch, logs=None):
        started.append(batch)
        if len(started) == steps:
            threading.Timer(seconds, die).start()
        return begin(training, batch, logs)

    loop.TrainingLoop.on_train_batch_begin = counted


def in_a_file(number, share):
    """Die when a share of the number-th file is on the disk, before it takes its name."""
    flush, written = atomic.flush_file, []

    def cut(path):
        written.append(path)
        if len(written) == number:
            os.truncate(path, int(share * path.stat().st_size))
            print(f"half written: {path}", file=sys.stderr)
            die()
        flush(path)

    atomic.flush_file = cut


def in_a_checkpoint(number, share):
    """Die in the number-th checkpoint: a part of it written, or (share >= 1) a part of the new pointer."""
    save, saved = checkpoints.save, []

    def cut(*arguments):
        saved.append(arguments)
        if len(saved) == number:
            in_a_file(1 if share < 1 else 2, share % 1)
        return save(*arguments)

    checkpoints.save = cut


def in_a_folder(number, seconds):
    """Die while the number-th folder is written, some seconds after it was begun."""
    write, begun = orbax_arrays.AsyncWriter.write, []

    def tell_and_die():
        print(f"half written: {begun[-1]}", file=sys.stderr)
        die()

    def cut(writer, folder, arrays):
        write(writer, folder, arrays)
        begun.append(folder)
        if len(begun) == number:
            threading.Timer(seconds, tell_and_die).start()

    orbax_arrays.AsyncWriter.write = cut


def before_the_pointer(number):
    """Die when the number-th checkpoint is complete, and not current yet."""
    published = []

    def cut(*arguments, publish=checkpoints.publish):
        published.append(arguments)
        if len(published) == number:
            die()
        publish(*arguments)

    checkpoints.publish = cut


def moments(draw, kills, is_sharded):
    """Yield up to five moments, as (function, arguments)."""
    kinds = [in_a_checkpoint, in_a_step, in_a_file, in_a_checkpoint, in_a_step][:kills]
    if is_sharded:
        kinds = [in_a_folder, in_a_step, in_a_folder, before_the_pointer, in_a_folder][:kills]
    draw.shuffle(kinds)
    for kind in kinds:
        if kind is in_a_step:
            yield kind, (draw.randint(4, 9), draw.uniform(0, 0.05))
        elif kind is in_a_folder:
            yield kind, (draw.randint(1, 3), draw.uniform(0, 0.03))
        elif kind is before_the_pointer:
            yield kind, (draw.randint(1, 3),)
        else:
            yield kind, (draw.randint(1, 4), draw.uniform(0, 2 if kind is in_a_checkpoint else 1))


def main(dataset, folder, kills, seed, *flags):
    """Run, kill, continue, and print how."""
    folder = pathlib.Path(folder)
    run_plots._write = lambda figure, path: pathlib.Path(path).touch()  # every attempt would draw
    words = [*flags, "--dataset", dataset, "--run-dir"]
    done = [["whole", 0, attempt([*words, str(folder / "whole")])]]
    for kind, arguments in moments(random.Random(int(seed)), int(kills), "--shard-model" in flags):
        ended = attempt([*words, str(folder / "killed")], lambda: kind(*arguments))  # noqa: B023  called here
        pointer = folder / "killed" / "checkpoints" / "newest.json"
        step = json.loads(pointer.read_text())[0]["step"] if pointer.exists() else 0
        done.append([kind.__name__, step, ended])
    done.append(["rest", None, attempt([*words, str(folder / "killed")])])
    print(json.dumps(done))


if __name__ == "__main__":
    main(*sys.argv[1:])
