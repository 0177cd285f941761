"""The command line of train.py: a recipe's name, then a flag for each of its fields (through tyro)."""

import contextlib
import dataclasses
import functools
import io
import itertools
import math
import os
import re
import sys

from Utils.command.cli import UserError, suggest, value_of
from Utils.recipe import initial_weights
from Utils.recipe.recipe import Recipe, load_recipe, recipe_docstring, recipe_names


@dataclasses.dataclass(frozen=True)
class Arguments:
    """What train.py was asked to do."""

    recipe: Recipe
    dataset: str = ""
    """Folder with selected_tags.csv, train/*.tfrecord and, best, validation/*.tfrecord."""
    run_dir: str = ""
    """Folder of the run; one that exists is continued. $WANDB_RUN_ID and the like are filled in."""
    dry_run: bool = False
    """Print devices, batch, steps, parameters and memory, then stop."""


RULE = re.compile("-+|╰?─+╯?")  # what ends a message of tyro
USAGE = """usage: train.py RECIPE --dataset DATASET --run-dir RUN [--any-recipe-field value] [--dry-run]

Train a model on a dataset folder. The same --run-dir continues where it stopped.

recipes (train.py RECIPE --help shows what each does, and all its fields):
"""


def parse(argv=None):
    """Return ``(name, Arguments)`` of a command line; help is printed and leaves with SystemExit(0).

    Raises UserError for an unknown recipe, an unknown or malformed flag, a missing one.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    if words[:1] in (["-h"], ["--help"]):
        print(USAGE + "".join(f"  {name:<14}{_summary(name)}\n" for name in recipe_names()), end="")
        raise SystemExit(0)
    if not words or words[0].startswith("-"):
        came = repr(words[0]) if words else "nothing"
        raise UserError(
            f"the first word names a recipe ({', '.join(recipe_names())}); got {came} (see train.py --help)"
        )
    return words[0], _parse_fields(words[0], words[1:])


def _summary(name):
    return recipe_docstring(name).strip().split("\n")[0]


def _parse_fields(name, words):
    import tyro  # here: who reads a recipe needs no parser

    words, see = _spelled(words), f"see train.py {name} --help"
    unknown = [word for word in words if word.startswith("--") and word.split("=")[0] not in _flags()]
    if unknown:
        flag = unknown[0].split("=")[0]
        raise UserError(f"no option is named {flag}{suggest(flag, _flags())} ({see}, which lists all)")
    source = _source(words)
    default = Arguments(load_recipe(name, source and source.recipe))
    with _one_paragraph(see):
        found = tyro.cli(
            Arguments,
            args=words,
            default=default,
            prog=f"train.py {name}",
            description=recipe_docstring(name),
            config=(tyro.conf.OmitArgPrefixes,),
        )
    if not found.dataset or not (found.run_dir or found.dry_run):
        missing = "--run-dir RUN (or --dry-run)" if found.dataset else "--dataset DATASET"
        raise UserError(f"{missing} is missing ({see})")
    recipe, run_dir = _resolved(name, found.recipe, source), os.path.expandvars(found.run_dir)
    if unset := re.search(r"\$\w+|\$\{\w+\}", run_dir):
        raise UserError(f"--run-dir {found.run_dir}: the environment variable {unset[0]} is not set")
    return dataclasses.replace(found, recipe=recipe, run_dir=run_dir)


def _source(words):
    """Return the Source that the words name, None where they name none."""
    path, which = (_value(words, flag) for flag in ("--init-from", "--which"))
    if not path:
        return None
    run_dir = os.path.expandvars(_value(words, "--run-dir") or "")
    return initial_weights.of(path, "last" if which == "last" else "best", run_dir)


def _value(words, flag):
    """Return the last word given to a flag, None where there is none."""
    given = None
    for word, following in itertools.pairwise([*words, ""]):
        if word == flag:
            given = following
        elif word.startswith(f"{flag}="):
            given = word.partition("=")[2]
    return given


def _resolved(name, recipe, source):
    """Return the recipe with what it leaves to the source of its weights."""
    if source is None:
        if recipe.model and recipe.image_size:
            return recipe
        missing = "--model" if not recipe.model else "--image-size"
        raise UserError(f"recipe {name} takes {missing} from --init-from RUN|FILE.keras|RELEASE; got neither")
    if recipe.model and recipe.model != source.model:
        raise UserError(
            f"--init-from {recipe.init_from} is a {source.model}, but the recipe's model is {recipe.model}; "
            f"give --model {source.model}, or use the recipe finetune, which takes the model as it is"
        )
    if not recipe.model and recipe.model_overrides():
        given = ", ".join(f"--{name.replace('_', '-')}" for name in recipe.model_overrides())
        raise UserError(
            f"the model of {recipe.init_from} is taken as it is, so {given} cannot be set; give --model "
            f"{source.model} and all options it was built with to build it anew"
        )
    return dataclasses.replace(recipe, image_size=recipe.image_size or larger(source.image_size))


def larger(side):
    """Return 1.2 times a side in pixels, by whole 32: what 320 to 384 was."""
    return math.ceil(1.2 * side / 32 - 1e-9) * 32


@functools.cache
def _flags():
    """Every flag: one for each field, and the negative of each switch."""
    fields = [*dataclasses.fields(Recipe), *dataclasses.fields(Arguments)]
    names = [f"--{field.name.replace('_', '-')}" for field in fields if field.name != "recipe"]
    return [*names, *(f"--no-{name[2:]}" for name in names if name in _switches()), "--help"]


@functools.cache
def _switches():
    fields = [*dataclasses.fields(Recipe), *dataclasses.fields(Arguments)]
    return {f"--{field.name.replace('_', '-')}" for field in fields if field.type is bool}


def _spelled(words):
    """Spell flags with hyphens, and values as sweeps write them: ``--flip=False``, ``--crop=[0.9, 1.0]``."""
    words = [re.sub(r"^--[^=]*", lambda flag: flag[0].replace("_", "-"), word) for word in words]
    spelled = []
    for word in words:
        flag, equals, value = word.partition("=")
        if spelled and spelled[-1] in _switches() and word.lower() in ("true", "false"):
            flag, equals, value = spelled.pop(), "=", word
        if equals and flag in _switches() and value.lower() in ("true", "false"):
            spelled.append(flag if value.lower() == "true" else f"--no-{flag[2:]}")
        elif equals and isinstance(value_of(value), (list, tuple)) and value[0] in "[(":
            spelled += [flag, *map(str, value_of(value))]
        else:
            spelled.append(word)
    return spelled


@contextlib.contextmanager
def _one_paragraph(see):
    """Turn the boxes in which tyro reports a mistake into one UserError."""
    shown = io.StringIO()
    try:
        with contextlib.redirect_stderr(shown):
            yield
    except SystemExit as stop:
        if not stop.code:
            raise
        # A title, the message, a rule. Where stdout is not UTF-8, tyro draws a rule below the title, no box.
        _, *lines = [line.strip("│ ") for line in shown.getvalue().strip().splitlines()]
        begin = 1 if RULE.fullmatch(lines[0]) else 0
        message = itertools.takewhile(lambda line: not RULE.fullmatch(line), lines[begin:])
        raise UserError(f"{' '.join(message).rstrip('.')} ({see})") from None
