"""The commands of this project: their names, how they are started, and the page that explains each.

The same command is ``python tools/tag_images.py`` in a clone and ``swcv tag`` where the wheel is installed;
what commands say of one another is spelled as the present one was started.
"""

import importlib
import pathlib
import sys

ENTRY = "swcv"  # the console script that pyproject.toml names
# The file of each command, by group in the order of work, and its page.
GROUPS = {
    "Datasets": {
        "select_tags": "docs/data.md",
        "write_records": "docs/training.md",
        "check_images": "docs/training.md",
        "find_duplicates": "docs/near-duplicates.md",
        "encode_tags": "docs/scoring.md",
        "make_demo_booru": "docs/drawn-boorus.md",
    },
    "Training": {
        "train": "docs/training.md",
        "sweep": "docs/training.md",
        "import_weights": "docs/models.md",
    },
    "Scores": {
        "predict": "docs/scoring.md",
        "find_thresholds": "docs/scoring.md",
        "make_report": "docs/scoring.md",
        "analyze_metrics": "docs/scoring.md",
        "compare_dumps": "docs/scoring.md",
        "ensemble": "docs/scoring.md",
        "pareto": "docs/scoring.md",
        "compare_taggers": "docs/comparing-taggers.md",
        "compare_preprocessing": "docs/tagging.md",
        "bench": "docs/speed.md",
    },
    "Labels": {
        "audit_labels": "docs/better-labels.md",
        "review_labels": "docs/better-labels.md",
        "answer_audit": "docs/better-labels.md",
        "apply_decisions": "docs/better-labels.md",
    },
    "Taggers": {
        "tag_images": "docs/tagging.md",
        "serve": "docs/tagging.md",
        "export_model": "docs/releasing.md",
        "verify_release": "docs/releasing.md",
        "push_release": "docs/releasing.md",
    },
    "This repository, from a clone": {
        "render_docs": "CONTRIBUTING.md",
        "render_results": "CONTRIBUTING.md",
        "render_site": "CONTRIBUTING.md",
        "render_versions": "docs/installing.md",
    },
}
PAGES = {stem: page for group in GROUPS.values() for stem, page in group.items()}
_SHORT = {"tag_images": "tag"}


def name_of(stem: str) -> str:
    """Return the name of a command, such as "select-tags", by the stem of its file."""
    return _SHORT.get(stem, stem.replace("_", "-"))


def stem_of(name: str) -> str | None:
    """Return the stem of the file that a name means, in any spelling; None for a name that no command has."""
    stem = name.removesuffix(".py").replace("-", "_")
    return next((known for known in PAGES if stem in (known, name_of(known))), None)


def script(stem: str) -> str:
    """Return the file of a command, as it lies in a clone."""
    return f"{stem}.py" if stem == "train" else f"tools/{stem}.py"


def is_entry() -> bool:
    """Whether this process was started as the console script."""
    return pathlib.Path(sys.argv[0]).stem == ENTRY if sys.argv else False


def run_entry() -> int:
    """Run the console script: the commands of this project, not the `tools` that tf2onnx installs.

    That one has no ``__init__.py``, but it lies in site-packages, and an editable install is asked last.
    """
    sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))
    return importlib.import_module("tools.__main__").main()


def prog(file: str) -> str:
    """Return how the command of a file is called in help and errors: as it was started."""
    stem = pathlib.PurePosixPath(file).stem
    return f"{ENTRY} {name_of(stem)}" if is_entry() and stem in PAGES else file


def line(stem: str, *words: object) -> str:
    """Return the command line of a command with words, quoted where a shell needs it."""
    import shlex  # here: Ctrl-C is handled when this module has been imported

    started = f"{ENTRY} {name_of(stem)}" if is_entry() else f"python {script(stem)}"
    return " ".join([started, *(shlex.quote(str(word)) for word in words)])


def next_line(stem: str, *words: object) -> str:
    """Return the line that a command ends with: what comes next."""
    return f"next: {line(stem, *words)}"


def install_line(extra: str) -> str:
    """Return how the packages of an extra of pyproject.toml are installed, in a clone or with the wheel."""
    file = f"requirements-{extra}.txt"
    in_clone = (pathlib.Path(__file__).parents[2] / file).is_file()
    return f"pip install -r {file}" if in_clone else f'pip install "sw-cv-modelzoo[{extra}]"'


def page_of(stem: str) -> str | None:
    """Return the page of the documentation that explains a command; None for a file that is none."""
    return PAGES.get(stem)
