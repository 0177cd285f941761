"""The run folder: what is being trained on what, its history, and whether a command may continue it.

``recipe.json selected_tags.csv dataset.json environment.json history.csv checkpoints/ model.keras
best.keras``
"""

import csv
import fcntl
import importlib.metadata
import io
import math
import platform
import sys

from Utils.command.cli import UserError
from Utils.files import atomic, csv_tables
from Utils.files.model_files import RUN_MODELS
from Utils.recipe.recipe import Recipe, read_recipe, write_recipe
from Utils.tags import tag_list

# Fields that may change when a run is continued: they do not touch the steps that are already done.
FREE = ("epochs", "checkpoint_every", "keep_checkpoints", "tracker", "project", "jit_compile")
# Compared through the global batch, so that another number of devices may continue.
DERIVED = ("batch_size_per_device", "steps_per_epoch")
_silent = False
_CLEAR = "\r\033[K"  # back to the beginning of a terminal's line, which is emptied
PACKAGES = ("keras", "tensorflow", "jax", "numpy", "pandas", "opencv-python-headless")


class Run:
    """A run folder, made or continued; within ``with``, no other process can train in it.

    Args:
        folder: where the run is, or will be.
        name: the recipe's name.
        recipe: the Recipe.
        dataset: the Dataset (``.tags``, ``.manifest``).
        facts: what was derived: ``batch_size``, ``steps_per_epoch``, ``records`` and more (JSON values);
            ``contents`` are digests by flag, of what the recipe names only.
        first: False on a host that only reads what the first one has made.

    Raises:
        UserError: the folder is something else, another process trains there, or the run was begun with
            a recipe or dataset that differs in what decides the result.
    """

    def __init__(self, folder, name, recipe, dataset, facts, first=True):
        self.folder = atomic.to_path(folder)
        self.continued = _is_run(self.folder)
        if not (first or self.continued):
            raise UserError(f"all hosts need the same --run-dir; this one sees no run at {self.folder}")
        if self.continued:
            self._require_same(recipe, dataset, facts)
        self.history = History(self.folder / "history.csv", first)
        self._lock = None
        if first:
            self._open(name, recipe, dataset, facts)
        else:
            keep_silent()

    def _open(self, name, recipe, dataset, facts):
        self.folder.mkdir(parents=True, exist_ok=True)
        # Nothing that other file systems have ends with the process that holds it.
        self._lock = None if atomic.is_remote(self.folder) else _lock(self.folder / ".lock")
        self._describe(name, recipe, dataset, facts)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        if self._lock is not None:
            self._lock.close()

    checkpoints = property(lambda self: self.folder / "checkpoints", doc="Folder of the checkpoints.")
    last = property(lambda self: self.folder / RUN_MODELS["last"], doc="The last state's model.")
    best = property(lambda self: self.folder / RUN_MODELS["best"], doc="The model of the best validation F1.")

    def _require_same(self, recipe, dataset, facts):
        _, old = read_recipe(self.folder / "recipe.json")
        old = {**Recipe().to_dict(), **old}  # fields that came after the run was begun
        new = recipe.to_dict()
        fields = [field for field in {**old, **new} if field not in FREE + DERIVED]
        before = atomic.read_json(self.folder / "environment.json")
        lines = [_difference(f"--{name.replace('_', '-')}", old.get(name), new.get(name)) for name in fields]
        for fact in ("batch_size", "steps_per_epoch", "records"):
            lines.append(_difference(fact.replace("_", " "), before[fact], facts[fact]))
        lines = list(filter(None, lines))
        for flag, digest in facts.get("contents", {}).items():
            if before.get("contents", {}).get(flag, digest) != digest:
                lines.append(f"what {flag} names has changed")
        manifest = atomic.read_json(self.folder / "dataset.json")
        for split in ("train", "validation"):
            if _shards(manifest, split) != _shards(dataset.manifest, split):
                lines.append(f"the dataset has other {split} records")
        if tag_list.digest(tag_list.read(self.folder / "selected_tags.csv")) != tag_list.digest(dataset.tags):
            lines.append("the dataset has another tag list")
        if lines:
            raise UserError(
                f"{self.folder} holds a run that differs: {'; '.join(lines)}. Continue it with what it was "
                "begun with (only epochs, checkpoints and the tracker may change), or give another --run-dir"
            )
        if recipe.epochs < old["epochs"]:
            raise UserError(
                f"--epochs may rise, not fall, when a run is continued; {self.folder} was begun with "
                f"{old['epochs']}, got {recipe.epochs}. best.keras holds its best state so far"
            )

    def _describe(self, name, recipe, dataset, facts):
        made = {**facts, **_environment(), **atomic.provenance()}
        place = self.folder / "environment.json"
        if self.continued:
            first = atomic.read_json(place)
            made = {**first, "continued": [*first.get("continued", []), made]}
        else:
            tag_list.write(dataset.tags, self.folder / "selected_tags.csv")
            atomic.write_json(self.folder / "dataset.json", dataset.manifest)
        atomic.write_json(place, made)
        write_recipe(self.folder / "recipe.json", name, recipe)  # last: it makes the folder a run


def _is_run(folder):
    if (folder / "recipe.json").is_file():
        return True
    begun = {"selected_tags.csv", "dataset.json", "environment.json", ".lock"}  # killed while it was made
    if folder.exists() and not folder.is_dir():
        raise UserError(f"--run-dir must be a folder; {folder} is a file")
    found = {item.name for item in folder.iterdir()} if folder.exists() else set()
    foreign = sorted(name for name in found - begun if ".part" not in name)
    if foreign:
        raise UserError(
            f"{folder} is no run (it has no recipe.json) and holds {', '.join(foreign[:3])}; "
            "give another --run-dir"
        )
    return False


def _lock(path):
    """Hold the folder until this process ends, however it ends."""
    file = path.open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise UserError(f"another process trains in {path.parent}; wait, or give another --run-dir") from None
    return file


def _shards(manifest, split):
    """Return how many records every shard of a split has, and its SHA-256 where that is known."""
    shards = (manifest.get("records") or {}).get(split, {}).get("shards", [])
    return [(shard.get("records"), shard.get("sha256")) for shard in shards]


def _difference(what, before, now):
    return f"{what} was {before}, is {now}" if before != now else None


def _environment():
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = None
    python, machine = platform.python_version(), platform.platform()
    return {"python": python, "machine": machine, "packages": versions}


class History:
    """``history.csv``: one row an epoch, whole at any moment, never two rows of one epoch.

    Unless ``writes`` the rows are kept in memory only: another host writes them.
    """

    def __init__(self, path, writes=True):
        self.path, self.writes = path, writes
        self.rows = []
        if path.is_file():
            rows = csv.DictReader(io.StringIO(path.read_text(encoding="utf-8")))
            self.rows = [{key: _number(text) for key, text in row.items()} for row in rows]

    def keep(self, epochs):
        """Forget rows after this many epochs: what the newest whole checkpoint does not know of."""
        if len(self.rows) > epochs:
            self.rows = self.rows[:epochs]
            self._write()

    def append(self, row):
        """Add the row of an epoch and write the file."""
        self.rows.append(row)
        self._write()

    def best(self, key):
        """Return the highest value of a column so far as it is written, -inf where there is none."""
        values = [written(row[key]) for row in self.rows if isinstance(row.get(key), (int, float))]
        return max((value for value in values if not math.isnan(value)), default=-math.inf)

    def _write(self):
        if not self.writes:
            return
        names = list(dict.fromkeys(name for row in self.rows for name in row))
        csv_tables.write_rows(
            self.path, names, ([_text(row.get(name, "")) for name in names] for row in self.rows)
        )


def written(value):
    """Return a number as the history gives it back: a run that was continued finds the same ties."""
    return float(_text(float(value)))


def _text(value):
    return f"{value:.7g}" if isinstance(value, float) else value


def _number(text):
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def say(text):
    """Print a line for the person who watches, on stderr; of several hosts only the first one does."""
    if not _silent:
        print(f"{_CLEAR if sys.stderr.isatty() else ''}{text}", file=sys.stderr, flush=True)


def show(text):
    """Show a line on a terminal until the next one takes its place; elsewhere say it."""
    if not sys.stderr.isatty():
        say(text)
    elif not _silent:
        print(f"{_CLEAR}{text}", end="", file=sys.stderr, flush=True)


def keep_silent():
    """Have ``say`` say nothing in this process from now on: it is a host, but not the first one."""
    global _silent
    _silent = True
