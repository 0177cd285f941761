"""W&B sweep files: what each run of a grid or random search sets, without W&B.

Read are ``method`` (grid, random), ``parameters`` (value, values, min and max, distribution), ``metric``,
``run_cap`` and ``command``; see https://docs.wandb.ai/guides/sweeps. Random run i is a function of
(seed, i), so a search that was stopped goes on with the same runs.
"""

import dataclasses
import hashlib
import itertools
import json
import math
import os
import re

import numpy as np

from Utils.command.cli import UserError, suggest
from Utils.files.atomic import require_file

METHODS = ("grid", "random")
MACRO = re.compile(r"\$\{envvar:([A-Z0-9_]*)\}")
LONGEST_NAME = 100


@dataclasses.dataclass(frozen=True)
class Sweep:
    """A sweep file: what varies and what is fixed."""

    method: str
    parameters: dict  # {field: its description}
    words: tuple  # of the command, after the program: a recipe's name and flags
    metric: str
    maximize: bool
    run_cap: int | None


def read(path):
    """Read a sweep file; UserError says what it lacks or what cannot be done with it here."""
    import yaml

    path = require_file(path, "a W&B sweep file (YAML)")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is no YAML: {error}") from error
    if not isinstance(content, dict) or not isinstance(content.get("parameters"), dict):
        raise UserError(f"{path} is no sweep file: it needs method and parameters")
    metric, words, cap = (content.get(key) for key in ("metric", "command", "run_cap"))
    metric = {"name": "val_f1", "goal": "maximize"} if metric is None else metric
    if not (isinstance(metric, dict) and isinstance(metric.get("name"), str)):
        raise UserError(f"{path}: metric must be {{name: COLUMN, goal: maximize|minimize}}; got {metric!r}")
    if not isinstance(words, (list, type(None))):
        raise UserError(f"{path}: command must be a list of words; got {words!r}")
    if cap is not None and not (isinstance(cap, int) and cap >= 1):
        raise UserError(f"{path}: run_cap must be a whole number from 1 on; got {cap!r}")
    method = content.get("method")
    if method not in METHODS:
        raise UserError(f"{path}: method must be {' or '.join(METHODS)} here; got {method!r}")
    for name, described in content["parameters"].items():
        _check(path, method, name, described)
    words = [str(word) for word in words or ()]
    after = words[words.index("${program}") + 1 :] if "${program}" in words else []
    fixed = tuple(word for word in after if not word.startswith("${args"))
    maximize = metric.get("goal", "minimize") == "maximize"
    return Sweep(method, content["parameters"], fixed, metric["name"], maximize, cap)


def _check(path, method, name, described):
    known = ("value", "values", "probabilities", "min", "max", "distribution", "mu", "sigma", "q")
    for key in described if isinstance(described, dict) else [described]:
        if not isinstance(described, dict) or key not in known:
            raise UserError(
                f"{path}: parameter {name} has {key!r}{suggest(key, known)}; known are {', '.join(known)}"
            )
    if needed := _lacks(method, described):
        raise UserError(f"{path}: {name} must have {needed}; got {described}")


def _lacks(method, described):
    """Return what a parameter must have that it has not, None where it has all."""
    if "value" in described:
        return None
    if "values" in described:
        return _lacks_values(described["values"], described.get("probabilities"))
    if method == "grid":
        return "value or values in a grid"
    if _drawer(described) is None:
        return "values, min and max, or a distribution"
    step = described.get("q", 1)
    if not _are_numbers([step, described.get("mu", 0), described.get("sigma", 0)]) or step <= 0:
        return "numbers as mu, sigma and q, q above 0"
    low, high, kind = described.get("min", 1), described.get("max", 1), described.get("distribution", "")
    if low > high or ("log" in kind and low <= 0):
        return "a min up to its max, above 0 for a logarithm"
    whole = kind != "int_uniform" or all(isinstance(bound, int) for bound in (low, high))
    return None if whole else "whole numbers as min and max"


def _lacks_values(values, weights):
    if not (isinstance(values, list) and values):
        return "a list of values, one at least"
    if weights is None:
        return None
    fits = _are_numbers(weights) and len(weights) == len(values) and min(weights) >= 0
    return None if fits and abs(sum(weights) - 1) < 1e-3 else "as many probabilities as values, 1 in all"


def _are_numbers(values):
    return isinstance(values, list) and all(isinstance(value, (int, float)) for value in values)


def runs(sweep, count=None, seed=0):
    """Return what every run sets, ``[{field: value}]``: the whole grid, or ``count`` random runs.

    Raises UserError where a random search has no end.
    """
    if sweep.method == "grid":
        choices = [
            described.get("values", [described.get("value")]) for described in sweep.parameters.values()
        ]
        every = [dict(zip(sweep.parameters, chosen, strict=True)) for chosen in itertools.product(*choices)]
        return every[: count or sweep.run_cap]
    if count is None and sweep.run_cap is None:
        raise UserError("a random search needs --runs N, or run_cap in its file")
    return [_drawn(sweep.parameters, seed, index) for index in range(count or sweep.run_cap)]


def _drawn(parameters, seed, index):
    rng = np.random.Generator(np.random.Philox(key=[seed, index]))
    return {name: _draw(described, rng) for name, described in parameters.items()}


def _draw(described, rng):
    """Draw one value; as many random numbers whatever the description, so that fields do not move others."""
    uniform, normal = rng.random(), rng.standard_normal()
    if "value" in described:
        return described["value"]
    if "values" in described:
        values, weights = described["values"], described.get("probabilities")
        edges = np.cumsum(weights if weights else np.full(len(values), 1 / len(values)))
        return values[min(int(np.searchsorted(edges, uniform, "right")), len(values) - 1)]
    return _drawer(described)(described, uniform, normal)


def _drawer(described):
    """Return ``(described, uniform, normal) -> value`` of a distribution over numbers, None for another."""
    low, high = described.get("min"), described.get("max")
    plain = "int_uniform" if isinstance(low, int) and isinstance(high, int) else "uniform"
    name = described.get("distribution", plain if None not in (low, high) else "")
    bounds = None if name.endswith("normal") else (low, high)
    fits = all(isinstance(bound, (int, float)) for bound in bounds or ())
    return DRAWERS.get(name) if fits else None


def _quantized(value, described):
    step = described.get("q", 1)
    return round(round(value / step) * step, 12)


def _uniform(described, u, n):
    return described["min"] + u * (described["max"] - described["min"])


def _log_uniform(described, u, n):
    low, high = math.log(described["min"]), math.log(described["max"])
    return math.exp(low + u * (high - low))


def _normal(described, u, n):
    return described.get("mu", 0.0) + described.get("sigma", 1.0) * n


DRAWERS = {
    "uniform": _uniform,
    "q_uniform": lambda described, u, n: _quantized(_uniform(described, u, n), described),
    "int_uniform": lambda described, u, n: min(
        described["min"] + int(u * (described["max"] - described["min"] + 1)), described["max"]
    ),
    "log_uniform_values": _log_uniform,
    "q_log_uniform_values": lambda described, u, n: _quantized(_log_uniform(described, u, n), described),
    "normal": _normal,
    "q_normal": lambda described, u, n: _quantized(_normal(described, u, n), described),
}


def name_of(chosen):
    """Return a folder name for a run that tells what it sets; the same settings have the same name."""
    text = ",".join(f"{field}={value}" for field, value in chosen.items())
    safe = re.sub(r"[^\w.,=+-]+", "-", text)
    if safe == text and len(text) <= LONGEST_NAME:
        return text
    digest = hashlib.sha256(json.dumps(chosen, sort_keys=True).encode()).hexdigest()[:8]
    return f"{safe[: LONGEST_NAME - 9]}-{digest}"


def words_of(sweep, chosen):
    """Return the words of a run for train.py: the command's own, then a flag for each field.

    ``--run-dir`` is left out, ``${envvar:NAME}`` is filled in. Raises UserError where that is not set.
    """
    kept = [word for word in sweep.words if not re.match(r"--run[-_]dir(=|$)", word)]
    return [MACRO.sub(_environment, word) for word in kept] + [
        f"--{field}={value}" for field, value in chosen.items()
    ]


def _environment(found):
    if found[1] not in os.environ:
        raise UserError(f"the sweep's command needs the environment variable {found[1]}, which is not set")
    return os.environ[found[1]]
