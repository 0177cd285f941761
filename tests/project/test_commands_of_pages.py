"""Every command of README and docs/ runs, in a folder that holds small versions of what it names."""

import pathlib
import re
import shlex
import shutil

import pytest
from helpers import page_world, small_hub

from Utils.serving import http_server

ROOT = pathlib.Path(__file__).resolve().parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
PAGES = [path.relative_to(ROOT).as_posix() for path in DOCUMENTS if "```bash" in path.read_text("utf-8")]
# Pages whose blocks follow one another; of the others each block begins anew.
IN_ORDER = {"docs/own-pictures.md"} | {page for page in PAGES if "/tutorials/" in page}
# Commands that are not run here, by a pattern: the test that runs their like, or why nothing does.
ELSEWHERE = {
    r"^make demo( |$)": "tests/project/test_demo.py",
    r"^(make|PIP_CONSTRAINT=)": "tests/project/test_readme.py",
    r"^(pip|python3.11|export|ray|source)": "installs, or sets the environment",
    r"^curl": "tests/tools/test_serve.py",
    r"--topology": "tests/training/test_topology.py",
    r"tools/bench.py": "tests/tools/test_bench.py",
    r"tools/studies/accelerator.py": "tests/tools/studies/test_accelerator.py",
    r"gs://pictures": "tests/tools/test_places.py",
    r"gs://bucket": "tests/train/test_remote.py",
    r"train.py siglip2_b16": "tests/recipe/test_recipes.py",
    r"NFNetL1V1-100": "tests/models/porting/test_original_zoo.py",
    r"tools/pareto.py results/mine.csv": "tests/tools/test_pareto.py",  # it needs what bench.py adds
    r"tools/sweep.py": "tests/tools/test_sweep.py",
    r"tools/render_results.py": "tests/tools/test_render_results.py",
}
# The small booru has lower ids and fewer tags than the examples; SOURCE is the reader's tagger.
STAND_INS = {"8000000": "5450000", "SOURCE": "runs/base", "-s 2000": "-s 20", "--images 3000": "--images 60"}
LOOP = r"^for (\w+) in ([^;\n]+); do\n(.*?)^done\n"


def elsewhere(command):
    """Where a command is tested that is not run here; None for those that are."""
    return next((place for pattern, place in ELSEWHERE.items() if re.search(pattern, command)), None)


def blocks(page):
    """The commands of each bash block of a page, one text each, loops unrolled."""
    for block in re.findall(r"```bash\n(.*?)```", (ROOT / page).read_text("utf-8"), flags=re.S):
        text = block.replace("\\\n", " ")
        for variable, values, body in re.findall(LOOP, text, flags=re.S | re.M):
            unrolled = "".join(body.replace(f"${variable}", value) for value in values.split())
            text = text.replace(f"for {variable} in {values}; do\n{body}done\n", unrolled)
        yield [line.strip() for line in text.splitlines() if shlex.split(line, comments=True)]


def test_what_is_not_run_here_is_tested_elsewhere():
    commands = [command for page in PAGES for block in blocks(page) for command in block]
    assert len([command for command in commands if elsewhere(command) is None]) >= 90
    for pattern, place in ELSEWHERE.items():
        assert any(re.search(pattern, command) for command in commands), f"{pattern}: no page has it any more"
        assert not place.startswith("tests/") or (ROOT / place).is_file(), place


def shortened(words):
    """The words of a command with what makes it quick: a small model, two steps, a free port."""
    script, *rest = words
    if script in ("tools/serve.py", "tools/review_labels.py"):
        return [*([script, *rest] if "--port" not in rest else words[: words.index("--port")]), "--port", "0"]
    if script == "train.py" and "--dry-run" not in rest:
        small = [*page_world.STEPS.split(), *("" if rest[0] == "finetune" else page_world.MODEL).split()]
        batch = [] if "--batch-size-per-device" in rest else ["--batch-size-per-device", "4"]
        return [script, *rest, *small, *batch]
    return words


def remove_output(words):
    """Remove what an earlier block has left at the place of a command's output."""
    places = [words[words.index(flag) + 1] for flag in ("-o", "--run-dir") if flag in words]
    if words[0] == "tools/make_demo_booru.py":
        places.append(words[1])
    for place in map(pathlib.Path, [] if "--overwrite" in words else places):
        if place.is_dir():
            shutil.rmtree(place)
        place.unlink(missing_ok=True)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    page_world.make(folder)
    return folder


def new_workspace(world, place):
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(world, place, symlinks=True)


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_every_command_of_a_page_runs(page, world, tmp_path, monkeypatch, capsys):
    place = tmp_path / "workspace"
    new_workspace(world, place)
    monkeypatch.setattr(http_server, "run", lambda server: server.close())
    release = world / "releases" / "convnext_t"
    models = dict.fromkeys(("SmilingWolf/wd-vit-tagger-v3", "owner/name"), release)
    if page != "docs/tutorials/releasing.md":  # which makes it
        models["owner/drawn-tagger"] = release
    with small_hub.serving(models, uploads=tmp_path / "hub") as (url, _):
        small_hub.use(monkeypatch, url, tmp_path / "home")
        monkeypatch.setenv("HF_TOKEN", "write")
        for number, block in enumerate(blocks(page)):
            if number and page not in IN_ORDER:
                monkeypatch.chdir(tmp_path)
                new_workspace(world, place)
            monkeypatch.chdir(place)
            for command in block:
                if elsewhere(command):
                    continue
                for name, stand_in in STAND_INS.items():
                    command = re.sub(rf"(?<!\S){name}(?!\S)", stand_in, command)
                words = shlex.split(command, comments=True)
                assert words[0] == "python", command
                words = shortened(words[1:])
                remove_output(words)
                capsys.readouterr()
                assert page_world.run(words) == 0, f"{command}\n{capsys.readouterr().err[-3000:]}"
