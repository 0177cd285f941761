"""Every command with wrong places and wrong files: one ``error:`` paragraph, never a traceback.

The cases are the product of the commands and of what may stand where they expect a file or a folder.
"""

import importlib
import json
import os
import pathlib
import shutil

import pytest
from helpers import small_releases
from helpers.small_dumps import overlapping_dumps

from tools import sweep, write_records
from Utils.command import programs
from Utils.evaluation import results_table
from Utils.serving import http_server

LONG = "x" * 256


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """Two dumps, a booru with its dataset, a release, decisions, an audit; and what is none of them."""
    from helpers import small_dataset

    folder = tmp_path_factory.mktemp("base")
    dataset = small_dataset(folder, records=False, num_posts=40)
    shutil.copytree(dataset, folder / "bare")
    words = [str(dataset), "--images", str(folder / "images"), "--workers", "1"]
    assert write_records.main(words) == 0
    overlapping_dumps(folder)
    tags = "".join(f"{number},tag_{number},0,9\n" for number in range(1, 1 + len(small_releases.WEIGHTS)))
    small_releases.make(folder / "release", tags=tags)
    (folder / "decisions.jsonl").write_text(
        '{"post_id": 1, "tag": "tag_1", "tag_id": 1, "decision": "yes", "time": "2024", "reviewer": "r"}\n'
    )
    (folder / "audit.json").write_text('{\n"tag_1": [1]\n}\n')
    (folder / "truth.csv").write_text("image_id,tags\n1,tag_1\n")
    (folder / "ids.txt").write_text("1\n")
    (folder / "trained.txt").write_text("1\n")
    (folder / "thresholds.csv").write_text("scope,category,tag_id,name,threshold\nall,,,,0.35\n")
    (folder / "groups.csv").write_text(
        "group,post_id,path,distance,parent_id\n1,1,1.jpg,0.0,\n1,2,2.jpg,0.1,\n"
    )
    row = {"run_name": "a", "status": "measured", "images_per_second": 9.0}
    row |= {"category": "all", "from_rank": 0, "F1": 0.5}
    results_table.append(folder / "results.csv", [row])
    (folder / "sweep.yaml").write_text("method: grid\nparameters: {flip: {values: [true, false]}}\n")
    return folder


@pytest.fixture
def exported(base):
    """A run and its release in the base folder, made once: seconds of Keras."""
    if not (base / "exported").exists():
        from helpers import exported_release

        (base / "made").mkdir()
        exported_release.make(base / "made")
        (base / "made" / "run").rename(base / "run")
        (base / "made" / "release").rename(base / "exported")


@pytest.fixture(autouse=True)
def nothing_that_goes_on(monkeypatch):
    """Servers end as soon as they would answer, and no run of a sweep is trained."""
    monkeypatch.setattr(http_server, "run", lambda server: server.close())
    monkeypatch.setattr(sweep.Training, "run", lambda training, words, log: (0, None))


TAGS = "{dataset}/selected_tags.csv"
IMAGES = "--images {images}"
SELECT = "{definition.toml} --source fire-eggs --from {danbooru.db} " + IMAGES
# Command lines that are right. A word in braces is a file or folder that is read, {out} the place written to.
COMMANDS = {
    "analyze_metrics": ["-d {a}", "-d {a} -t 0.5"],
    "answer_audit": ["{audit.json} --truth {truth.csv} --tags " + TAGS + " -o {out}"],
    "apply_decisions": ["{decisions.jsonl} --db {danbooru.db} -o {out}"],
    "audit_labels": ["{a} -o {out}.json", "{a} --operating-point {thresholds.csv} -o {out}.json"],
    "check_images": [IMAGES + " -o {out}"],
    "compare_dumps": ["{a} {b} --resamples 100"],
    "compare_preprocessing": ["{release} --dataset {dataset} " + IMAGES + " --resamples 100 -o {out}"],
    "compare_taggers": [
        "{release} --dataset {dataset} --split train " + IMAGES + " --resamples 20 -o {out}",
        "{release} --labels {danbooru.db} --groups {groups.csv} --trained {release}={trained.txt} "
        "--images {images} --resamples 20 -o {out}",
    ],
    "encode_tags": ["{ids.txt} --source fire-eggs --from {danbooru.db} --tags " + TAGS + " -o {out}"],
    "ensemble": ["{a} {b} -o {out}"],
    "export_model": ["{run} -o {out} --layout full"],
    "find_duplicates": [IMAGES + " --workers 1 -o {out}"],
    "find_thresholds": ["{a} -o {out}"],
    "import_weights": ["{exported} -o {out}.keras"],
    "make_demo_booru": ["{out} --images 2 --workers 1"],
    "make_report": ["{a} -o {out}", "{a} --black {b} -o {out}"],
    "pareto": ["{results.csv} -o {out}.svg"],
    "predict": ["{release} " + IMAGES + " -o {out}"],
    "push_release": ["{exported} owner/name --dry-run"],
    "review_labels": [
        "{audit.json} " + IMAGES + " --db {danbooru.db} --dump {a} --tags " + TAGS + " -o {out} --port 0"
    ],
    "select_tags": [
        SELECT + " -o {out}",
        "{definition.toml} --from {danbooru.db} --images {images} --groups {groups.csv} -o {out}",
    ],
    "serve": ["{release} --thresholds {thresholds.csv} --port 0"],
    "sweep": ["{sweep.yaml} --recipe demo --dataset {dataset} -o {out}"],
    "tag_images": ["{release} {images} --format json -o {out}"],
    "verify_release": ["{exported} --images {images}"],
    "write_records": ["{bare} " + IMAGES + " --workers 1", "{bare} --labels-only --reuse {dataset}"],
}
KERAS = {"export_model", "predict", "import_weights", "verify_release"}  # in `make test-slow`: seconds each
# What stands in place of an input: how it is made at a path.
WRONG = {
    "nothing": lambda path: None,
    "an empty folder": lambda path: path.mkdir(),
    "an empty file": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_text("these are my notes\n\nabout, something else\n"),
    "bytes": lambda path: path.write_bytes(bytes(range(256)) * 20),
    "an object": lambda path: path.write_text('{"a": {"b": [1, 2, null]}}'),
    "a list": lambda path: path.write_text("[1, 2, 3]"),
    "a pipe": lambda path: os.mkfifo(path),
    "a circle of links": lambda path: path.symlink_to(path.name),
    "a folder of folders": lambda path: (path / "a" / "b").mkdir(parents=True),
}


def inputs(words):
    return sorted({word.split("}")[0] for word in words.split("{")[1:]} - {"out"})


def run(capsys, tool, words, base, tmp_path, wrong=None, out="out"):
    """Run a command with one input exchanged; return its exit code and lines of errors."""
    places = {name: base / name for name in inputs(words)} | (wrong or {})
    if places.get("bare") == base / "bare":  # the records are written into it
        places["bare"] = shutil.copytree(base / "bare", tmp_path / "bare", dirs_exist_ok=True)
    text = words.replace("{out}", str(tmp_path / out))
    for name, place in places.items():
        text = text.replace("{" + name + "}", str(place))
    code = importlib.import_module(f"tools.{tool}").main(text.split())
    return code, [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]


CASES = [
    pytest.param(tool, words, id=f"{tool} {number}", marks=[pytest.mark.slow] * (tool in KERAS))
    for tool, lines in COMMANDS.items()
    for number, words in enumerate(lines)
]


def needs_exported(words):
    return not {"exported", "run"}.isdisjoint(inputs(words))


def test_every_command_is_here():
    """`train` is in tests/train, `bench` measures, and what renders documents takes no files."""
    others = {"train", "bench", *(stem for stem in programs.PAGES if stem.startswith("render_"))}
    assert set(COMMANDS) == set(programs.PAGES) - others


RIGHT = [
    pytest.param(tool, words, id=case.id, marks=[*case.marks, *[pytest.mark.slow] * needs_exported(words)])
    for case in CASES
    for tool, words in [case.values]
]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("tool", "words"), RIGHT)
def test_the_command_lines_are_right(base, tmp_path, capsys, request, tool, words):
    """Otherwise an error of theirs would be taken for that of an input that was exchanged."""
    if needs_exported(words):
        request.getfixturevalue("exported")
    assert run(capsys, tool, words, base, tmp_path) == (0, [])


def faults_of_inputs(capsys, tool, words, base, tmp_path):
    for name in inputs(words):
        for kind, make in WRONG.items():
            place = tmp_path / f"wrong {name}".replace(" ", "_")
            make(place)
            try:
                code, errors = run(capsys, tool, words, base, tmp_path, {name: place})
            except BaseException as error:
                yield f"{name} is {kind}: {type(error).__name__}: {error}"
            else:
                # A file that is no picture is set aside; what a release lacks is a finding.
                is_listed = code == 1 and (tool, name) in LISTED
                is_refused = code in (1, 2) and len(errors) == 1
                if not (is_refused or is_listed or (code == 0 and (name, kind) in ACCEPTED)):
                    yield f"{name} is {kind}: exit {code}, {errors}"
            for path in tmp_path.iterdir():
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


# Nothing is wrong with these: a definition or a list of decisions without rows says nothing, and any line may
# be the path of a picture that a tagger was trained on.
ACCEPTED = {
    ("definition.toml", "an empty file"),
    ("decisions.jsonl", "an empty file"),
    *(("trained.txt", kind) for kind in ("text", "an object", "a list")),
}


LISTED = {("tag_images", "images"), ("verify_release", "exported")}


def faults_of_outputs(capsys, tool, words, base, tmp_path):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    (tmp_path / "circle").symlink_to("circle")
    places = [
        "circle",
        "file/below",
        "file",
        "full",
        LONG,
        f"{LONG}/below",
        "full/mine.txt/x/y",
        "\u00e9" * 128,
    ]
    for place in places:
        for flags in ("", " --overwrite"):
            try:
                code, errors = run(capsys, tool, words + flags, base, tmp_path, out=place)
            except BaseException as error:
                yield f"-o {place[:20]}{flags}: {type(error).__name__}: {error}"
                continue
            # A command that appends a suffix writes beside the file or folder: nothing is in its way.
            is_beside = "{out}." in words and code == 0 and place in ("circle", "file", "full")
            if not (is_beside or (code in (1, 2) and len(errors) == 1)):
                yield f"-o {place[:20]}{flags}: exit {code}, {errors}"
            if (tmp_path / "file").read_text() + (tmp_path / "full" / "mine.txt").read_text() != "minemine":
                yield f"-o {place[:20]}{flags}: a user's file has changed"


def faults_of_equal_places(capsys, tool, words, base, tmp_path):
    for name in inputs(words):
        copy = tmp_path / name
        shutil.copytree(base / name, copy) if (base / name).is_dir() else shutil.copy(base / name, copy)
        before = {path: path.read_bytes() for path in [copy, *copy.rglob("*")] if path.is_file()}
        for flags in ("", " --overwrite"):
            try:
                code, errors = run(capsys, tool, words + flags, base, tmp_path, {name: copy}, out=name)
            except BaseException as error:
                yield f"-o is {name}{flags}: {type(error).__name__}: {error}"
                continue
            if any(not path.is_file() or path.read_bytes() != data for path, data in before.items()):
                yield f"-o is {name}{flags}: its input has changed, exit {code}, {errors}"


@pytest.mark.filterwarnings("ignore")
@pytest.mark.reliability("a wrong file or folder in place of any input of a command", "one error, exit 2")
@pytest.mark.parametrize(("tool", "words"), CASES)
def test_wrong_inputs(base, tmp_path, capsys, request, tool, words):
    if tool in KERAS and needs_exported(words):
        request.getfixturevalue("exported")
    assert [*faults_of_inputs(capsys, tool, words, base, tmp_path)] == []


@pytest.mark.filterwarnings("ignore")
@pytest.mark.reliability(
    "an output below a file, over a user's file or folder, with a name too long", "one error, exit 2"
)
@pytest.mark.parametrize(("tool", "words"), [case for case in CASES if "{out}" in case.values[1]])
def test_wrong_outputs(base, tmp_path, capsys, request, tool, words):
    if tool in KERAS and needs_exported(words):
        request.getfixturevalue("exported")
    assert [*faults_of_outputs(capsys, tool, words, base, tmp_path)] == []


@pytest.mark.filterwarnings("ignore")
@pytest.mark.reliability("an output that is an input", "refused, or the input stays as it is")
@pytest.mark.parametrize(("tool", "words"), [case for case in CASES if "{out}" in case.values[1]])
def test_the_output_is_an_input(base, tmp_path, capsys, request, tool, words):
    if tool in KERAS and needs_exported(words):
        request.getfixturevalue("exported")
    assert [*faults_of_equal_places(capsys, tool, words, base, tmp_path)] == []


def test_every_tool_that_prints_a_result_prints_it_as_json(base, tmp_path, capsys):
    """`tests/tools/test_TOOL.py` has the values; here each has the flag, and stdout holds one object."""
    for file in (pathlib.Path(__file__).parents[2] / "tools").glob("*.py"):
        # What only makes documents of this repository prints no result; bench has the flag in each part.
        if not file.stem.startswith(("__", "render_", "bench")):
            flags = importlib.import_module(f"tools.{file.stem}").parser().format_help()
            assert "--json" in flags, file.name
    for tool, flags in (
        ("ensemble", "--json"),
        ("encode_tags", "--json --allow-missing"),
        ("tag_images", "--json"),
    ):
        words = COMMANDS[tool][0].replace("--format json", "--format txt")
        text = f"{words} {flags}".replace("{out}", str(tmp_path / tool))
        for name in inputs(words):
            text = text.replace("{" + name + "}", str(base / name))
        assert importlib.import_module(f"tools.{tool}").main(text.split()) == 0
        assert isinstance(json.loads(capsys.readouterr().out), dict)
