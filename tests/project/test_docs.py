"""Pages for people are true: links lead to files, files they name exist, wings are those of the tests."""

import pathlib
import re

import pandas as pd
import yaml

import train
from Utils.recipe.recipe import recipe_names

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("results/*.md")])
GONE = {"tools/agc_grid.py", "Models/layers/Base.py"}  # named as what is no longer here
NAMED = re.compile(r"`((?:Models|Generators|Utils|tools|tests|docs|results)/[\w./-]*)")


def test_every_link_leads_to_a_file():
    broken = [
        f"{page.relative_to(ROOT)}: {link}"
        for page in PAGES
        for link in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text(encoding="utf-8"))
        if not (page.parent / link).exists()
    ]
    assert not broken, "\n".join(broken)


def test_every_file_that_is_named_exists():
    missing = [
        f"{page.relative_to(ROOT)}: {name}"
        for page in PAGES
        for name in NAMED.findall(page.read_text(encoding="utf-8"))
        if not (ROOT / name).exists() and name not in GONE and not re.search("FAMILY|NAME|MODEL", name)
    ]
    assert not missing, "\n".join(missing)


def test_the_files_that_are_described_are_written_by_the_code():
    """docs/files.md names files; each name stands in a command or in what it uses."""
    text = (ROOT / "docs" / "files.md").read_text(encoding="utf-8")
    names = set(
        re.findall(r"`([a-z_]+\.(?:csv|json|jsonl|npy|png|html|keras|onnx|parquet|toml|safetensors))`", text)
    )
    assert len(names) >= 30
    sources = [path for folder in ("Utils", "tools") for path in (ROOT / folder).rglob("*.py")]
    code = "\n".join(path.read_text(encoding="utf-8") for path in sources)
    chosen_by_people = {"audit.json", "audit.csv", "audit_wrong.json", "decisions.jsonl", "groups.csv"}
    assert sorted(name for name in names - chosen_by_people if name not in code) == []


def test_the_table_of_wings_is_that_of_the_import_rule():
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    table = text[text.index("| wing |") :]
    wings = re.findall(
        r"^(\w+): ", (ROOT / "Utils" / "__init__.py").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert re.findall(r"^\| `(\w+)`", table[: table.index("\n\n")], re.MULTILINE) == wings


def test_every_decision_is_listed():
    folder = ROOT / "docs" / "decisions"
    listed = re.findall(r"\]\(([\w-]+\.md)\)", (folder / "README.md").read_text(encoding="utf-8"))
    assert listed == sorted(path.name for path in folder.glob("[0-9]*.md"))


def test_the_workflow_runs_what_ci_runs():
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())["jobs"]
    commands = [step.get("run") for job in jobs.values() for step in job["steps"]]
    assert "bash .ci/run" in commands


def test_every_flag_for_those_who_come_from_the_original_exists(capsys):
    """The tables name flags of train.py and recipes as they are today."""
    text = (ROOT / "docs" / "coming-from-the-original.md").read_text(encoding="utf-8")
    settings = text[text.index("## What was set inside") : text.index("## Flags of the scripts")]
    assert train.main(["convnext_t", "--help"]) == 0
    known = set(re.findall(r"--[a-z][a-z-]*", capsys.readouterr().out))
    flags = set(re.findall(r"`(--[a-z-]+)`", settings))
    assert len(flags) >= 20
    assert flags - known == set()
    scripts = text[: text.index("## Modules")]
    cells = re.findall(r"`train.py (?!.*--).*", scripts)
    recipes = {name for cell in cells for name in re.findall(r"(?:`|train.py )(\w+)`", cell)}
    assert len(recipes) >= 9
    assert recipes - set(recipe_names()) == set()


def test_every_flag_of_the_scripts_exists():
    """A row of the table names the tool, or goes on with that of the row before."""
    text = (ROOT / "docs" / "coming-from-the-original.md").read_text(encoding="utf-8")
    table = text[text.index("## Flags of the scripts") : text.index("## What differs")]
    tool, checked = "", 0
    for row in table.splitlines()[4:]:
        if not row.startswith("|"):
            continue
        here = row.split("|")[2]
        if named := re.search(r"tools/(\w+)\.py", here):
            tool = named[1]
        code = (ROOT / "tools" / f"{tool}.py").read_text(encoding="utf-8")
        for flag in re.findall(r"(?<![\w-])--?[a-z][a-z-]*", here):
            assert f'"{flag}"' in code, f"{tool}: {flag}"
            checked += 1
    assert checked >= 18


def test_the_scores_of_the_demo_are_those_of_the_results():
    """README and the tutorials show the tables of one run, whose scores are in results/measured.csv."""
    rows = pd.read_csv(ROOT / "results" / "measured.csv").query("dataset == 'demo' and split == 'validation'")
    measured = {
        row.category: [f"{value:.4f}" for value in (row.F1, row.MCC, row.thres)] for row in rows.itertuples()
    }
    assert set(measured) == {"all", "general", "character", "copyright"}
    score = r"\d\.\d{4}"
    line = rf"^(\w+) +\d+ +{score} .*? ({score}) +{score} to {score} +{score} +({score}) +({score})"
    for page in ("README.md", "docs/tutorials/one-gpu.md"):
        shown = re.findall(line, (ROOT / page).read_text(encoding="utf-8"), re.MULTILINE)
        assert {category: scores for category, *scores in shown} == measured, page
