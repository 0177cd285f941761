"""README.md and the pages of docs/ are true: every command exists, every flag is known; README is short."""

import importlib
import io
import pathlib
import re
import shlex
import subprocess
from contextlib import redirect_stdout

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
GUIDES = [*sorted(ROOT.glob("docs/*.md")), *sorted(ROOT.glob("docs/tutorials/*.md"))]
PAGES = [README, *(page.read_text(encoding="utf-8") for page in GUIDES)]


def commands():
    """The lines of the pages' bash blocks, continuations joined, comments dropped."""
    for block in re.findall(r"```bash\n(.*?)```", "\n".join(PAGES), flags=re.S):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            if words:
                yield words


def python_commands():
    """Each command once, however many pages show it."""
    seen = [words for words in commands() if words[0] == "python" and words[1].endswith(".py")]
    return [words for place, words in enumerate(seen) if words not in seen[:place]]


def help_of(script, first):
    """The help of a command, and of the part that its first word names."""
    text = io.StringIO()
    module = importlib.import_module(script.removesuffix(".py").replace("/", "."))
    with redirect_stdout(text):
        for words in (["--help"], [first, "--help"]):
            module.main(words)
    return text.getvalue()


def test_the_pages_have_python_commands():
    assert len(python_commands()) >= 50


def test_the_readme_is_short():
    assert len(README.splitlines()) <= 150


def unknown_flags(words):
    """The flags of a command, as words from `python` on, that its help does not have."""
    text = help_of(*words[1:3])
    flags = [word.split("=")[0] for word in words[2:] if word.startswith("-")]
    return [flag for flag in flags if not re.search(rf"(?<![\w-]){re.escape(flag)}(?![\w-])", text)]


@pytest.mark.parametrize("words", python_commands(), ids=" ".join)
def test_every_flag_of_every_command_is_known(words):
    assert unknown_flags(words) == []


def test_every_flag_that_prose_names_is_known():
    """In code spans of README and docs/, outside blocks: flags of some command, or of another program."""
    of_other_programs = {"--graph", "--max-examples", "--skip-covered", "--durations", "--no-deps"}
    prose = re.sub(r"```.*?```", "", "\n".join(PAGES), flags=re.S)
    flags = {
        flag
        for span in re.findall(r"`[^`]+`", prose)
        for flag in re.findall(r"(?<![\w-])--[a-z][\w-]+", span)
    }
    tools = [f"tools/{path.name}" for path in ROOT.glob("tools/[a-z]*.py")]
    parts = [path.stem for path in ROOT.glob("tools/bench_parts/[a-z]*.py")]
    firsts = [
        ("train.py", "finetune"),
        *((tool, "") for tool in tools),
        *(("tools/bench.py", part) for part in parts),
    ]
    known = set(re.findall(r"--[a-z][\w-]+", "\n".join(help_of(script, first) for script, first in firsts)))
    assert len(flags) >= 60
    assert sorted(flags - known - of_other_programs) == []


def test_every_make_target_exists():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.M))
    named = {words[1] for words in commands() if words[0] == "make"}
    assert {"demo", "demo-labels", "test"} <= named <= targets


def test_make_help_names_every_target_that_people_call():
    shown = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    named = set(re.findall(r"make ([a-z-]+)", shown))
    phony = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), flags=re.M)[1].split()
    assert named == {*phony} - {"help", "about-demo", "clean"}


def test_every_flag_in_the_makefile_is_known():
    """What `make demo` and `make demo-labels` would run; a flag that a tool lost would be seen too late."""
    words = ["make", "-n", "-o", ".venv/.installed", "DEMO=nowhere", "demo", "demo-labels", "own"]
    words += ["IMAGES=somewhere/pictures/", "FROM=owner/name"]
    shown = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    shown_lines = shown.replace("\\\n", " ").splitlines()
    lines = [shlex.split(line) for line in shown_lines if re.match(r"\S*bin/python ", line)]
    seen = {(*line[:3], *sorted(word for word in line if word.startswith("-"))): line for line in lines}
    assert len(lines) >= 40
    assert {line[1]: unknown_flags(line) for line in seen.values()} == {line[1]: [] for line in lines}


def test_a_tagger_of_ones_own_is_made_in_order_and_needs_both_names():
    """`make own`: each step reads what the one before wrote, under own/ and the name of the pictures."""
    words = ["make", "-n", "-o", ".venv/.installed", "own", "IMAGES=somewhere/pictures/", "FROM=owner/name"]
    shown = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    steps = re.findall(r"^\S*bin/python (\S+)", shown, flags=re.MULTILINE)
    assert steps == [
        "tools/select_tags.py", "tools/write_records.py", "train.py", "tools/predict.py",
        "tools/find_thresholds.py", "tools/audit_labels.py", "tools/make_report.py",
    ]  # fmt: skip
    assert "own/pictures/run" in shown
    words = ["make", "-o", ".venv/.installed", "OWN=/nowhere/x", "own"]
    missing = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert missing.returncode == 2
    assert "error: make own IMAGES=" in missing.stderr


def test_a_tagger_of_ones_own_goes_on_only_with_the_words_it_was_begun_with(tmp_path):
    """Another FROM, or another folder of the same name, would give the first one's tagger without a word."""
    (tmp_path / "begun_with").write_text("IMAGES=/a/pictures FROM=owner/name\n")

    def make(*words):
        words = ["make", "-n", "-o", ".venv/.installed", f"OWN={tmp_path}", "own", *words]
        return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)

    # A dry run of make shows the test that the recipe would make.
    shown = make("IMAGES=/b/my pictures/", "FROM=owner/name").stdout
    check = next(line for line in shown.splitlines() if "begun_with" in line)
    refused = subprocess.run(["sh", "-c", check], capture_output=True, text=True, check=False)
    assert refused.returncode == 2
    assert (
        f"error: {tmp_path} was begun with other words: IMAGES=/a/pictures FROM=owner/name" in refused.stderr
    )
    check = next(
        line
        for line in make("IMAGES=/a/pictures/", "FROM=owner/name").stdout.splitlines()
        if "begun_with" in line
    )
    assert subprocess.run(["sh", "-c", check], check=False).returncode == 0


def test_a_tagger_of_ones_own_begins_anew_where_no_pictures_were_selected(tmp_path):
    """Mistyped words are none to go on with. The shell runs what make shows, with a command that fails."""
    folder = tmp_path / "own"
    words = ["make", "-n", "-o", ".venv/.installed", "PY=false", f"OWN={folder}", "own", "IMAGES=/", "FROM=x"]
    shown = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    select = next(line for line in shown.splitlines() if "select_tags" in line)
    folder.mkdir()
    (folder / "begun_with").touch()
    assert subprocess.run(["sh", "-c", select], check=False).returncode == 2
    assert not (folder / "begun_with").exists()
    folder.rmdir()
    folder.touch()
    words = ["make", "-o", ".venv/.installed", f"OWN={folder}", "own", "IMAGES=/", "FROM=x"]
    refused = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert f"error: OWN={folder} is a file" in refused.stderr


def test_the_makefile_trains_with_the_same_seeds_before_and_after():
    """Every run of demo-labels: which seed and fold, on which dataset."""
    words = ["make", "-n", "-o", ".venv/.installed", "DEMO=nowhere", "demo-labels"]
    shown = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    runs = re.findall(r"train.py demo (?:--seed (\d) )?--dataset (\S+)(?: --fold (\S+))?", shown)
    old, new = "nowhere/dataset", "nowhere/labels/dataset"
    before, after = [("", old, ""), ("1", old, ""), ("2", old, "")], [(seed, new, "") for seed in "012"]
    assert sorted(runs) == sorted([*before, *after, *(("", old, f"{fold}/3") for fold in range(3))])
