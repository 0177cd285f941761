"""Commands that are killed at random moments; run by test_kills.py in a process of its own.

``killed_commands.py FOLDER SEED MOMENTS COMMAND...`` prints one JSON object: what went wrong with each
command. Each command runs undisturbed first, for a new output and over an old one: that gives the
bytes to expect, the time it takes and the number of its changes to files. Then it is killed by SIGKILL, at
a time or before a change, both drawn from SEED; what lies under the output's name is looked at, and the
command runs once more.

Every run is a process, forked after the imports of the command.
"""

import dataclasses
import hashlib
import importlib
import json
import os
import pathlib
import random
import shutil
import signal
import sys
import time
import traceback
import zipfile
from collections.abc import Callable

import helpers
from helpers.drawn_images import drawing
from Utils.images import codec

CHANGES = {"os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.truncate", "os.link", "os.symlink"}
WEIGHTS = "model.weights.h5"  # of .keras files; the other members hold the time and numbers of objects
RESUMED = (
    ".out.jsonl.journal",
    ".out.json.parts",
    ".out.json.lock",
)  # may lie beside a whole output; --overwrite uses them up
WRITES = os.O_WRONLY | os.O_RDWR


@dataclasses.dataclass(frozen=True)
class Command:
    """A command to be killed.

    Args:
        prepare: makes the inputs in a folder.
        words: of the new output, ``{in}`` and ``{out}`` standing for folders.
        other_words: what differs for the old output, appended.
        outputs: the paths of the outputs in ``{out}``.
        imports: modules beside the tool's own that it imports late.
        begun: makes what the command works on in ``{out}``.
    """

    tool: str
    prepare: Callable[[pathlib.Path], None]
    words: str
    other_words: str
    outputs: tuple[str, ...] = ("out",)
    imports: tuple[str, ...] = ()
    begun: Callable[[pathlib.Path, pathlib.Path], object] | None = None

    def argv(self, folder, is_old=False, overwrite=False):
        """Return the words for a folder that has the inputs and the output."""
        words = f"{self.words} {self.other_words if is_old else ''}".split()
        places = {"in": folder / "in", "out": folder / "work", "age": "old" if is_old else "new"}
        places["dump"] = "b" if is_old else "a"
        return [word.format(**places) for word in words] + ["--overwrite"] * overwrite


def make_nothing(folder):
    """For a command without inputs."""


def make_dumps(folder):
    """Two dumps, a booru's database, decisions."""
    from helpers.small_dumps import overlapping_dumps

    overlapping_dumps(folder)


def make_booru(folder):
    """A booru."""
    helpers.small_booru(folder, num_posts=24)


def make_copies(folder):
    """Pictures, two of which are one."""
    (folder / "images").mkdir()
    for seed, quality in ((1, 95), (1, 50), (2, 95)):
        picture = codec.encode_jpeg(drawing(seed, 128, 128), quality)
        (folder / "images" / f"{seed}{quality}.jpg").write_bytes(picture)


def make_database_and_decisions(folder):
    """A booru's database and two files of decisions."""
    from Utils.labels import decisions

    helpers.small_booru(folder, num_posts=24)
    for name, answer in (("new", "yes"), ("old", "no")):
        with (folder / f"{name}.jsonl").open("wb") as file:
            decisions.append(file, decisions.Decision(1, "tag_12", 12, answer, "2026-01-01T00:00:00Z", "ann"))


def make_dataset_to_pack(folder):
    """A dataset without records."""
    helpers.small_dataset(folder, records=False, num_posts=24)


def copy_dataset(inputs, work):
    """Put that dataset where it is packed."""
    shutil.copytree(inputs / "dataset", work / "out")


def make_release(folder):
    """A release and pictures."""
    from helpers import small_releases

    helpers.small_booru(folder, num_posts=12)
    small_releases.make(folder / "release")


def make_model(folder):
    """A model with its tags, and pictures."""
    import Models

    make_release(folder)
    Models.build("ResNet/test", image_size=32, num_labels=9).save(folder / "model.keras")


def make_timm(folder):
    """Two folders of timm."""
    from helpers.timm_folders import folder_of

    folder_of("resnet18", folder / "new")
    folder_of("resnet50", folder / "old")


PICTURES = "--images {in}/images"
COMMANDS = {
    "make_demo_booru": Command("make_demo_booru", make_nothing,
        "{out}/out --images 3 --workers 1", "--seed 1"),
    "select_tags": Command("select_tags", make_booru,
        "{in}/definition.toml --source fire-eggs --from {in}/danbooru.db " + PICTURES + " -o {out}/out",
        "--write-lists"),
    "write_records": Command("write_records", make_dataset_to_pack,
        "{out}/out " + PICTURES + " --workers 1 --shard-size 6", "--seed 1", begun=copy_dataset),
    "ensemble": Command("ensemble", make_dumps, "{in}/a {in}/b -o {out}/out", "--weights 1 2"),
    "make_report": Command("make_report", make_dumps, "{in}/a -o {out}/out", "--black {in}/a"),
    "find_thresholds": Command("find_thresholds", make_dumps,
        "{in}/a -o {out}/out.csv", "--rule max-f1", ("out.csv",)),
    "audit_labels": Command("audit_labels", make_dumps, "{in}/{dump} -o {out}/out.json --also-wrong", "",
        ("out.json", "out.csv", "out_wrong.json")),
    "find_duplicates": Command("find_duplicates", make_copies,
        PICTURES + " -o {out}/out.csv --workers 1", "--limit 0.001", ("out.csv",)),
    "apply_decisions": Command("apply_decisions", make_database_and_decisions,
        "{in}/{age}.jsonl --db {in}/danbooru.db -o {out}/out.db", "", ("out.db", "out.patch.jsonl")),
    "tag_images": Command("tag_images", make_release,
        "{in}/release {in}/images --format json -o {out}/out.jsonl", "--threshold 0.9", ("out.jsonl",)),
    "predict": Command("predict", make_model,
        "{in}/model.keras --tags {in}/release/selected_tags.csv " + PICTURES + " -o {out}/out",
        "--padding black", imports=("Models", "Utils.training.devices")),
    "export_model": Command("export_model", make_model,
        "{in}/model.keras --tags {in}/release/selected_tags.csv --layout full -o {out}/out", "--embedding",
        imports=("Models", "Utils.release.release_folder", "Utils.release.formats")),
    "import_weights": Command("import_weights", make_timm,
        "{in}/{age} -o {out}/out.keras --set stochastic_depth=0", "", ("out.keras",),
        imports=("Models", "Models.porting.timm_folder")),
}  # fmt: skip


# ---- runs


def run(main, argv, log, at_change=None, seconds=None):
    """Run a command in a process of its own; return its exit code (-9: killed), seconds and changes."""
    reader, writer = os.pipe()
    started = time.monotonic()
    child, code = os.fork(), 70
    if child == 0:
        code = 70
        file = os.open(log, os.O_CREAT | os.O_TRUNC | os.O_WRONLY)
        os.dup2(file, 1)
        os.dup2(file, 2)
        try:
            changes = count_changes(at_change)
            code = main(argv) or 0
            os.write(writer, str(changes[0]).encode())
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    os.close(writer)
    if seconds is not None:
        time.sleep(seconds)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    with os.fdopen(reader, "rb") as pipe:
        changes = int(pipe.read() or 0)
    return os.waitstatus_to_exitcode(status), time.monotonic() - started, changes


def count_changes(last):
    """Count this process's changes to files from now on, in a list of one; die before number ``last``."""
    changes = [0]

    def hook(event, arguments):
        if event in CHANGES or (event == "open" and (arguments[2] or 0) & WRITES):
            changes[0] += 1
            if changes[0] == last:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)
    return changes


# ---- what is there


def digest(path):
    """Return the SHA-256 of a file; of a .keras file that of its weights, or an empty text.

    A release states measured differences, whose last digits depend on threads: of those files only the kind.
    """
    data = path.read_bytes()
    if path.name == "release.json":
        data = " ".join(json.loads(data)).encode()
    elif path.name == "README.md":
        data = data[:3]
    if path.suffix == ".keras":
        if not zipfile.is_zipfile(path):
            return ""
        with zipfile.ZipFile(path) as file:
            data = file.read(WEIGHTS)
    return hashlib.sha256(data).hexdigest()


def tree(place):
    """Return ``{path: digest}`` of an output; None where there is none."""
    if place.is_file():
        return {"": digest(place)}
    files = [path for path in sorted(place.rglob("*")) if path.is_file()] if place.is_dir() else []
    return {path.relative_to(place).as_posix(): digest(path) for path in files} or None


def packed(place):
    """Return the tree of a dataset without notes of progress; None where it has no records yet."""
    manifest = place / "dataset.json"
    if not manifest.is_file() or not json.loads(manifest.read_bytes())["records"]:
        return None
    return {name: text for name, text in (tree(place) or {}).items() if not name.startswith(".progress/")}


def names_of(work):
    """Return what lies beside and under an output, with what is hidden."""
    return sorted(path.relative_to(work).as_posix() for path in work.rglob("*"))


# ---- kills


class Killed:
    """One command in one mode, over an old output or for a new one."""

    def __init__(self, command, folder, overwrite):
        self.command, self.folder, self.overwrite = command, folder, overwrite
        self.main = importlib.import_module(f"tools.{command.tool}").main
        self.work, self.old_work, self.log = folder / "work", folder / "old", folder / "log"
        self.view = packed if command.tool == "write_records" else tree
        self.old = self.run_undisturbed(is_old=True) if overwrite else [None] * len(command.outputs)
        if overwrite:
            self.work.rename(self.old_work)
            self.begin()
        self.new = self.run_undisturbed()
        if None in self.new or any(old == new for old, new in zip(self.old, self.new, strict=True)):
            raise RuntimeError(f"{command.tool}: the old output is to differ from the new one")
        self.names = names_of(self.work)

    def begin(self):
        """Restore what is there before the command runs."""
        shutil.rmtree(self.work, ignore_errors=True)
        if self.overwrite and self.old_work.exists():
            shutil.copytree(self.old_work, self.work, symlinks=True)
        else:
            self.work.mkdir()
            if self.command.begun:
                self.command.begun(self.folder / "in", self.work)

    def run(self, overwrite=None, **moment):
        """Run it over what is there; return exit code, seconds, changes."""
        overwrite = self.overwrite if overwrite is None else overwrite
        return run(self.main, self.command.argv(self.folder, overwrite=overwrite), self.log, **moment)

    def run_undisturbed(self, is_old=False):
        """Run it for an old or new output, note time and changes; return the trees of the outputs."""
        if is_old or not self.overwrite:
            self.begin()
        argv = self.command.argv(self.folder, is_old, self.overwrite and not is_old)
        code, self.seconds, self.changes = run(self.main, argv, self.log)
        if code:
            raise RuntimeError(f"{self.command.tool} failed: {self.log.read_text()[-2000:]}")
        return self.trees()

    def trees(self):
        """Return the tree of every output."""
        return [self.view(self.work / name) for name in self.command.outputs]

    def kill(self, draw):
        """Kill it once and let it run again; return the moment and what is wrong.

        A run may be quicker than the one whose time was taken: then an earlier moment is tried.
        """
        if draw.random() < 0.3:
            moment = {"seconds": draw.uniform(0, self.seconds)}
        else:
            moment = {"at_change": draw.randint(1, self.changes)}
        code = 0
        while code == 0:
            self.begin()
            code, *_ = self.run(**moment)
            if code == 0:
                ((kind, value),) = moment.items()
                moment = {kind: value / 2 if kind == "seconds" else max(1, value // 2)}
        wrong = [] if code == -9 else [f"it ended with {code}: {self.log.read_text()[-500:]}"]
        return moment, wrong + self.faults()

    def faults(self):
        """Return what is wrong after a kill, and after the next run."""
        faults, trees, places = (
            [],
            self.trees(),
            list(zip(self.command.outputs, self.old, self.new, strict=True)),
        )
        for (name, old, new), content in zip(places, trees, strict=True):
            if content not in (old, new) and content is not None:
                faults.append(f"{name} is neither the old output nor the new one, but {sorted(content)}")
        if self.overwrite and None in trees:
            # Renamed aside: the next run puts it back, whatever it is asked to do.
            code, *_ = self.run(overwrite=False)
            if code != 2 or self.trees()[0] != self.old[0]:
                faults.append("the old output is gone")
        is_whole = trees[0] == self.new[0] and not self.overwrite
        code, *_ = self.run()
        if code not in ((0, 2) if is_whole else (0,)):
            faults.append(f"the next run ended with {code}: {self.log.read_text()[-500:]}")
        if self.trees() != self.new:
            faults.append("the next run does not end as an undisturbed one")
        left = set(names_of(self.work)) - set(self.names)
        left -= {name for name in left if is_whole and name.startswith(RESUMED)}
        if left:
            faults.append(f"left over: {sorted(left)}")
        return faults


def main(folder, seed, moments, *names):
    """Kill commands and print how that went."""
    results = {}
    for name in names or COMMANDS:
        command, place = COMMANDS[name], pathlib.Path(folder, name)
        (place / "in").mkdir(parents=True)
        for module in (f"tools.{command.tool}", *command.imports):
            importlib.import_module(module)
        # In a process of its own, too: threads and locks of libraries do not survive a fork.
        if run(command.prepare, place / "in", place / "log")[0]:
            raise RuntimeError((place / "log").read_text()[-3000:])
        faults = []
        for overwrite in (False, True):
            draw = random.Random(f"{seed} {name} {overwrite}")
            shutil.rmtree(place / "work", ignore_errors=True)
            killed = Killed(command, place, overwrite)
            for _ in range(int(moments)):
                moment, wrong = killed.kill(draw)
                faults += [f"{'--overwrite, ' * overwrite}{moment}: {fault}" for fault in wrong]
        results[name] = faults
    print(json.dumps(results))


if __name__ == "__main__":
    main(*sys.argv[1:])
