"""Run a W&B sweep file here, without an account: a grid or random search over the fields of train.py.

    python tools/sweep.py tools/sweeps/mixup_alpha.yaml --dataset DATASET -o sweeps/mixup_alpha
    python tools/sweep.py tools/sweeps/asl.yaml --dataset DATASET -o sweeps/asl -- --epochs 10

Each run has a folder of its own under OUT, named after what it sets; OUT/results.csv has a row for each, with
its best epoch. The same command continues: finished runs are kept, a stopped one goes on where it was.
"""

import csv
import dataclasses
import math
import pathlib
import signal
import subprocess
import sys

from Utils.command.cli import Parser, UserError, command
from Utils.files import atomic, csv_tables
from Utils.files.model_files import RUN_MODELS
from Utils.recipe import command_line, sweeps
from Utils.recipe.recipe import RECIPE_FILE, recipe_names

TRAIN = atomic.ROOT / "train.py"
STATES = ("done", "failed", "stopped", "waiting")
# Columns of the results that are a run's own: the history's "loss" is a number, the recipe's a name.
SCORES = {
    **{name: name for name in ("val_f1", "val_macro_f1", "val_loss", "val_threshold", "images_per_second")},
    "train_loss": "loss",
}


def parser():
    """Return the argument parser."""
    made = Parser(prog="sweep.py", description=__doc__)
    made.add_argument("sweep", metavar="SWEEP.yaml", type=pathlib.Path)
    made.add_argument("--dataset", required=True, help="dataset folder of every run")
    made.add_argument(
        "-o", "--output", required=True, type=atomic.to_path, metavar="OUT", help="folder of the runs"
    )
    made.add_argument("--recipe", help="recipe of every run (the one that the file's command names)")
    made.add_argument("--runs", type=int, metavar="N", help="only the first N runs; a random search needs it")
    made.add_argument("--seed", type=int, default=0, help="of a random search (0)")
    made.add_argument("--retry", action="store_true", help="train again what failed before")
    made.add_argument("--list", action="store_true", help="print what the runs set, and train nothing")
    return made


@command
def main(argv=None):
    """Run the command."""
    words = list(sys.argv[1:] if argv is None else argv)
    at = words.index("--") if "--" in words else len(words)
    options, extra = parser().parse_args(words[:at]), words[at + 1 :]
    if options.runs is not None and options.runs < 1:
        raise UserError(f"--runs must be 1 or more; got {options.runs}")
    if atomic.is_remote(options.output):
        raise UserError(f"-o is a folder of this machine, where all runs are trained; got {options.output}")
    sweep = sweeps.read(options.sweep)
    chosen = sweeps.runs(sweep, options.runs, options.seed)
    trials = [Trial(sweep, one, options, extra) for one in chosen]
    if options.list:
        print("\n".join(trial.name for trial in trials))
        return 0
    return _run(trials, sweep, options)


class Trial:
    """One run of a sweep: its settings, its folder, how far it is.

    Raises UserError where train.py would refuse the settings.
    """

    def __init__(self, sweep, chosen, options, extra):
        self.chosen, self.name = chosen, sweeps.name_of(chosen)
        self.folder = options.output / self.name
        words = sweeps.words_of(_recipe(sweep, options.recipe), chosen)
        given = {word.split("=")[0].replace("_", "-") for word in [*words, *extra]}
        words += [] if "--tracker" in given else ["--tracker=none"]
        self.words = [*words, *extra, f"--dataset={options.dataset}", f"--run-dir={self.folder}"]
        self.epochs = command_line.parse(self.words)[1].recipe.epochs
        self.error = None

    @property
    def rows(self):
        """The rows of the run's history so far, numbers where they are some."""
        path = self.folder / "history.csv"
        if not path.is_file():
            return []
        with path.open(newline="", encoding="utf-8") as file:
            return [{key: _number(text) for key, text in row.items()} for row in csv.DictReader(file)]

    @property
    def state(self):
        """One of STATES."""
        if self.error:
            return "failed"
        if (self.folder / RUN_MODELS["last"]).is_file() and len(self.rows) >= self.epochs:
            return "done"
        return "stopped" if (self.folder / RECIPE_FILE).is_file() else "waiting"

    def best(self, metric, maximize):
        """Return the row with the best value of a metric, an empty one where there is none."""
        rows = [row for row in self.rows if isinstance(row.get(metric), float) and math.isfinite(row[metric])]
        return max(rows, key=lambda row: row[metric] * (1 if maximize else -1), default={})


def _recipe(sweep, recipe):
    """Return the sweep with a recipe of its own choice in the place of the command's."""
    words = [word for word in sweep.words if not word.startswith("--dataset")]
    named = bool(words) and not words[0].startswith("-")
    if not (recipe or named):
        raise UserError(f"the sweep's command names no recipe; give --recipe {' | '.join(recipe_names())}")
    return dataclasses.replace(sweep, words=(recipe or words[0], *words[named:]))


def _number(text):
    try:
        return float(text)
    except (TypeError, ValueError):
        return text


def _run(trials, sweep, options):
    """Train what is left, writing the results after each; return the exit code."""
    results, child = options.output / "results.csv", Child()
    for trial in trials:
        trial.error = None if options.retry else _failures(results).get(trial.name)
    with child.forwarding():
        for number, trial in enumerate(trials, 1):
            if trial.state in ("done", "failed"):
                continue
            print(f"{number} of {len(trials)}: {trial.name}", file=sys.stderr, flush=True)
            code, trial.error = child.train(trial.words, options.output / "logs" / f"{trial.name}.txt")
            if code == 2:  # a mistake, or a folder in which an orphan of this sweep still trains
                raise UserError(f"train.py refused {trial.name}: {trial.error}")
            _write(results, trials, sweep)
            if child.asked:
                print("stopped; the same command continues", file=sys.stderr)
                return 0 if child.asked == signal.SIGTERM else 128 + child.asked
    _write(results, trials, sweep)
    failed = [trial for trial in trials if trial.error]
    print(_summary(trials, sweep, results))
    if failed:
        first = f"{failed[0].name}: {failed[0].error}"
        print(f"{len(failed)} failed, the first: {first}; --retry trains them again", file=sys.stderr)
    return int(bool(failed))


class Child:
    """The training that runs, one at a time; signals that stop this process reach it."""

    def __init__(self):
        self.process, self.asked = None, None

    def forwarding(self):
        """Return a context in which SIGTERM and SIGINT stop the training, which saves, and then the sweep."""
        return _Handlers(self._ask)

    def _ask(self, number, frame):
        self.asked = number
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(number)

    def train(self, words, log):
        """Run train.py with its output in ``log``; return its exit code and its error, if it failed."""
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("a", encoding="utf-8") as file:
            before = file.tell()
            self.process = subprocess.Popen(
                [sys.executable, str(TRAIN), *words],
                stdout=file, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
            code = self.process.wait()
        if code == 0 or self.asked:
            return 0, None
        lines = log.read_bytes()[before:].decode("utf-8", "replace").splitlines()
        said = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
        killed = [f"killed by {signal.Signals(-code).name}"] if code < 0 else []
        return code, (said or killed or lines or ["no output"])[-1]


class _Handlers:
    """Signal handlers for a while."""

    def __init__(self, handler):
        self.handler = handler

    def __enter__(self):
        self.before = {
            number: signal.signal(number, self.handler) for number in (signal.SIGTERM, signal.SIGINT)
        }

    def __exit__(self, *error):
        for number, handler in self.before.items():
            signal.signal(number, handler)


def _failures(results):
    """Return ``{run: error}`` of the runs that failed before."""
    if not results.is_file():
        return {}
    with results.open(newline="", encoding="utf-8") as file:
        return {row["run"]: row["error"] for row in csv.DictReader(file) if row["state"] == "failed"}


def _write(path, trials, sweep):
    """Write a row for each run: what it sets, how far it is, the scores of its best epoch."""
    fields = list(sweep.parameters)
    names = ["run", *fields, "state", "epochs", "best_epoch", *SCORES, "error"]
    rows = []
    for trial in trials:
        best = trial.best(sweep.metric, sweep.maximize)
        about = {"run": trial.name, "state": trial.state, "epochs": len(trial.rows), "error": trial.error}
        epoch = {"best_epoch": int(best["epoch"])} if best else {}
        scores = {column: best[key] for column, key in SCORES.items() if key in best}
        values = {**scores, **trial.chosen, **about, **epoch}
        rows.append([values.get(name, "") for name in names])
    csv_tables.write_rows(path, names, rows)


def _summary(trials, sweep, results):
    """Return the runs, the best one first, and where the rest is."""
    found = [(trial.best(sweep.metric, sweep.maximize).get(sweep.metric), trial) for trial in trials]
    ranked = [pair for pair in found if pair[0] is not None]
    ranked.sort(key=lambda pair: pair[0], reverse=sweep.maximize)
    lines = [f"{value:.4f}  {trial.name}" for value, trial in ranked]
    return "\n".join([f"{sweep.metric}", *lines, f"all figures: {results}"])


if __name__ == "__main__":
    sys.exit(main())
