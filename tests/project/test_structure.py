"""Structure of the code: which wing may import which, quick imports without effects, docstrings, sizes.

``python tests/project/test_structure.py --graph`` prints the wings and what each imports.
"""

import ast
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
# Bottom to top, as the docstring of Utils lists them: a wing imports only wings above it there.
WINGS = re.findall(r"^(\w+): ", (ROOT / "Utils" / "__init__.py").read_text(encoding="utf-8"), re.MULTILINE)
LOW_WINGS = {f"Utils.{wing}" for wing in ("command", "files", "images", "tags")}
# What else of this project a package imports, beside itself.
ALLOWED = {
    **{f"Utils.{wing}": {f"Utils.{lower}" for lower in WINGS[:floor]} for floor, wing in enumerate(WINGS)},
    "Utils": set(),
    "Models.layers": set(),
    "Models.porting": {"Models.layers", *LOW_WINGS},
    "Models": {"Models.layers", "Models.porting", *LOW_WINGS},
    "Generators": {"Utils.data", *LOW_WINGS},
}
BACKENDS = {"tensorflow", "keras", "jax", "torch"}
KERAS = {"Utils.training", "Utils.release", "Models", "Models.layers", "Models.porting"}
# Modules that choose by backend, read another project's files, or time torch.
CHOOSE_BACKEND = {
    "Models.layers.convolution": {"tensorflow", "jax"},
    "Models.layers.cpu_kernels": {"tensorflow"},
    "Models.layers.dot_product_attention": {"jax"},  # its kernel for TPUs
    "Models.layers.input_gradients": {"tensorflow", "jax", "torch"},
    "Models.layers.replicas": {"tensorflow", "jax"},
    "Models.porting.original_zoo": {"tensorflow"},
    "Utils.training.compiled_step": {"jax"},  # a TPU's program
    "Utils.training.devices": {"tensorflow", "jax"},
    "Utils.training.gradient_precision": {"jax"},  # a step as it is traced
    "Utils.training.orbax_arrays": {"jax"},  # whose arrays Orbax writes
    "Utils.training.profiling": {"tensorflow", "jax"},  # their profilers
    "Utils.training.topology": {"jax"},
    "Utils.training.weight_sharding": {"jax"},  # a mesh of its devices
    "Utils.training.trackers": {"tensorflow"},  # its event messages, when TensorBoard is asked for
    "Utils.bench.matrix_products": {"keras"},  # which it times
    "Utils.bench.timm_peer": {"torch"},
}
SOURCES = sorted(
    path for package in ("Models", "Generators", "Utils", "tools") for path in (ROOT / package).rglob("*.py")
) + [ROOT / "train.py"]
TOOLS = sorted(path.stem for path in (ROOT / "tools").glob("*.py") if path.stem != "__init__")


def name_of(path):
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def tree_of(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def imports(path):
    """Every module a file imports, at the top or inside a function, as dotted names."""
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{'.' * node.level}{node.module}.{alias.name}" for alias in node.names)


def wing_of(name):
    """The package of a module that the rule speaks of: a wing of Utils, a folder of Models, or the top."""
    parts = name.split(".")
    folder = ".".join(parts[:2])
    return folder if folder in ALLOWED else parts[0]


def forbids(module, target):
    """Whether the rule keeps ``module`` from importing ``target``."""
    wing, top = wing_of(module), target.split(".")[0]
    if target.startswith("."):
        return True  # a relative import hides the wing
    if top in BACKENDS:
        if wing in ("tools", "train"):
            return False
        permitted = {"keras"} if wing in KERAS else {"tensorflow"} if wing == "Generators" else set()
        return top not in permitted | CHOOSE_BACKEND.get(module, set())
    if top not in ("Models", "Generators", "Utils", "tools", "train"):
        return False
    if wing in ("tools", "train"):
        part = target.startswith("tools.bench_parts") and module.startswith("tools.bench")
        return top in ("tools", "train") and not part
    return wing_of(target) not in ALLOWED[wing] | {wing}


def graph():
    """The wings, bottom to top, and what each imports."""
    arrows = {wing: set() for wing in (*(f"Utils.{wing}" for wing in WINGS), *ALLOWED, "train", "tools")}
    for path in SOURCES:
        wing = wing_of(name_of(path))
        arrows[wing] |= {wing_of(target) for target in imports(path)} & {*ALLOWED, *BACKENDS} - {
            wing,
            "Utils",
        }
    return "\n".join(f"{wing:<18}{', '.join(sorted(arrows[wing])) or '-'}" for wing in arrows)


def test_wings_import_only_wings_below_them():
    wrong = [
        f"{name_of(path)} imports {target}"
        for path in SOURCES
        for target in imports(path)
        if forbids(name_of(path), target)
    ]
    assert not wrong, "\n".join([*wrong, "", "What each wing imports:", graph()])


def test_the_import_rule_can_fail():
    assert forbids("Utils.evaluation.scores", "keras.ops")
    assert forbids("Utils.tags.tag_list", "Utils.training.losses")
    assert forbids("Utils.files.atomic", "Utils.images.codec")
    assert forbids("Utils.training.loop", "Models.build")
    assert forbids("Generators.pipeline", "Models.build")
    assert forbids("Models.layers.attention", "Utils.command.cli")
    assert forbids("Models.ConvNext", "tensorflow")
    assert forbids("tools.predict", "tools.analyze_metrics")
    assert forbids("Utils.tags.tag_list", ".sidecars")
    assert not forbids("Models.loading", "Utils.tags.tag_list")
    assert not forbids("Utils.training.loop", "keras")


def test_utils_is_wings_only():
    modules = sorted(path.name for path in (ROOT / "Utils").glob("*.py"))
    wings = sorted(path.parent.name for path in (ROOT / "Utils").glob("*/__init__.py"))
    assert modules == ["__init__.py"]
    assert wings == sorted(WINGS), "the docstring of Utils lists the wings from bottom to top"


def is_harmless(node):
    """Whether a statement at the top of a module only defines something."""
    if isinstance(
        node, (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef, ast.Assign, ast.AnnAssign)
    ):
        return True
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant)  # a docstring
    if isinstance(node, ast.If):
        return ast.unparse(node.test) in ("__name__ == '__main__'", "TYPE_CHECKING", "typing.TYPE_CHECKING")
    return False


def test_tools_only_define_when_imported():
    wrong = []
    for name in TOOLS:
        tree = tree_of(ROOT / "tools" / f"{name}.py")
        functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
        harmless = all(is_harmless(node) for node in tree.body)
        takes_argv = "main" in functions and [a.arg for a in functions["main"].args.args] == ["argv"]
        if not (harmless and takes_argv and "sys.exit(main())" in ast.unparse(tree.body[-1])):
            wrong.append(name)
    assert not wrong, f"these tools run on import, or lack main(argv): {wrong}"


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


def test_an_unknown_flag_is_one_error_paragraph(capsys):
    wrong = []
    for name in TOOLS:
        module = __import__(f"tools.{name}", fromlist=["main"])
        code = module.main(["--no-such-flag-anywhere"])
        out, err = capsys.readouterr()
        if code != 2 or out or not err.startswith("error: ") or "Traceback" in err:
            wrong.append(f"{name}: exit {code}, {out!r}, {err!r}")
    assert not wrong, "\n".join(wrong)


def public(tree):
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_"):
            yield node


def faults(path):
    """What is wrong with the docstrings and sizes of a file."""
    tree = tree_of(path)
    if not ast.get_docstring(tree):
        yield "has no docstring"
    for node in public(tree):
        length = node.end_lineno - node.lineno + 1
        if isinstance(node, ast.FunctionDef) and length > 80:
            yield f"{node.name} has {length} lines, more than 80"
    length = len(path.read_text(encoding="utf-8").splitlines())
    if length > 420:
        yield f"has {length} lines, more than 420"


def test_docstrings_and_sizes():
    wrong = [f"{name_of(path)}: {fault}" for path in SOURCES for fault in faults(path)]
    assert not wrong, "\n".join(wrong)


# Modules of one kind, which one file tests by discovery or as a whole.
TESTED_TOGETHER = {
    "Models": "models/test_families.py",  # the families
    "Utils/demo_booru": "demo_booru/test_demo_booru.py",  # the parts of a drawing
    "Utils/demo_booru/places": "demo_booru/test_places.py",  # the parts of the other style
    "Utils/recipe/recipes": "recipe/test_recipes.py",
    "tools/bench_parts/peers": "tools/bench_parts/test_naive_pipeline.py",
}


def mirror_of(path):
    """Where the tests of a module are: in the folder that mirrors its own, in a file of its name."""
    folder = path.relative_to(ROOT).parent
    if (
        folder.as_posix() in TESTED_TOGETHER
        and path.stem not in ("__init__", "__main__")
        and (folder.as_posix() != "Models" or path.stem[0].isupper())
    ):
        return ROOT / "tests" / TESTED_TOGETHER[folder.as_posix()]
    parts = folder.parts[1:] if folder.parts[:1] == ("Utils",) else (folder.parts or ("train",))
    names = {"__init__": path.parent.name.lower(), "__main__": "main"}
    mirrored = pathlib.Path(ROOT, "tests", *(part.lower() for part in parts))
    return mirrored / f"test_{names.get(path.stem, path.stem)}.py"


def test_modules_with_behavior_have_a_test_file_of_their_name():
    wrong = [
        f"{name_of(path)}: no {mirror_of(path).relative_to(ROOT)}"
        for path in SOURCES
        if re.search(r"^ *def ", path.read_text(encoding="utf-8"), re.MULTILINE)
        and not mirror_of(path).exists()
    ]
    assert not wrong, "\n".join(wrong)


def test_tests_do_not_import_tests():
    files = sorted((ROOT / "tests").rglob("test_*.py"))
    wrong = [
        f"{path.name} imports {target}"
        for path in files
        for target in imports(path)
        if any(part.startswith("test_") for part in target.split("."))
    ]
    assert not wrong, "\n".join(wrong)


def test_families_name_their_papers():
    families = (ROOT / "Models").glob("*[A-Z]*.py")
    wrong = [
        path.name
        for path in families
        if not re.search(r"arXiv:\d{4}\.\d{4,5}", ast.get_docstring(tree_of(path)))
    ]
    assert not wrong, f"no arXiv id in the docstring of {wrong}"


def test_no_file_of_the_release_names_this_machine():
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True).stdout.split("\n")
    wrong = []
    for name in filter(None, tracked):
        path = ROOT / name
        if path.suffix in (".py", ".md", ".toml", ".txt", ".ipynb", ".json") and path.exists():
            text = path.read_text(encoding="utf-8")
            if re.search(r"(^|[\s\"'(=])/(work|farm|root)/|\.\./shared", text):
                wrong.append(name)
    assert not wrong, f"these name a path of one machine: {wrong}"


def test_one_reason_for_every_requirement():
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    lists = re.findall(r"^\w+ = \[\n((?:    \".*\n)+)\]", text[: text.index("[tool.")], flags=re.MULTILINE)
    lines = [line for part in lists for line in part.splitlines()]
    assert len(lines) >= 30
    assert [line for line in lines if not re.search(r"\",\s+# \S", line)] == []
    for path in ROOT.glob("requirements*.txt"):
        entries = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
        assert len(entries) == 1, f"{path.name} repeats pyproject.toml: {entries}"
        assert re.fullmatch(r"-e \.(\[\w+\])?", entries[0]), path.name


if __name__ == "__main__" and "--graph" in sys.argv:
    print(graph())
