"""Run a W&B sweep file locally, without an account: a grid or random search over the fields of train.py.

    python tools/sweep.py tools/sweeps/mixup_alpha.yaml --dataset DATASET -o sweeps/mixup_alpha
    python tools/sweep.py tools/sweeps/asl.yaml --dataset DATASET -o sweeps/asl -- --epochs 10

Each run has its own folder under OUT, named after its settings; OUT/results.csv has a row for each, with
its best epoch, and keeps those of other runs in OUT. The same command continues: finished runs are kept, a
stopped one continues.
"""

import Utils.command.interrupt  # noqa: F401  first: imports take long

import argparse
import contextlib
import math
import pathlib
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

from Utils.command import programs
from Utils.command.cli import Parser, UserError, WorkError, command, number, print_json, suggest
from Utils.command.text import counted, join_names
from Utils.data import dataset_folder
from Utils.files import atomic, csv_tables
from Utils.files.model_files import RUN_MODELS
from Utils.recipe import command_line, sweeps
from Utils.recipe.recipe import RECIPE_FILE, flag, read_recipe
from Utils.training.history import History
from Utils.training.run_folder import CHANGEABLE, COMPARED_AS_FACTS, data_differences

TRAIN = atomic.ROOT / "train.py"
MARKERS = RESULTS, LOGS = "results.csv", "logs"  # in the folder of a sweep, beside those of its runs
FILLED_IN = ("epr_expected_positives",)  # by a run, where it is None
# Columns of the results that the history has. "loss" is a number there and a field of the recipe here.
SCORES = {
    **{name: name for name in ("val_f1", "val_macro_f1", "val_loss", "val_threshold", "images_per_second")},
    "train_loss": "loss",
}


def parser() -> Parser:
    """Return the argument parser."""
    parser = Parser(prog="sweep.py", description=__doc__)
    parser.add_argument("sweep", metavar="SWEEP.yaml", type=pathlib.Path)
    parser.add_argument("--dataset", required=True, help="dataset folder of every run")
    parser.add_argument(
        "-o", "--output", required=True, type=atomic.to_path, metavar="OUT", help="folder of the runs"
    )
    parser.add_argument("--recipe", help="recipe of every run (the one that the file's command names)")
    parser.add_argument(
        "--runs", type=number(least=1), metavar="N", help="only the first N runs; a random search needs it"
    )
    parser.add_argument(
        "--seed", type=number(least=0, most=2**64 - 1), default=0, help="of a random search (0)"
    )
    parser.add_argument("--retry", action="store_true", help="train again what failed before")
    text = "print the settings of the runs without training"
    parser.add_argument("--list", "--dry-run", action="store_true", help=text)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser


@command
def main(argv: list[str] | None = None) -> int:
    """Run the command."""
    words = list(sys.argv[1:] if argv is None else argv)
    end = words.index("--") if "--" in words else len(words)
    options, train_flags = parser().parse_args(words[:end]), words[end + 1 :]
    if atomic.is_remote(options.output):
        raise UserError(f"-o is a folder of this machine, where all runs are trained; got {options.output}")
    sweep = sweeps.read(options.sweep)
    sweeps.require_apart(sweep, train_flags)
    settings = sweeps.runs(sweep, options.runs, options.seed)
    dataset = dataset_folder.load(options.dataset)
    dataset.require_shards("train")
    trials = [Trial(sweep, values, options, train_flags) for values in settings]
    others = _find_state(trials, sweep, options, dataset)
    if options.list:
        names = [trial.name for trial in trials]
        print_json({"runs": names}) if options.json else print("\n".join(names))
        return 0
    return _run(trials, sweep, options, others)


class Trial:
    """One run of a sweep: its settings, its folder, how far it is.

    Raises UserError for settings that train.py would refuse.
    """

    def __init__(
        self, sweep: sweeps.Sweep, values: sweeps.Run, options: argparse.Namespace, train_flags: list[str]
    ) -> None:
        self.values, self.name = values, sweeps.folder_name(values)
        self.folder, self.dataset = options.output / self.name, options.dataset
        words = sweeps.train_words(sweep, values, options.recipe)
        flags = {word.split("=")[0].replace("_", "-") for word in [*words, *train_flags]}
        words += [] if "--tracker" in flags else ["--tracker=none"]
        self.words = [*words, *train_flags, f"--dataset={options.dataset}", f"--run-dir={self.folder}"]
        try:
            self.recipe = command_line.parse(self.words)[1].recipe
        except UserError as error:
            raise UserError(f"run {self.name}: {error}") from error
        self.error: str | None = None

    @property
    def history(self) -> History:
        """The run's history so far."""
        return History(self.folder / "history.csv")

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The rows of the history."""
        return self.history.rows

    @property
    def has_ended(self) -> bool:
        """Whether the run has its last model, after all epochs or an early end."""
        history, recipe = self.history, self.recipe
        is_enough = len(history.rows) >= recipe.epochs
        is_enough = is_enough or history.has_ended_early(recipe.best_by, recipe.early_stopping)
        return is_enough and (self.folder / RUN_MODELS["last"]).is_file()

    def require_same(self, dataset: dataset_folder.Dataset) -> None:
        """Raise UserError where the run was trained with other settings (flags behind ``--``) or data."""
        file = self.folder / RECIPE_FILE
        if not file.is_file():
            return
        recorded = read_recipe(file)[1]
        # train.py compares these of a run that goes on, with the number of devices.
        free = CHANGEABLE if self.has_ended else (*CHANGEABLE, *COMPARED_AS_FACTS)
        differences = [
            f"{flag(name)} was {recorded[name]}, is {value}"
            for name, value in self.recipe.to_dict().items()
            if name not in free
            and recorded.get(name, value) != value
            and not (value == "auto" or (value is None and name in FILLED_IN))
        ]
        if (self.folder / dataset_folder.MANIFEST).is_file():
            differences += data_differences(self.folder, dataset)
        if differences:
            raise UserError(
                f"{self.folder} holds a run that differs: {'; '.join(differences)}. "
                "Give the flags and the dataset that the sweep was begun with, or another -o"
            )

    @property
    def state(self) -> str:
        """failed, done, stopped or waiting."""
        if self.error:
            return "failed"
        if self.has_ended:
            return "done"
        return "stopped" if (self.folder / RECIPE_FILE).is_file() else "waiting"

    def best_row(self, sweep: sweeps.Sweep) -> dict[str, Any]:
        """Return the row with the best value of the sweep's metric, an empty one if no row has it."""
        values = ((row.get(sweep.metric_name), row) for row in self.rows)
        scored = [(value, row) for value, row in values if isinstance(value, (int, float))]
        finite = [(value, row) for value, row in scored if math.isfinite(value)]
        sign = 1 if sweep.maximizes else -1
        return max(finite, key=lambda pair: sign * pair[0], default=(None, {}))[1]

    def result(self, sweep: sweeps.Sweep) -> dict[str, Any]:
        """Return the run's row of the results: what it sets, how far it is, the scores of its best epoch."""
        best = self.best_row(sweep)
        scores = {column: _as_float(best[name]) for column, name in SCORES.items() if name in best}
        progress = {
            "run": self.name, "state": self.state, "epochs_done": len(self.rows), "error": self.error
        }  # fmt: skip
        return {**scores, **self.values, **progress, "best_epoch": best.get("epoch")}


def _as_float(value: Any) -> Any:
    return float(value) if isinstance(value, int) else value


def _find_state(
    trials: list[Trial], sweep: sweeps.Sweep, options: argparse.Namespace, dataset: dataset_folder.Dataset
) -> list[dict[str, str]]:
    """Find which runs have failed before; return the earlier results of other runs. Nothing is written.

    Raises UserError where the folder holds something else, or a run with other settings or data.
    """
    _require_place(options.output)
    rows = _earlier_rows(options.output / RESULTS)  # refuses a file of the same name that is no sweep's
    errors = {row["run"]: row["error"] for row in rows if row["state"] == "failed"}
    for trial in trials:
        trial.error = None if options.retry else errors.get(trial.name)
        trial.require_same(dataset)
        _require_metric(trial, sweep)
    _tell_others(options.output, trials)
    names = {trial.name for trial in trials}
    is_there = {file.parent.name for file in options.output.glob(f"*/{RECIPE_FILE}")}
    return [
        row
        for row in rows
        if row["run"] not in names and (row["run"] in is_there or row["state"] == "failed")
    ]


def _run(
    trials: list[Trial], sweep: sweeps.Sweep, options: argparse.Namespace, others: list[dict[str, str]]
) -> int:
    """Train what is not finished and write the results after each run; return the exit code.

    Raises WorkError at the end where runs have failed.
    """
    results, training = options.output / RESULTS, Training()
    with training.receiving_signals():
        for number, trial in enumerate(trials, 1):
            if trial.state in ("done", "failed"):
                continue
            print(f"{number} of {len(trials)}: {trial.name}", file=sys.stderr, flush=True)
            code, trial.error = training.run(trial.words, options.output / LOGS / f"{trial.name}.txt")
            if code == 2:  # a mistake, or a folder in which an orphan of this sweep still trains
                raise UserError(f"train.py refused {trial.name}: {trial.error}")
            _write_results(results, trials, sweep, others)
            _require_metric(trial, sweep)
            if training.signal:
                print("stopped; the same command continues", file=sys.stderr)
                return 0 if training.signal == signal.SIGTERM else 128 + training.signal
    _write_results(results, trials, sweep, others)
    failed = [trial for trial in trials if trial.error]
    if options.json:
        print_json(_facts(trials, sweep, results))
    else:
        print(_summary(trials, sweep, results))
    if failed:
        first = f"{failed[0].name}: {failed[0].error}"
        raise WorkError(
            f"{len(failed)} of {len(trials)} runs failed, the first: {first}; --retry trains them again"
        )
    return 0


class Training:
    """Runs train.py, one process at a time; signals that stop this process reach it."""

    def __init__(self) -> None:
        self.process: subprocess.Popen | None = None
        self.signal: int | None = None  # that asked to stop
        self._is_forwarded = False

    @contextlib.contextmanager
    def receiving_signals(self) -> Iterator[None]:
        """Within, SIGTERM and SIGINT stop the training, which saves its state, and then the sweep."""
        before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            for number in before:
                signal.signal(number, self._stop)
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _stop(self, number: int, frame: Any) -> None:
        self.signal = number
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(number)
            self._is_forwarded = True

    def run(self, words: list[str], log: pathlib.Path) -> tuple[int, str | None]:
        """Run train.py with its output in ``log``; return its exit code and, if it failed, its error."""
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("a", encoding="utf-8") as file:
            begin = file.tell()
            self.process = subprocess.Popen(
                [sys.executable, str(TRAIN), *words],
                stdout=file, stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C reaches it through this process only, once
            )  # fmt: skip
            if self.signal and not self._is_forwarded:  # it came while the training was being started
                self._stop(self.signal, None)
            code = self.process.wait()
        if code == 0 or self.signal:
            return 0, None
        lines = log.read_bytes()[begin:].decode("utf-8", "replace").splitlines()
        errors = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
        killed = [f"killed by {signal.Signals(-code).name}"] if code < 0 else []
        return code, (errors or killed or lines or ["no output"])[-1]


def _require_place(folder: pathlib.Path) -> None:
    """Raise UserError for a folder that holds other things and no sweep, which would mix with them."""
    if files := [path for path in (folder, *folder.parents) if path.is_file()]:
        raise UserError(f"-o is a folder; {files[0]} is a file")
    if folder.is_dir() and any(folder.iterdir()) and not any((folder / name).exists() for name in MARKERS):
        raise UserError(
            f"{folder} holds other things and no sweep (it has neither {' nor '.join(MARKERS)}); give "
            "another place"
        )


def _tell_others(folder: pathlib.Path, trials: list[Trial]) -> None:
    """Say on stderr which runs in a folder are none of this sweep, as after a change of its file."""
    names = {trial.name for trial in trials}
    runs = (file.parent.name for file in sorted(folder.glob(f"*/{RECIPE_FILE}")))
    others = [name for name in runs if name not in names]
    if others:
        print(
            f"{counted(len(others), 'run')} in {folder} {'is' if len(others) == 1 else 'are'} none of these "
            f"{len(trials)} and will not be ranked; {RESULTS} keeps what it has of them: "
            f"{join_names(others, 3)}",
            file=sys.stderr,
        )


def _require_metric(trial: Trial, sweep: sweeps.Sweep) -> None:
    """Raise UserError where no epoch of a run has the number that the runs are to be ranked by."""
    columns = dict.fromkeys(name for row in trial.rows for name in row)
    if columns and sweep.metric_name not in columns:
        raise UserError(
            f"metric {sweep.metric_name!r} is no column of {trial.history.path}"
            f"{suggest(sweep.metric_name, columns)}; there are {', '.join(columns)}"
        )


def _earlier_rows(results: pathlib.Path) -> list[dict[str, str]]:
    """Return the rows of the results that are there."""
    if not results.is_file():
        return []
    return csv_tables.read_texts(results, "the results of a sweep", ("run", "state", "error"))


def _write_results(
    path: pathlib.Path, trials: list[Trial], sweep: sweeps.Sweep, others: list[dict[str, str]]
) -> None:
    """Write the results of the runs, and below them those of other runs as they stood."""
    names = ["run", *sweep.parameters, "state", "epochs_done", "best_epoch", *SCORES, "error"]
    names += dict.fromkeys(name for row in others for name in row if name not in names)
    results = [*(trial.result(sweep) for trial in trials), *others]
    csv_tables.write_rows(path, names, ([result.get(name) for name in names] for result in results))


def _ranked(trials: list[Trial], sweep: sweeps.Sweep) -> dict[str, float]:
    """Return ``{run: its best value of the metric}`` of the runs that have one, the best first."""
    scores = {trial.name: trial.best_row(sweep).get(sweep.metric_name) for trial in trials}
    scored = {name: score for name, score in scores.items() if score is not None}
    names = sorted(scored, key=scored.__getitem__, reverse=sweep.maximizes)
    return {name: scored[name] for name in names}


def _facts(trials: list[Trial], sweep: sweeps.Sweep, results: pathlib.Path) -> dict[str, Any]:
    """Return what --json prints."""
    ranked = _ranked(trials, sweep)
    return {
        "metric": sweep.metric_name,
        "best": next(iter(ranked), None),
        "scores": ranked,
        "runs": [trial.result(sweep) for trial in trials],
        "results": str(results),
    }


def _summary(trials: list[Trial], sweep: sweeps.Sweep, results: pathlib.Path) -> str:
    """Return the runs, the best one first, and where all figures are."""
    scored = _ranked(trials, sweep)
    ranked = list(scored)
    lines = [f"{scored[name]:.4f}  {name}" for name in ranked]
    shown = [sweep.metric_name, *lines, f"all figures: {results}"]
    if ranked:
        best = next(trial for trial in trials if trial.name == ranked[0])
        words = best.folder, "--dataset", best.dataset, "-o", f"{best.folder}_predictions"
        shown += [f"best: {ranked[0]}", programs.next_line("predict", *words)]
    return "\n".join(shown)


if __name__ == "__main__":
    sys.exit(main())
