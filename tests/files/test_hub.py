"""Utils/files/hub.py against a hub on the loopback interface: ids, the cache, offline, private, missing."""

import errno
import importlib
import os
import types
from unittest import mock

import pytest
from helpers import small_hub

from Utils.command.cli import UserError, WorkError
from Utils.files import hub

WEIGHTS = {"config.json", "model.safetensors", "selected_tags.csv", "README.md", "extra/keras/model.keras"}
OTHERS = {"model.onnx", "extra/onnx_int8/model.onnx", "extra/keras/selected_tags.csv"}


@pytest.fixture
def model(tmp_path):
    folder = tmp_path / "served"
    for name in WEIGHTS | OTHERS:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    return folder


@pytest.fixture
def served(model, tmp_path, monkeypatch):
    """(requests that were made, the library) with a hub that has me/mine and the private me/secret."""
    with small_hub.serving({"me/mine": model, "me/secret": model}, {"me/secret": "word"}) as (url, requests):
        yield requests, small_hub.use(monkeypatch, url, tmp_path / "home")


def names(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_what_is_an_id_and_what_is_a_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    (tmp_path / "here").touch()
    assert [text for text in ("me/mine", "me/mine@v2", "hf://me/mine") if not hub.is_id(text)] == []
    for text in (
        "here",
        "runs/mistyped",
        "runs/a/b",
        "me/mine.keras",
        "/me/mine",
        "/me",
        "../me",
        "./nothing/here",
        "me/mine/..",
        "me",
        "",
    ):
        assert not hub.is_id(text), text
    assert hub.local("here").name == "here"
    assert (hub.name_of("hf://me/mine@v2"), hub.name_of(tmp_path / "runs")) == ("me/mine", "runs")
    assert hub.name_of("hf://me/mine/more@v2") == "me/mine/more"
    page = "https://huggingface.co/me/mine"
    assert hub.is_id(page) and hub.argument(page) == page
    assert (hub.name_of(f"{page}/"), hub.name_of(f"{page}/tree/main/more")) == ("me/mine", "me/mine/more")
    for text in (
        "https://huggingface.co/datasets/me/mine",
        f"{page}/tree/main/../x",
        "https://me.org/me/mine",
    ):
        assert not hub.is_id(text), text
    for text in ("hf://", "hf://me", "hf://me/mine@", "hf://a/b/../c", "hf://a/b//c"):
        with pytest.raises(UserError, match="hf://owner/name"):
            hub.local(text)


def test_the_files_of_a_purpose_are_fetched_once(served):
    requests, _ = served
    folder = hub.local("me/mine")
    assert names(folder) == WEIGHTS | {"extra/keras/selected_tags.csv"}
    assert (folder / "config.json").read_text() == "config.json"
    before = len(requests)
    assert hub.local("hf://me/mine@v2.0") == folder, "the same commit"
    assert {path for method, path in requests[before:] if "/resolve/" in path} == set()
    assert "model.onnx" in names(hub.local_tagger("me/mine"))


def test_a_folder_of_a_repository(served, model):
    folder = hub.local_tagger("me/mine/extra/onnx_int8")
    assert names(folder) == {"model.onnx"}
    with pytest.raises(UserError, match="no folder extra/none.*models in me/mine, me/mine/extra/onnx_int8"):
        hub.local("hf://me/mine/extra/none@v2.0")


def test_a_repository_with_models_in_folders_only_says_which(tmp_path, monkeypatch):
    for name in ("v1/model.onnx", "v1/tag_mapping.json", "v2/model.onnx", "README.md"):
        (tmp_path / "served" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "served" / name).touch()
    with small_hub.serving({"me/mine": tmp_path / "served"}) as (url, _):
        small_hub.use(monkeypatch, url, tmp_path / "home")
        with pytest.raises(UserError, match=r"no model at its top; it has models in me/mine/v1, me/mine/v2$"):
            hub.local_tagger("me/mine")
        assert names(hub.local_tagger("me/mine/v1")) == {"model.onnx", "tag_mapping.json"}


def test_a_tagger_without_onnx_comes_as_weights(served, model):
    (model / "model.onnx").unlink()
    (model / "tf_model.h5").touch()
    found = names(hub.local_tagger("me/mine"))
    assert "model.safetensors" in found and "tf_model.h5" not in found


def test_older_weights_are_fetched_where_no_others_are(tmp_path, monkeypatch):
    older = {"model.h5", "tags.txt", "project.json"}
    for name in (*older, "old/model.h5", "new/model.keras", "new/model.h5"):
        (tmp_path / "served" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "served" / name).touch()
    with small_hub.serving({"me/mine": tmp_path / "served"}) as (url, _):
        small_hub.use(monkeypatch, url, tmp_path / "home")
        assert names(hub.local_tagger("me/mine")) == older
        assert "model.h5" in names(hub.local("me/mine/old@main"))
        assert names(hub.local("hf://me/mine/new")) == {"model.keras"}


@pytest.mark.reliability(
    "A model on the hub that is missing, private or misspelt, or no network",
    "one error with the hub's address and the next step; what the cache has is used",
)
def test_what_cannot_be_fetched_is_one_sentence(served, monkeypatch):
    for source, said in (
        ("me/none", r"has no such model, or shows it to nobody without a token.*HF_TOKEN"),
        ("me/secret", r"HF_TOKEN"),
        ("hf://me/mine@v9", r"has no revision 'v9'"),
    ):
        with pytest.raises(UserError, match=said):
            hub.local(source)
    monkeypatch.setenv("HF_TOKEN", "word")
    assert names(hub.local("me/secret")) >= WEIGHTS


@pytest.mark.reliability(
    "HF_HUB_OFFLINE or an unreachable hub", "the cache is used; else one error names it (exit 2 or 1)"
)
def test_without_a_network_the_cache_serves(served, model, tmp_path, monkeypatch):
    folder = hub.local("me/mine")
    library = small_hub.use(monkeypatch, "http://127.0.0.1:9", tmp_path / "home")
    assert hub.local("me/mine") == folder
    with pytest.raises(WorkError, match=r"cannot be fetched from http://127\.0\.0\.1:9.*is there a network"):
        hub.local("me/other")
    monkeypatch.setattr(library.constants, "HF_HUB_OFFLINE", True)
    assert hub.local("me/mine") == folder
    with pytest.raises(UserError, match="HF_HUB_OFFLINE keeps from fetching"):
        hub.local("me/other")


@pytest.mark.parametrize(
    "name", ["me/-x", "me/x.", "-me/x", "me/a--b", "me/a..b", "me/x.git", "me/" + "x" * 97]
)
def test_names_that_the_hub_refuses_are_refused_before_any_work(name):
    from huggingface_hub.utils import HFValidationError, validate_repo_id

    with pytest.raises(UserError, match="begin and end with a letter"):
        hub.repository(name)
    with pytest.raises(HFValidationError):
        validate_repo_id(name)


def test_names_that_the_hub_takes_are_taken():
    from huggingface_hub.utils import validate_repo_id

    for name in ("me/a-b_c.1", "_me/_x_", "me/" + "x" * 96):
        validate_repo_id(name)
        assert hub.repository(f"hf://{name}") == name


@pytest.mark.parametrize(
    ("status", "kind"), [(None, WorkError), (503, WorkError), (429, WorkError), (400, UserError)]
)
def test_an_upload_that_another_command_would_not_mend_has_failed(tmp_path, monkeypatch, status, kind):
    library = small_hub.use(monkeypatch, "http://127.0.0.1:9", tmp_path)
    error = ConnectionError("it broke")
    error.response = types.SimpleNamespace(status_code=status)
    monkeypatch.setattr(library.HfApi, "create_repo", mock.Mock(side_effect=error))
    with pytest.raises(kind, match=r"cannot be uploaded to http://127\.0\.0\.1:9: it broke; what is there"):
        hub.upload(tmp_path, [], "me/mine")


def test_a_full_disk_is_no_missing_network(tmp_path, monkeypatch):
    library = small_hub.use(monkeypatch, "http://127.0.0.1:9", tmp_path)
    full = mock.Mock(side_effect=OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "cache"))
    monkeypatch.setattr(library, "snapshot_download", full)
    with pytest.raises(OSError, match="No space left"):
        hub.local("hf://me/mine")


def test_files_go_into_a_repository_and_a_branch_that_are_there_already(tmp_path, monkeypatch):
    (tmp_path / "release").mkdir()
    with small_hub.serving({}, uploads=tmp_path / "hub") as (url, _):
        small_hub.use(monkeypatch, url, tmp_path / "home")
        monkeypatch.setenv("HF_TOKEN", "write")
        for content in ("first", "second"):
            (tmp_path / "release" / "README.md").write_text(content)
            said = hub.upload(tmp_path / "release", ["README.md"], "me/mine", "v2.0", private=True)
            assert said == f"{url}/me/mine/commit/{small_hub.COMMIT}"
            assert (tmp_path / "hub" / "me" / "mine" / "README.md").read_text() == content
    small_hub.use(monkeypatch, "http://127.0.0.1:9", tmp_path / "home")
    with pytest.raises(WorkError, match=r"cannot be uploaded to http://127\.0\.0\.1:9: .+; what is there"):
        hub.upload(tmp_path / "release", ["README.md"], "me/mine")


def test_a_missing_library_is_named(monkeypatch):
    def absent(name, *more):
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", absent)
    with pytest.raises(UserError, match="huggingface_hub is needed"):
        hub.local("hf://me/mine")
