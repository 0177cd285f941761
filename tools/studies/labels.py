"""The study of incomplete labels: what helps a tagger where a share of the true tags was never typed?

    python tools/studies/labels.py runs/labels

Drawn boorus whose true tags are known lose a share of their training labels, at random or as people miss
them (Utils/demo_booru/missing_labels.py). Each method trains the recipe `demo` on what is left, one thread
each, on as many pictures, and is scored by the true tags of the test posts, at P = R. Parts, in this order:

losses    25% missing at random, seed 0: every loss; no label missing, for comparison
labels    the same: labels of the audit unknown, soft labels of a teacher, repeat factors
seeds     both with seeds 0 to 2
pairs     the best loss together with these; seeds 0 to 2
mixup     25% missing at random: every loss with MixUp 0.8; summed BCE, focal loss, ASL without the
          classifier's prior, too; seeds 0 to 2
people    25% missing as people miss them: every loss, and these; seeds 0 to 2
rates     the same, seed 0: how many labels LL-R rejects
shares    10% and 40% missing at random: every loss, and these; seeds 0 to 2
unseen    two drawn boorus that chose nothing, 25% missing as people miss them, and none missing
frequency 25% missing as people miss them, on all three boorus: thresholds that fall with a tag's frequency
audits    the two boorus of unseen: the audits of summed BCE and of the best LL-R, and both losses with the
          labels of a reviewer who answers an audit by the true tags

Each method is a sweep over seeds (tools/sweeps/seeds.yaml), so the command continues where it was stopped;
--report only writes the tables and the figure of what is there: results/labels/ with runs.csv,
differences.csv, audits.csv and differences.svg. Commands with parts of different noise may run side by side,
as those of `make study-labels` do.
"""

import Utils.command.interrupt  # noqa: F401  first: imports take long

import argparse
import dataclasses
import pathlib
import sys
import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from Utils.bench import audit_scores, label_study
from Utils.bench.label_study import Noise, Trial, World
from Utils.command.cli import Parser, UserError, command, number, pattern
from Utils.command.machine import require_linux
from Utils.data import dataset_folder
from Utils.files.atomic import read_json, replacing, write_json
from Utils.recipe.recipe import load_recipe

ROOT = pathlib.Path(__file__).resolve().parents[2]
RESULTS = ROOT / "results" / "labels"
BASE = "bce"  # that others are compared with
LOSSES = {
    "bce": "--loss bce",
    "focal": "--loss focal",
    "asl": "--loss asl --asl-gamma-neg 4 --asl-gamma-pos 0 --asl-clip 0.05 --asl-stop-focus-gradient",
    "hill": "--loss hill",
    "splc": "--loss splc",
    "ll_r": "--loss ll_r",
    "ral": "--loss ral",
    "two_way": "--loss two_way",
    "zlpr": "--loss zlpr",
    "ll_ct": "--loss ll_ct",
    "epr": "--loss epr",
    "epr-true": "--loss epr --epr-expected-positives {mean}",  # of the booru with all its labels
}
# For LL-R on the first booru the best macro F1 of all that cost no micro F1.
FREQUENCY, EXPONENT = "+frequency", 0.3
RATES = {f"ll_r-{rate}": f"--loss ll_r --ll-r-delta-rel {rate}" for rate in ("0.35", "0.5", "0.65", "1.0")}
BEST_RATE = "ll_r-0.5"
BEST = ("ll_r", "hill", "asl")  # by the part losses, beside summed BCE
LABELS = {
    "audit": "--unknown-labels {labels}/audit.csv",
    "teacher": "--teacher {labels}/folds/all --teacher-thresholds {labels}/thresholds.csv",
    "sampling": "--sampling repeat_factor",
}
BEST_LOSSES = {name: LOSSES[name] for name in (BASE, *BEST)}
REMEDIES = {f"{BASE}+{name}": words for name, words in LABELS.items()}
COMPARED = {**BEST_LOSSES, **REMEDIES}
EVERYTHING = {name: words for name, words in LOSSES.items() if "{mean}" not in words} | REMEDIES
PAIRS = {f"{BEST[0]}+{name}": f"{LOSSES[BEST[0]]} {words}" for name, words in LABELS.items()}
FINDING = ("bce", "focal", "asl")  # the original author's: with MixUp 0.8 summed BCE beats the other two
MIXUP, PRIOR = "--mixup-alpha 0.8", {"": "--prior-bias", "-zero": "--no-prior-bias"}
RANDOM, PEOPLE, COMPLETE = Noise("random", 25), Noise("people", 25), Noise("random", 0)
TUNED, UNSEEN = World("faces", 0), (World("faces", 1), World("scenes", 0))
AUDITS = {BASE: LOSSES[BASE], BEST_RATE: RATES[BEST_RATE]}  # whose predictions are audited
# A review leaves about half as many labels missing, for which the default of LL-R rejects enough.
LESS_MISSING = {"ll_r": LOSSES["ll_r"]}
SEEDS, FOLDS = 3, 2


def _trials(
    methods: dict[str, str], noise: Noise = RANDOM, world: World = TUNED, seeds: int = 1
) -> Iterator[Trial]:
    for name, words in methods.items():
        yield Trial(world, noise, name, words, seeds)


def _losses() -> Iterator[Trial]:
    yield from _trials(LOSSES)
    yield Trial(TUNED, COMPLETE, BASE, LOSSES[BASE])


def _mixup() -> Iterator[Trial]:
    for ending, prior in PRIOR.items():
        losses = FINDING if ending else [name for name in EVERYTHING if name in LOSSES]
        methods = {f"{loss}-mixup{ending}": f"{LOSSES[loss]} {MIXUP} {prior}" for loss in losses}
        yield from _trials(methods, seeds=SEEDS)


def _shares() -> Iterator[Trial]:
    for share in (10, 40):
        yield from _trials(EVERYTHING, Noise("random", share), seeds=SEEDS)


def _unseen() -> Iterator[Trial]:
    for world in UNSEEN:
        yield from _trials({**COMPARED, **PAIRS}, PEOPLE, world)
        yield Trial(world, COMPLETE, BASE, LOSSES[BASE])
        yield from _trials({BASE: LOSSES[BASE], BEST_RATE: RATES[BEST_RATE]}, PEOPLE, world, SEEDS)


def _frequency() -> Iterator[Trial]:
    for world in (TUNED, *UNSEEN):
        yield from _trials({name + FREQUENCY: "" for name in (BASE, "ll_r", BEST_RATE)}, PEOPLE, world)
    for world in UNSEEN:
        yield from _trials({BEST_RATE + FREQUENCY: ""}, PEOPLE, world, SEEDS)


def _audits() -> Iterator[Trial]:
    for world in UNSEEN:
        yield from _trials(AUDITS, PEOPLE, world)
        for audit in AUDITS:
            trained = AUDITS if audit == BASE else AUDITS | LESS_MISSING
            for name, words in trained.items():
                yield Trial(world, PEOPLE, f"{name}+review-{audit}", words, audit=audit)
        for name, audit in (("ll_r", BEST_RATE), (BASE, BASE)):
            yield Trial(world, PEOPLE, f"{name}+review-{audit}{FREQUENCY}", "", audit=audit)
        yield Trial(world, COMPLETE, BASE, LOSSES[BASE])


# The runs of each part, in the order of the docstring.
PARTS: dict[str, Callable[[], Iterator[Trial]]] = {
    "losses": _losses,
    "labels": lambda: _trials(REMEDIES),
    "seeds": lambda: _trials(LOSSES | REMEDIES, seeds=SEEDS),
    "pairs": lambda: _trials(PAIRS, seeds=SEEDS),
    "mixup": _mixup,
    "people": lambda: _trials(EVERYTHING, PEOPLE, seeds=SEEDS),
    "rates": lambda: _trials(RATES, PEOPLE),
    "shares": _shares,
    "unseen": _unseen,
    "frequency": _frequency,
    "audits": _audits,
}


def plan(part: str) -> Iterator[Trial]:
    """Yield the runs of a part of the study."""
    return PARTS[part]()


def parser() -> Parser:
    """Return the argument parser."""
    parser = Parser(prog="tools/studies/labels.py", description=__doc__)
    add = parser.add_argument
    add("output", metavar="OUT", help="folder of the boorus and the runs")
    add("--parts", nargs="+", choices=PARTS, default=list(PARTS), help="which parts to train (all)")
    add("--only", type=pattern, default="", metavar="PATTERN", help="methods whose folder matches this")
    text = "methods to train at most, those that are there apart"
    add("--methods", type=number(least=1), default=1000, metavar="N", help=text)
    add("--images", type=number(least=20), default=3000, help="posts of a booru (3000)")
    add("--epochs", type=number(least=2), default=8, help="of a run (8)")
    add("--report", action="store_true", help="train nothing, write results/labels/ of the runs there are")
    add("--results", default=str(RESULTS), metavar="DIR", help="where the tables go (results/labels)")
    return parser


@command
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    require_linux("tools/studies/labels.py")
    options = parser().parse_args(argv)
    folder = pathlib.Path(options.output).resolve()
    trials = dict.fromkeys(trial for part in options.parts for trial in plan(part))
    missing = [trial for trial in trials if not trial.is_finished(folder)]
    if not options.report:
        _require_same(folder, options)
        started = time.monotonic()
        for trial in [trial for trial in missing if options.only.search(trial.name)][: options.methods]:
            train(trial, folder, options)
            minutes = (time.monotonic() - started) / 60
            print(f"{minutes:.0f} min: {trial.name}, seeds: {trial.seeds}", flush=True)
    everything = [trial for part in PARTS for trial in plan(part)]
    label_study.write_report(folder, everything, options.results, BASE)
    worlds = dict.fromkeys((trial.world, trial.noise) for trial in everything)
    audits = {
        (world.name, noise.name, method): place
        for world, noise in worlds
        for method in AUDITS
        if ((place := _audit_folder(folder, world, noise, method)) / "audit_scores.json").exists()
    }
    if audits:
        truths = {world.name: _truth(folder, world) for world, _ in worlds}
        audit_scores.write_table(audits, truths, pathlib.Path(options.results) / "audits.csv")
    return 0


def _require_same(folder: pathlib.Path, options: argparse.Namespace) -> None:
    """Raise UserError where a folder holds a study of other sizes, whose runs would be taken for these."""
    file, facts = folder / "study.json", {name: getattr(options, name) for name in ("images", "epochs")}
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        write_json(file, facts)
    before = read_json(file)
    if before != facts:
        raise UserError(f"{folder} holds a study of {before}, not of {facts}; give its sizes or another OUT")


def train(trial: Trial, folder: pathlib.Path, options: argparse.Namespace) -> None:
    """Train the runs of a trial below ``folder`` and predict the test posts."""
    complete = label_study.make_world(trial.world, folder, options.images)
    dataset = label_study.make_dataset(trial.world, trial.noise, folder)
    audit, truth, demo = trial.audit or BASE, _truth(folder, trial.world), load_recipe("demo")
    labels = _audit_folder(folder, trial.world, trial.noise, audit)
    if trial.audit or "{labels}" in trial.words:
        _judge_labels(dataset, labels, truth, options.epochs, AUDITS[audit].split())
    if trial.audit:
        dataset = label_study.make_reviewed(dataset, labels / "audit.json", truth)
    if trial.method.endswith(FREQUENCY):
        source = dataclasses.replace(trial, method=trial.method.removesuffix(FREQUENCY))
        for run, adjusted in zip(source.runs(folder), trial.runs(folder), strict=True):
            if not (adjusted / label_study.DUMP).exists():
                label_study.write_adjusted(run, dataset, adjusted, EXPONENT)
        return
    # Repeat factors make a pass longer, and longer training alone gains: all see as many pictures.
    steps = demo.steps(len(dataset_folder.load(dataset).post_ids("train")), demo.batch_size_per_device)
    # Only a drawn booru tells how many labels its pictures should have.
    mean = _mean_labels(complete) if "{mean}" in trial.words else 0
    words = [*trial.words.format(labels=labels, mean=mean).split(), "--steps-per-epoch", steps]
    place = folder / "runs" / trial.name
    label_study.train(dataset, place, trial.seeds, "--epochs", options.epochs, *words)
    for run in trial.runs(folder):
        label_study.predict(run, complete, "--split", "test")


def _mean_labels(dataset: pathlib.Path) -> float:
    """Return how many labels a training post has on average."""
    blocks = dataset_folder.load(dataset).label_blocks("train")
    assert blocks is not None  # datasets of a study have posts.parquet
    return round(float(np.concatenate([lengths for _, lengths, _ in blocks]).mean()), 4)


def _truth(folder: pathlib.Path, world: World) -> pathlib.Path:
    return folder / f"booru-{world.name}" / "truth.csv"


def _audit_folder(folder: pathlib.Path, world: World, noise: Noise, method: str) -> pathlib.Path:
    return folder / f"labels-{world.name}-{noise.name}-{method}"


def _judge_labels(
    dataset: pathlib.Path, folder: pathlib.Path, truth: pathlib.Path, epochs: int, words: Sequence[str]
) -> None:
    """Predict every training post out of fold, find thresholds, audit the labels: all below ``folder``.

    ``audit_scores.json`` says how much of what the audit lists is missing by the truth. ``words``: flags of
    the trainings.
    """
    dumps = []
    for fold in range(FOLDS):
        place, which = folder / "folds" / str(fold), ("--fold", f"{fold}/{FOLDS}")
        label_study.train(dataset, place, 1, "--epochs", epochs, *which, *words)
        (run,) = label_study.run_folders(place, 1)
        label_study.predict(run, dataset, *which)
        dumps.append(run / label_study.DUMP)
    everything, thresholds = folder / "folds" / "all", folder / "thresholds.csv"
    if not everything.exists():
        label_study.tool("ensemble.py", *dumps, "--stack", "-o", everything)
    if not thresholds.exists():
        label_study.tool("find_thresholds.py", everything, "-o", thresholds, "--rule", "p-equals-r")
    if not (folder / "audit.json").exists():
        paths = ("-o", folder / "audit.json", "--operating-point", thresholds, "--truth", truth)
        printed = label_study.tool("audit_labels.py", everything, *paths, "--json")
        with replacing(folder / "audit_scores.json") as beside:
            beside.write_text(printed, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
