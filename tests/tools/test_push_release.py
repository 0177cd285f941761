"""A release goes to a hub whole, after verification, and comes back as it was; faulty ones stay here."""

import pytest
from helpers import exported_release, small_hub

from tools import push_release
from Utils.files import hub


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    folder = tmp_path_factory.mktemp("exported")
    exported_release.make(folder)
    return exported_release.without_timm(folder / "release")


@pytest.fixture
def served(tmp_path, monkeypatch):
    """(folder of uploads, which repositories were made, requests) of a hub on this machine."""
    created = {}
    with small_hub.serving({}, uploads=tmp_path / "hub", created=created) as (url, requests):
        small_hub.use(monkeypatch, url, tmp_path / "home")
        yield tmp_path / "hub", created, requests


def contents(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def test_a_release_goes_up_and_comes_back(release, served, monkeypatch, capsys):
    uploads, created, requests = served
    (release / "notes.jpg").write_bytes(b"a picture of the user's")
    assert push_release.main([str(release), "me/mine", "--private", "--revision", "v2", "--dry-run"]) == 0
    listed, said = capsys.readouterr()
    assert not requests
    assert "notes.jpg" in said
    assert "me/mine --private --revision v2" in said, "what is next is no less private"
    assert push_release.main([str(release), "me/mine"]) == 2  # without a token
    assert "HF_TOKEN" in capsys.readouterr().err
    monkeypatch.setenv("HF_TOKEN", "write")
    assert push_release.main([str(release), "me/mine", "--private"]) == 0
    assert "/commit/" in capsys.readouterr().out
    assert created == {"me/mine": True}
    created["me/mine"] = False  # made by somebody before, for all to see
    before = contents(uploads / "me" / "mine")
    assert push_release.main([str(release), "me/mine", "--private"]) == 2
    assert "me/mine is there already and is public" in capsys.readouterr().err
    assert contents(uploads / "me" / "mine") == before
    sent = contents(uploads / "me" / "mine")
    (release / "notes.jpg").unlink()
    assert sent == contents(release)
    assert set(sent) == set(listed.split())
    assert "model.onnx" in {path.name for path in hub.local_tagger("hf://me/mine").iterdir()}


@pytest.mark.parametrize("more", [[], ["--dry-run"]])
@pytest.mark.parametrize("branch", ["", "a b", "../x", "-x"])
def test_a_branch_has_a_name(tmp_path, branch, more, capsys):
    """An empty one, of a variable that is not set, went to main."""
    assert push_release.main([str(tmp_path), "me/mine", f"--revision={branch}", *more]) == 2
    assert f"a branch's name has letters, digits, and . / - _ behind the first; got {branch!r}" in (
        capsys.readouterr().err
    )


def test_a_release_that_breaks_a_rule_is_not_sent(release, served, tmp_path, capsys):
    text = (release / "selected_tags.csv").read_text().splitlines()
    (release / "selected_tags.csv").write_text("\n".join([text[0], *text[:0:-1]]) + "\n")
    try:
        assert push_release.main([str(release), "me/mine"]) == 1
    finally:
        (release / "selected_tags.csv").write_text("\n".join(text) + "\n")
    assert "is not uploaded" in capsys.readouterr().err
    assert not served[2]
    for words in (["me"], ["me/mine@v1"]):
        assert push_release.main([str(release), *words]) == 2
    assert push_release.main([str(tmp_path), "me/mine"]) == 2
