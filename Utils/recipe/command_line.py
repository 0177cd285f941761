"""The command line of train.py: a recipe's name, then a flag for each of its fields (through tyro)."""

import contextlib
import dataclasses
import functools
import io
import itertools
import os
import pathlib
import re
import sys
import typing
from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Any, Literal

from Utils.command import programs
from Utils.command.cli import UserError, require_no_dash, suggest, value_of
from Utils.command.text import join_names
from Utils.data import dataset_folder
from Utils.recipe import effects, finetuning, initial_weights
from Utils.recipe.options import VARIANT_DEFAULT, ModelOverrides
from Utils.recipe.recipe import Recipe, flag, load_recipe, recipe_docstring, recipe_names, recipe_rule

# {what timm's and other training scripts call an option: our field}
OF_AN_AGENT = "WANDB_SWEEP_ID"  # the variable that W&B's agents set
OTHER_NAMES = {
    "b": "batch_size_per_device",
    "batch_size": "batch_size_per_device",
    "bs": "batch_size_per_device",
    "clip_grad": "global_clipnorm",
    "data": "dataset",
    "drop": "dropout",
    "drop_path": "stochastic_depth",
    "drop_path_rate": "stochastic_depth",
    "ema_decay": "ema",
    "freeze": "freeze_body_epochs",
    "img_size": "image_size",
    "lr": "learning_rate",
    "min_lr": "floor",
    "mixup": "mixup_alpha",
    "model_ema_decay": "ema",
    "num_epochs": "epochs",
    "o": "run_dir",
    "opt": "optimizer",
    "output": "run_dir",
    "pretrained": "init_from",
    "resolution": "image_size",
    "resume": "run_dir",
    "sched": "schedule",
    "smoothing": "label_smoothing",
    "warmup_epochs": "warmup",
    "wd": "weight_decay",
}


@dataclasses.dataclass(frozen=True)
class Arguments:
    """What train.py was asked to do."""

    recipe: Recipe
    dataset: str = ""
    """Folder with selected_tags.csv, train/*.tfrecord and preferably validation/*.tfrecord."""
    run_dir: str = ""
    """Folder of the run; one that exists is continued. $WANDB_RUN_ID and the like are filled in."""
    dry_run: bool = False
    """Print devices, batch, steps, parameters, memory and, with --init-from, the time needed; then stop."""
    topology: str = ""
    """With --dry-run: compile the step for a TPU that is not here, as v5e:2x4, and print what it needs."""
    effort: Literal["low", "full"] = "low"
    """With --topology: low takes a minute or two; full many, for a program that may need less memory."""
    largest_batch: bool = False
    """With --topology: find the largest --batch-size-per-device that fits."""
    json: bool = False
    """With --dry-run: print one JSON object."""


NOT_OF_THE_RECIPE = [field.name for field in dataclasses.fields(Arguments) if field.name != "recipe"]


@dataclasses.dataclass(frozen=True)
class ParsedArguments(Arguments):
    """The same, with what follows from it before a backend is chosen."""

    source: initial_weights.Source | None = None  # what --init-from names
    choices: tuple[finetuning.Choice, ...] = ()  # settings that the recipe's rule has chosen


_USAGE = """usage: {train} RECIPE --dataset DATASET --run-dir RUN [--any-recipe-field value] [--dry-run]

Train a model on a dataset folder. The same --run-dir continues where it stopped.

recipes ({train} RECIPE --help shows what each does, and all its fields):
"""
_OPTION = re.compile("--|-[A-Za-z](=|$)")
_BOX_RULE = re.compile("-+|╰?─+╯?")  # the line that ends a message of tyro


FUNCTIONS = ("Models.loading.describe_timm", "Models.spec")  # that `parse` takes, if train.py asks


def parse(
    argv: Sequence[str] | None = None,
    describe_timm: initial_weights.DescribeTimm | None = None,
    spec_of: Callable[..., Any] | None = None,
) -> tuple[str, ParsedArguments]:
    """Return the recipe's name and the arguments of a command line.

    ``describe_timm`` is that of `initial_weights.find`, ``spec_of`` is ``Models.spec``: without it a source
    is taken to have the head that the recipe asks for. Prints help and raises SystemExit(0) for --help.
    Raises UserError for an unknown recipe, an unknown, malformed or missing flag, and values that a recipe
    does not allow.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    if words[:1] in (["-h"], ["--help"]):
        recipes = "".join(f"  {name:<14}{_headline(name)}\n" for name in recipe_names())
        print(_USAGE.format(train=programs.prog("train.py")) + recipes, end="")
        raise SystemExit(0)
    if not words or words[0].startswith("-"):
        received = repr(words[0]) if words else "nothing"
        raise UserError(
            f"the first word names a recipe ({', '.join(recipe_names())}); got {received} "
            f"(see {programs.prog('train.py')} --help)"
        )
    return words[0], _parse_flags(words[0], words[1:], describe_timm, spec_of)


def _headline(name: str) -> str:
    return recipe_docstring(name).strip().split("\n")[0]


def _parse_flags(
    name: str,
    words: list[str],
    describe_timm: initial_weights.DescribeTimm | None,
    spec_of: Callable[..., Any] | None,
) -> ParsedArguments:
    import tyro  # here: tools that only read recipes need no parser

    words, hint = _normalized(words), f"see {programs.prog('train.py')} {name} --help"
    unknown = [word for word in words if _OPTION.match(word) and word.split("=")[0] not in _flags()]
    if unknown:
        first = unknown[0].split("=")[0]
        known = OTHER_NAMES.get(first.lstrip("-").replace("-", "_"))
        similar = f"; did you mean {flag(known)}?" if known else suggest(first, _flags())
        raise UserError(f"no option is named {first}{similar} ({hint}, which lists all)")
    # Found before tyro parses: its defaults are the recipe's, and those may depend on the initial weights.
    source = _source(words, describe_timm)
    if source is not None and spec_of is not None:
        head = _last_value(words, "--head") or load_recipe(name, source.recipe).head
        source = _with_head(source, head, spec_of)
    recipe, choices = _starting_recipe(name, words, source)
    default = Arguments(recipe)
    with _one_paragraph(words, hint):
        arguments = tyro.cli(
            Arguments,
            args=words,
            default=default,
            prog=f"{programs.prog('train.py')} {name}",
            description=recipe_docstring(name),
            config=(tyro.conf.OmitArgPrefixes,),
        )
    if not arguments.dataset or not (arguments.run_dir or arguments.dry_run):
        missing = "--run-dir RUN (or --dry-run)" if arguments.dataset else "--dataset DATASET"
        raise UserError(f"{missing} is missing ({hint})")
    require_no_dash("--run-dir", arguments.run_dir)
    run_dir = os.path.expandvars(arguments.run_dir)
    if unset := re.search(r"\$\w+|\$\{\w+\}", run_dir):
        raise UserError(f"--run-dir {arguments.run_dir}: the environment variable {unset[0]} is not set")
    _require_together(arguments, hint)
    if os.environ.get(OF_AN_AGENT):
        recipe, left_out = effects.without_idle(arguments.recipe, words)
        arguments = dataclasses.replace(arguments, recipe=recipe)
        if left_out:
            print(
                f"left out, as this run of a sweep would not obey it: {join_names(left_out)}", file=sys.stderr
            )
    effects.require(arguments.recipe, words)
    values = {field.name: getattr(arguments, field.name) for field in dataclasses.fields(Arguments)}
    values |= {"recipe": _completed(name, arguments.recipe, source), "run_dir": run_dir}
    return ParsedArguments(**values, source=source, choices=tuple(choices))


def names_topology(argv: Sequence[str] | None = None) -> bool:
    """Whether a command line has ``--topology``: known before it is parsed, which may start a backend."""
    words = sys.argv[1:] if argv is None else argv
    return any(word.partition("=")[0] == "--topology" for word in words)


def _require_together(arguments: Arguments, hint: str) -> None:
    """Raise UserError where a flag is given without the one that it belongs to."""
    default = Arguments(arguments.recipe)
    for owner, names in {"dry_run": ("topology", "json"), "topology": ("largest_batch", "effort")}.items():
        for name in names:
            if getattr(arguments, name) != getattr(default, name) and not getattr(arguments, owner):
                raise UserError(f"{flag(name)} goes with {flag(owner)}, which is missing ({hint})")
    if arguments.topology and arguments.recipe.probe:
        raise UserError(
            "--topology compiles the step that trains a whole model; with --probe only the classifier is "
            "trained, on features, which fits anywhere: leave one of them out"
        )


def _source(
    words: list[str], describe_timm: initial_weights.DescribeTimm | None
) -> initial_weights.Source | None:
    """Return the source of the initial weights that the words name, None without --init-from."""
    path, which, order = (_last_value(words, name) for name in ("--init-from", "--which", "--source-order"))
    if not path:
        return None
    run_dir = os.path.expandvars(_last_value(words, "--run-dir") or "")
    if run_dir and "://" not in path + run_dir and _is_within(pathlib.Path(path), pathlib.Path(run_dir)):
        raise UserError(
            f"--init-from {path} is the run of --run-dir itself, which would be lost: name another --run-dir"
        )
    if "--probe" in words:  # it keeps no copy of the body that it began with
        run_dir = ""
    order = order if order in ("bgr", "rgb") else None
    return initial_weights.resolve(path, "last" if which == "last" else "best", run_dir, describe_timm, order)


def _is_within(source: pathlib.Path, run_dir: pathlib.Path) -> bool:
    """Whether a source is a run folder, or a model in it."""
    folder = source.parent if source.suffix == ".keras" else source
    return folder.resolve() == run_dir.resolve() and folder.is_dir()


def _with_head(
    source: initial_weights.Source, head: str, spec_of: Callable[..., Any]
) -> initial_weights.Source:
    """Return the source, marked if its head is not the one that the recipe asks for."""
    if head == VARIANT_DEFAULT or source.is_taken_over or source.built_as is None:
        return source
    model, options = source.built_as
    return dataclasses.replace(source, new_head=spec_of(model, **options).head != head)


def _starting_recipe(
    name: str, words: list[str], source: initial_weights.Source | None
) -> tuple[Recipe, list[finetuning.Choice]]:
    """Return the recipe before its flags, and what its rule has chosen for this source and dataset."""
    recipe, choose = load_recipe(name, source.recipe if source else None), recipe_rule(name)
    if source is not None and not recipe.model and source.built_as:
        model, options = source.built_as
        named = {field.name for field in dataclasses.fields(ModelOverrides)}  # these have flags, which win
        fields = {name: value for name, value in options.items() if name in named and _is_plain(value)}
        texts = tuple(f"{name}={value!r}" for name, value in options.items() if name not in fields)
        recipe = dataclasses.replace(recipe, model=model, model_options=texts, **fields)
    folder = _last_value(words, "--dataset")
    if source is None or choose is None or not folder:
        return recipe, []
    dataset = dataset_folder.load(folder)
    is_new = initial_weights.is_new(source, dataset.tags)
    situation = finetuning.Situation(
        records=dataset.num_records("train"),
        kept=int((~is_new).sum()),
        new=int(is_new.sum()),
        image_size=source.image_size,
        validation=dataset.num_records("validation") if "validation" in dataset.splits else 0,
        is_probed=bool(source.probed),
        is_probe="--probe" in words,
        batch_norm_momentum=source.batch_norm_momentum,
        batch_size=recipe.batch_size_per_device,
        epochs=recipe.epochs,
    )
    choices = choose(situation)
    return finetuning.apply(recipe, choices), choices


def _is_plain(value: Any) -> bool:
    return isinstance(value, (bool, float, str))


def _last_value(words: list[str], name: str) -> str | None:
    """Return the last value given to a flag, None without the flag."""
    value = None
    for word, following in itertools.pairwise([*words, ""]):
        if word == name:
            value = following
        elif word.startswith(f"{name}="):
            value = word.partition("=")[2]
    return value


def _completed(name: str, recipe: Recipe, source: initial_weights.Source | None) -> Recipe:
    """Return the recipe with the model's image size filled in from the source of its initial weights."""
    if source is None:
        if recipe.model and recipe.image_size:
            return recipe
        missing = "--model" if not recipe.model else "--image-size"
        raise UserError(
            f"recipe {name} takes {missing} from --init-from, {initial_weights.KINDS}; it was not given. "
            "Recipes such as small need no tagger to begin with"
        )
    if recipe.model and recipe.model != source.model:
        raise UserError(
            f"--init-from {recipe.init_from} is a {source.model}, but the recipe's model is {recipe.model}; "
            f"give --model {source.model}, or use the recipe finetune, which takes the model as it is"
        )
    if not recipe.model and recipe.model_overrides():
        flags = ", ".join(map(flag, recipe.model_overrides()))
        raise UserError(
            f"the model of {recipe.init_from} is taken as it is, so {flags} cannot be set; give --model "
            f"{source.model} and all options it was built with to build it again"
        )
    return dataclasses.replace(recipe, image_size=recipe.image_size or source.image_size)


@functools.cache
def _flags() -> list[str]:
    """Return every flag: one for each field, and the negative of each switch."""
    flags = [flag(field.name) for field in _fields()]
    return [*flags, *(f"--no-{name[2:]}" for name in flags if name in _switches()), "--help", "-h"]


@functools.cache
def _switches() -> set[str]:
    """Return the flags that take no value."""
    return {flag(field.name) for field in _fields() if field.type is bool}


def _fields() -> list[dataclasses.Field]:
    arguments = [field for field in dataclasses.fields(Arguments) if field.name in NOT_OF_THE_RECIPE]
    return [*dataclasses.fields(Recipe), *arguments]


def _normalized(words: list[str]) -> list[str]:
    """Return the words as tyro wants them.

    W&B's agents write ``--learning_rate=0.1``, ``--flip=False`` and ``--crop=[0.9, 1.0]``.
    """
    # Flags have dashes; only the name may be changed, not the value.
    words = [re.sub(r"^--[^=]*", lambda match: match[0].replace("_", "-"), word) for word in words]
    normalized: list[str] = []
    for word in words:
        name, equals, value = word.partition("=")
        # A switch and its value as two words, ``--flip False``, are joined first.
        if normalized and normalized[-1] in _switches() and word.lower() in ("true", "false"):
            name, equals, value = normalized.pop(), "=", word
        if equals and name in _switches() and value.lower() in ("true", "false"):
            normalized.append(name if value.lower() == "true" else f"--no-{name[2:]}")
        elif equals and isinstance(value_of(value), (list, tuple)) and value[0] in "[(":
            normalized += [name, *map(str, value_of(value))]
        else:
            normalized.append(word)
    return normalized


@contextlib.contextmanager
def _one_paragraph(words: list[str], hint: str) -> Iterator[None]:
    """Turn the box in which tyro reports a mistake into a UserError of one paragraph."""
    stderr = io.StringIO()
    try:
        with contextlib.redirect_stderr(stderr):
            yield
    except SystemExit as stop:
        if not stop.code:
            raise
        # The box has a title, the message and a closing rule; without UTF-8 a rule follows the title.
        _, *lines = [line.strip("│ ") for line in stderr.getvalue().strip().splitlines()]
        begin = 1 if _BOX_RULE.fullmatch(lines[0]) else 0
        message = itertools.takewhile(lambda line: not _BOX_RULE.fullmatch(line), lines[begin:])
        text = " ".join(message).rstrip(".")
        if malformed := re.match(r"Error parsing (--[\w-]+):", text):
            text = _malformed(malformed[1], words)
        raise UserError(f"{text} ({hint})") from None


def _malformed(name: str, words: list[str]) -> str:
    """Return what the values of a flag have to be, and what they are."""
    (kind,) = (field.type for field in _fields() if flag(field.name) == name)
    begin = max(place for place, word in enumerate(words) if word.partition("=")[0] == name)
    given = [word.partition("=")[2] for word in words[begin : begin + 1] if "=" in word]
    given += itertools.takewhile(lambda word: not word.startswith("--"), words[begin + 1 :])
    return f"{name} must be {_kind(kind)}; got {' '.join(given)!r}"


def _kind(kind: Any) -> str:
    """Return what the values of a type are called: "a whole number or None" of ``int | None``."""
    if typing.get_origin(kind) is Annotated:
        return _kind(typing.get_args(kind)[0])
    parts = typing.get_args(kind)
    if typing.get_origin(kind) is tuple:
        return f"{len(parts)} numbers"
    names: dict[Any, str] = {int: "a whole number", float: "a number", type(None): "None"}
    return " or ".join(names.get(part) or part.__name__ for part in parts or (kind,))
