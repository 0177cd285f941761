"""The user's cache: values come back; what is damaged or cannot be written is as if it were not there."""

from Utils.files import user_cache


def test_values_come_back(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "new" / "cache"))
    assert user_cache.read("step-1") is None
    user_cache.write("step-1", {"records": 2})
    user_cache.write("step-1", {"records": 3})
    assert user_cache.read("step-1") == {"records": 3}
    assert [path.name for path in user_cache.folder().iterdir()] == ["step-1.json"]
    (user_cache.folder() / "step-1.json").write_text("{")
    assert user_cache.read("step-1") is None


def test_a_folder_that_cannot_be_made_is_no_error(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    user_cache.write("step-1", 1)
    assert user_cache.read("step-1") is None
