"""W&B sweep files without W&B: the settings of each run of a grid or random search.

Read are ``method`` (grid, random), ``parameters`` (value, values, min and max, distribution), ``metric``,
``run_cap`` and ``command``; see https://docs.wandb.ai/guides/sweeps. Random run i is a function of
(seed, i), so a search that was stopped continues with the same runs.
"""

import contextlib
import dataclasses
import hashlib
import itertools
import json
import math
import os
import re
from collections.abc import Iterable, Iterator
from typing import Annotated, Any

import numpy as np

from Utils.command.cli import UserError, suggest
from Utils.command.limits import ABOVE_0, AT_LEAST_0, Checked, Limit
from Utils.files import text_files
from Utils.files.atomic import AnyPath
from Utils.recipe import command_line, effects
from Utils.recipe.recipe import Recipe, flag, recipe_names

MAX_NAME_LENGTH = 100
MAX_RUNS = 100_000  # of a search; nobody trains more
_DRAWS = 20  # of a random search for each of its runs, until it has as many different ones

Run = dict[str, Any]  # field: value

_UNSET = object()  # a value may be null
_DISTRIBUTIONS = (
    "constant", "categorical", "categorical_w_probabilities", "uniform", "q_uniform", "int_uniform",
    "log_uniform_values", "q_log_uniform_values", "normal", "q_normal",
)  # fmt: skip
_DISTRIBUTION = Limit(f"one of {', '.join(_DISTRIBUTIONS)}", _DISTRIBUTIONS.__contains__)
_NUMBER = Limit("a number", lambda value: isinstance(value, (int, float)) and not isinstance(value, bool))
_VALUE = Limit("a number, a text, true, false, null, or a list of these", lambda value: _is_value(value))
_FILLED_LIST = Limit(
    "a list of values, one at least, each a number, a text, true, false, null, or a list of these",
    lambda value: isinstance(value, list) and bool(value) and all(map(_is_value, value)),
)
_PROBABILITIES = Limit(
    "a list of probabilities, 1 in all", lambda value: min(value) >= 0 and abs(sum(value) - 1) < 1e-3
)
_METHOD = Limit("grid or random", ("grid", "random").__contains__)
_METRIC = Limit(
    "{name: COLUMN, goal: maximize|minimize}",
    lambda value: (
        {*value} <= {"name", "goal"}
        and isinstance(value["name"], str)
        and value.get("goal", "minimize") in ("maximize", "minimize")
    ),
)
_WORDS = Limit("a list of words", lambda value: isinstance(value, list))
_COUNT = Limit("a whole number from 1 on", lambda value: type(value) is int and value >= 1)
_PARAMETERS = Limit("one field at least", bool)
_WITHOUT_EFFECT = ("program", "name", "description", "project", "entity")  # of a file: for W&B alone


def _is_value(value: Any) -> bool:
    """Whether train.py's flags can have such a value: ``_UNSET`` is the one that is not given."""
    if isinstance(value, list):
        return all(isinstance(item, (str, int, float)) for item in value)
    return value is None or value is _UNSET or isinstance(value, (str, int, float))


@dataclasses.dataclass(frozen=True)
class Parameter(Checked):
    """The values of one field in a sweep file, with W&B's names."""

    value: Annotated[Any, _VALUE] = _UNSET
    values: Annotated[list | None, _FILLED_LIST] = None
    probabilities: Annotated[list | None, _PROBABILITIES] = None
    min: Annotated[float | None, _NUMBER] = None
    max: Annotated[float | None, _NUMBER] = None
    distribution: Annotated[str | None, _DISTRIBUTION] = None
    mu: Annotated[float, _NUMBER] = 0.0
    sigma: Annotated[float, _NUMBER, AT_LEAST_0] = 1.0
    q: Annotated[float, ABOVE_0] = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        kind, low, high = self.kind, self.min, self.max
        if self.choices is not None:
            if self.probabilities and len(self.probabilities) != len(self.choices):
                raise UserError(f"there must be as many probabilities as values; got {self.probabilities}")
        elif kind == "constant" or kind.startswith("categorical"):
            raise UserError(f"distribution {kind} must have value or values")
        elif kind.endswith("normal"):
            return
        elif low is None or high is None or low > high or ("log" in kind and low <= 0):
            raise UserError(
                "there must be value, values, or a min up to its max, above 0 for a logarithm; "
                f"got min {low}, max {high}"
            )
        elif kind == "int_uniform" and not (isinstance(low, int) and isinstance(high, int)):
            raise UserError(f"int_uniform must have whole numbers as min and max; got {low}, {high}")

    @property
    def choices(self) -> list | None:
        """The values to choose from, None for a distribution over numbers."""
        return self.values if self.value is _UNSET else [self.value]

    @property
    def kind(self) -> str:
        """The distribution, or what W&B takes where the file gives bounds only."""
        is_whole = isinstance(self.min, int) and isinstance(self.max, int)
        return self.distribution or ("int_uniform" if is_whole else "uniform")

    def draw(self, rng: np.random.Generator) -> Any:
        """Draw one value."""
        # Every parameter draws the same number of random numbers, so a change of one leaves the others alone.
        uniform, normal = rng.random(), rng.standard_normal()
        if self.choices is not None:
            weights = self.probabilities or np.full(len(self.choices), 1 / len(self.choices))
            place = int(np.searchsorted(np.cumsum(weights), uniform, "right"))
            return self.choices[min(place, len(self.choices) - 1)]
        low, high = self.min or 0, self.max or 0
        if self.kind == "int_uniform":
            return min(low + int(uniform * (high - low + 1)), high)
        if self.kind.endswith("normal"):
            value = self.mu + self.sigma * normal
        elif "log" in self.kind:
            value = math.exp(math.log(low) + uniform * (math.log(high) - math.log(low)))
        else:
            value = low + uniform * (high - low)
        return round(round(value / self.q) * self.q, 12) if self.kind.startswith("q_") else value


@dataclasses.dataclass(frozen=True)
class Sweep(Checked):
    """A sweep file, with W&B's names: what varies and what is fixed."""

    parameters: Annotated[dict[str, Parameter], _PARAMETERS]  # by field
    method: Annotated[str, _METHOD] = ""
    metric: Annotated[dict[str, str], _METRIC] = dataclasses.field(
        default_factory=lambda: {"name": "val_f1", "goal": "maximize"}
    )
    command: Annotated[list, _WORDS] = dataclasses.field(default_factory=list)
    run_cap: Annotated[int | None, _COUNT] = None

    @property
    def metric_name(self) -> str:
        """The column of a run's history that the runs are ranked by."""
        return self.metric["name"]

    @property
    def maximizes(self) -> bool:
        """Whether the metric's largest value is the best; W&B's default is the smallest."""
        return self.metric.get("goal") == "maximize"

    @property
    def words(self) -> list[str]:
        """The words of the command after the program: a recipe's name and flags."""
        words = [str(word) for word in self.command]
        words = words[words.index("${program}") + 1 :] if "${program}" in words else []
        return [word for word in words if not word.startswith("${args")]


def read(path: AnyPath) -> Sweep:
    """Read a sweep file. Raises UserError that says what it lacks or what is not supported here."""
    content = text_files.read_yaml(path, "a W&B sweep file (YAML)")
    if not isinstance(content, dict) or not isinstance(content.get("parameters"), dict):
        raise UserError(f"{path} is no sweep file: it needs method and parameters")
    parameters: dict[str, Parameter] = {}
    for key, description in content["parameters"].items():
        name = str(key).replace("-", "_")
        with _naming(f"{path}: parameter {key}"):
            if name in parameters:
                raise UserError("it is given twice")
            parameters[name] = _parameter(description)
            if content.get("method") == "grid" and parameters[name].choices is None:
                raise UserError(f"a grid must have value or values; got {description}")
    names = ("method", "metric", "command", "run_cap")
    known = ("parameters", *names, *_WITHOUT_EFFECT)
    if unknown := [key for key in content if key not in known]:
        raise UserError(
            f"{path}: {unknown[0]} has no effect here{suggest(unknown[0], known)}; "
            f"known are {', '.join(known)}"
        )
    settings: dict[str, Any] = {name: content[name] for name in names if content.get(name) is not None}
    with _naming(path):
        return Sweep(parameters, **settings)


def _parameter(description: Any) -> Parameter:
    names = [field.name for field in dataclasses.fields(Parameter)]
    if not isinstance(description, dict):
        raise UserError(f"it must have some of {', '.join(names)}; got {description!r}")
    for key in description:
        if key not in names:
            raise UserError(f"it has {key!r}{suggest(key, names)}; known are {', '.join(names)}")
    return Parameter(**description)


@contextlib.contextmanager
def _naming(place: object) -> Iterator[None]:
    """Put the place in front of a UserError."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{place}: {error}") from error


def runs(sweep: Sweep, count: int | None = None, seed: int = 0) -> list[Run]:
    """Return the settings of every run: the whole grid in order, or random runs; at most ``count``.

    A run has no fields that its own loss, schedule, warmup or init_from leaves without effect. Settings that
    come twice are one run, and count once; a random search draws at most _DRAWS times for each of its runs.
    Raises UserError for a random search without an end, and for more than MAX_RUNS runs.
    """
    count = count or sweep.run_cap
    names, parameters = list(sweep.parameters), sweep.parameters.values()
    choices = [parameter.choices or [] for parameter in parameters]
    size = math.prod(map(len, choices)) if sweep.method == "grid" else count
    if size is None:
        raise UserError("a random search needs --runs N, or run_cap in its file")
    if min(size, count or size) > MAX_RUNS:  # known before they are listed
        raise UserError(
            f"the {sweep.method} has {size:,} runs; allowed are {MAX_RUNS:,}: give --runs N, or run_cap"
        )
    if sweep.method == "grid":
        combinations: Iterable[Iterable[Any]] = itertools.product(*choices)
    else:
        draws = range(_DRAWS * size)
        generators = (np.random.Generator(np.random.Philox(key=[seed, index])) for index in draws)
        combinations = ([parameter.draw(rng) for parameter in parameters] for rng in generators)
    never, found = _never_obeyed(sweep), dict[str, Run]()
    for values in combinations:
        run = _obeyed(dict(zip(names, values, strict=True)), never)
        found.setdefault(folder_name(run), run)
        if len(found) == count:
            break
    return list(found.values())


def _obeyed(run: Run, never: set[str]) -> Run:
    """Return a run without what nothing in it would obey, as ``focal_gamma`` where its loss is bce.

    What no run would obey, the fields ``never``, stays, and is refused.
    """
    idle = _idle(run) - never
    return {name: value for name, value in run.items() if name not in idle}


def _never_obeyed(sweep: Sweep) -> set[str]:
    """Return the fields that no value which the sweep gives to their owner would obey."""
    owners = {name: effects.OWNERS.get(name, "") for name in sweep.parameters}
    owned = {name: owner for name, owner in owners.items() if owner in sweep.parameters}
    return {
        name
        for name, owner in owned.items()
        if (values := sweep.parameters[owner].choices) is not None
        and all(name in _idle({owner: value, name: None}) for value in values)
    }


def _idle(run: Run) -> set[str]:
    """Return the fields of a run that its own value of another field leaves without effect."""
    owned = {name: effects.OWNERS[name] for name in run if effects.OWNERS.get(name) in run}
    values: dict[str, Any] = {
        owner: "" if run[owner] is None else str(run[owner]) for owner in owned.values()
    }
    recipe = dataclasses.replace(Recipe(), **values)
    return {name for name in owned if effects.owner(name, recipe)}


def require_apart(sweep: Sweep, flags: Iterable[str]) -> None:
    """Raise UserError where flags of every run, or the file's fields, set what this sweep sets for each run.

    They would win, or lose, without a word: the results would name settings that no run had.
    """
    given = {text.partition("=")[0].replace("_", "-").replace("--no-", "--", 1) for text in flags}
    swept = set(map(flag, sweep.parameters))
    if both := sorted(given & swept):
        raise UserError(f"{both[0]} is given for all runs, and is a parameter of the sweep: leave one out")
    if own := sorted((given | swept) & set(map(flag, command_line.NOT_OF_THE_RECIPE))):
        raise UserError(f"{own[0]} cannot be set for a run: the sweep gives dataset and folder, and trains")


def folder_name(run: Run) -> str:
    """Return a folder name made from a run's settings; the same settings have the same name."""
    text = ",".join(f"{field}={value}" for field, value in run.items())
    safe = re.sub(r"[^\w.,=+-]+", "-", text)
    if safe == text and len(text) <= MAX_NAME_LENGTH:
        return text
    digest = hashlib.sha256(json.dumps(run, sort_keys=True).encode()).hexdigest()[:8]
    return f"{safe[: MAX_NAME_LENGTH - 9]}-{digest}"


def train_words(sweep: Sweep, run: Run, recipe: str | None = None) -> list[str]:
    """Return the words of a run for train.py: the command's, then a flag for each field.

    ``recipe`` replaces the one that the command names; ``--dataset`` and ``--run-dir`` are left out, and
    ``${envvar:NAME}`` is filled in. Raises UserError where NAME is not set or no recipe is named.
    """
    words = [word for word in sweep.words if not re.match(r"--(dataset|run[-_]dir)(=|$)", word)]
    named = [word for word in words[:1] if not word.startswith("-")]
    if not (recipe or named):
        raise UserError(f"the sweep's command names no recipe; give --recipe {' | '.join(recipe_names())}")
    words = [recipe or named[0], *words[len(named) :]]
    words = [re.sub(r"\$\{envvar:(\w*)\}", _environment_value, word) for word in words]
    return words + [f"--{field}={value}" for field, value in run.items()]


def _environment_value(match: re.Match) -> str:
    if match[1] not in os.environ:
        raise UserError(f"the sweep's command needs the environment variable {match[1]}, which is not set")
    return os.environ[match[1]]
