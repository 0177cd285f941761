"""tools/check_images.py as a command; what it says of every odd file is in test_bad_inputs.py."""

import json

from helpers import jpeg

from tools import check_images


def test_a_run_that_was_stopped_continues_where_it_was(tmp_path, monkeypatch, capsys):
    (tmp_path / "i").mkdir()
    for number in range(9):
        (tmp_path / "i" / f"{number}.jpg").write_bytes(jpeg(1, 32) if number % 3 else b"")
    words = ["--images", str(tmp_path / "i"), "-o", str(tmp_path / "r.csv"), "--workers", "2", "--json"]
    monkeypatch.setattr(check_images, "CHUNK", 2)
    real, checked = check_images.reason, []

    def reason(root, path):
        checked.append(path)
        if len(checked) == 5:
            raise KeyboardInterrupt
        return real(root, path)

    monkeypatch.setattr(check_images, "reason", reason)
    assert check_images.main(words) == 130
    assert not (tmp_path / "r.csv").exists()
    checked = [None] * 9
    assert check_images.main(words) == 0
    assert len(checked) < 9 + 9 - 2
    report = json.loads(capsys.readouterr().out)
    assert report == {"images": 9, "rejected": 3, "reasons": {"empty file": 3}}
    assert (tmp_path / "r.csv").read_text() == "post_id,path,reason\n" + "".join(
        f"{number},{number}.jpg,empty file\n" for number in (0, 3, 6)
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["i", "r.csv"]
    assert check_images.main(words) == 2
    assert "--overwrite" in capsys.readouterr().err


def test_a_folder_without_images_is_refused(tmp_path, capsys):
    (tmp_path / "notes.txt").touch()
    for folder, fault in ((tmp_path, "1 .txt files"), (tmp_path / "no", "found nothing")):
        assert check_images.main(["--images", str(folder), "-o", str(tmp_path / "r.csv")]) == 2
        assert fault in capsys.readouterr().err
