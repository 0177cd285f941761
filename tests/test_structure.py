"""The house itself: arrows between layers, imports without side effects, quick --help, docstrings, sizes."""

import ast
import pathlib
import re
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
PACKAGES = ("Models", "Generators", "Utils", "tools")
PLAIN = {
    "commands", "files", "config", "recipes", "tags", "images", "definitions", "selection", "booru",
    "folders", "datasets", "blocks", "scores", "thresholds", "dumps", "results", "durations", "plots",
    "alignment", "bootstrap", "calibration", "confusion", "mixing", "pages", "thumbnails",
    "comparison", "figures", "report",
    "resampling", "scratch",
    "charts", "cartoons", "engines", "stages", "packing", "tfrecords", "tag_rules",
    "folds", "unknown", "sources", "sweeps",
    "command_line", "measuring",
    "captions", "choices", "reading", "tag_tables", "taggers", "batching", "tagging_service",
    "levels", "tagwise", "ranking", "operating_points",
    "startup", "sinks",
    "clients",
    "confident", "truths", "decisions", "web",
    "quantization", "model_card",
    "sketches", "matching", "neighbors", "grouping", "ledgers", "leaks",
    "tables", "questions", "reviews", "labelings", "pictures", "review_service",
}  # fmt: skip
SOURCES = sorted(path for name in PACKAGES for path in (ROOT / name).rglob("*.py")) + [ROOT / "train.py"]
TOOLS = sorted(path.stem for path in (ROOT / "tools").glob("*.py") if path.stem != "__init__")
HEAVY = {"tensorflow", "keras", "jax", "torch"}


def name_of(path):
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imported(path):
    """Every module a file imports, at the top or inside a function, as dotted names."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}: relative imports hide the layer"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def is_plain(name):
    return name.split(".")[:1] == ["Utils"] and (name == "Utils" or name.split(".")[1] in PLAIN)


def allowed(module, target):
    """Whether the layering lets ``module`` import ``target``."""
    top, package = target.split(".")[0], module.split(".")[0]
    if top not in (*PACKAGES, "train", *HEAVY):
        return True
    if is_plain(module):
        return is_plain(target)
    if package == "Utils":
        return top in HEAVY | {"Utils"}
    if package == "Generators":
        return top in ("tensorflow", "Generators") or is_plain(target)
    if module in ("Models", "Models.__main__", "Models.loading", "Models.resizing", "Models.transfer"):
        return top in ("keras", "Models") or is_plain(target)
    if module.startswith("Models.layers"):
        return top in ("keras", "tensorflow") or target.startswith("Models.layers")
    if package == "Models":
        return top == "keras" or target.startswith("Models.layers")
    if target.startswith("tools.bench_parts"):
        return module == "tools.bench"
    return top not in ("train", "tools")  # train.py and the tools never import one another


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_arrows_point_down(path):
    wrong = [target for target in imported(path) if not allowed(name_of(path), target)]
    assert not wrong, f"{name_of(path)} may not import {wrong}"


def test_the_arrow_rule_can_fail():
    assert not allowed("Utils.scores", "keras.ops")
    assert not allowed("Utils.tags", "Utils.losses")
    assert not allowed("Generators.pipeline", "Models.build")
    assert not allowed("Models.ConvNext", "Utils.commands")
    assert not allowed("tools.predict", "tools.analyze_metrics")
    assert allowed("Models.loading", "Utils.tags")


def test_tensorflow_stays_out_of_what_every_backend_runs():
    """Models and the keras half of Utils use keras.ops; exceptions choose by backend or measure torch."""
    exceptions = {
        "Models.layers.convolution", "Models.layers.replicas", "Utils.devices", "Utils.weights",
        "Utils.peers",
    }  # fmt: skip
    for path in SOURCES:
        if {"tools", "Generators"} & set(path.relative_to(ROOT).parts) or name_of(path) in exceptions | {
            "train"
        }:
            continue
        tops = {target.split(".")[0] for target in imported(path)}
        assert not tops & {"tensorflow", "jax", "torch"}, name_of(path)


def is_harmless(node):
    """Whether a statement at the top of a module only defines something."""
    if isinstance(
        node, (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef, ast.Assign, ast.AnnAssign)
    ):
        return True
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant)  # a docstring
    return isinstance(node, ast.If) and ast.unparse(node.test) == "__name__ == '__main__'"


@pytest.mark.parametrize("name", TOOLS)
def test_a_tool_only_defines_when_imported(name):
    tree = ast.parse((ROOT / "tools" / f"{name}.py").read_text(encoding="utf-8"))
    assert all(is_harmless(node) for node in tree.body)
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    assert [argument.arg for argument in functions["main"].args.args] == ["argv"]
    assert "sys.exit(main())" in ast.unparse(tree.body[-1])


HELP = """
import contextlib, importlib, io, sys
for name in sys.argv[1:]:
    text = io.StringIO()
    with contextlib.redirect_stdout(text):
        assert importlib.import_module(name).main(["--help"]) == 0, name
    assert len(text.getvalue()) > 100, name
    heavy = {"tensorflow", "keras", "jax", "torch"} & set(sys.modules)
    assert not heavy, (name, heavy)
"""


def test_help_starts_without_tensorflow():
    modules = ["train", *(f"tools.{name}" for name in TOOLS)]
    done = subprocess.run([sys.executable, "-c", HELP, *modules], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", TOOLS)
def test_an_unknown_flag_is_one_error_paragraph(name, capsys):
    module = __import__(f"tools.{name}", fromlist=["main"])
    assert module.main(["--no-such-flag-anywhere"]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("error: ")
    assert "Traceback" not in shown.err


def public(tree):
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_"):
            yield node


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_docstrings_and_sizes(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert ast.get_docstring(tree), "a module says what it is for"
    for node in public(tree):
        length = node.end_lineno - node.lineno + 1
        assert isinstance(node, ast.ClassDef) or length <= 80, f"{node.name} has {length} lines"
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 420


@pytest.mark.parametrize("path", sorted((ROOT / "Models").glob("*[A-Z]*.py")), ids=lambda path: path.stem)
def test_a_family_names_its_paper(path):
    assert re.search(r"arXiv:\d{4}\.\d{4,5}", ast.get_docstring(ast.parse(path.read_text())))


def test_one_reason_for_every_requirement():
    for file in ("requirements.txt", "requirements-dev.txt"):
        for line in (ROOT / file).read_text().splitlines():
            if line and not line.startswith(("#", "-")):
                assert re.search(r"\s#\s\S", line), f"{file}: {line} gives no reason"


def test_nothing_names_this_machine():
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True).stdout.split("\n")
    for name in filter(None, tracked):
        path = ROOT / name
        if path.suffix in (".py", ".md", ".toml", ".txt", ".ipynb", ".json") and path.exists():
            text = path.read_text(encoding="utf-8")
            assert not re.search(r"(^|[\s\"'(=])/(work|farm|root)/|\.\./shared", text), name
