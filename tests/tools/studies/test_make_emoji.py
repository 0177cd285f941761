"""tools/studies/make_emoji.py: emoji, tags, pictures and splits of packages as npm leaves them."""

import csv
import json

import cv2
import numpy as np
import pytest

from tools import select_tags
from tools.studies import make_emoji

EMOJI = {  # code: (label, group, subgroup, keywords, more keywords)
    "1F600": ("grinning face", 0, 0, ["smile", "High Five"], [":D", "sport"]),
    "1F3C3": ("person running", 1, 1, ["race"], ["sport"]),
    "1F3C3-200D-2642-FE0F": ("man running", 1, 1, ["race", "man"], ["sport"]),
    "1F1E6": ("a flag", 2, 1, ["flag"], []),
}


def character(code):
    return "".join(chr(int(point, 16)) for point in code.split("-"))


@pytest.fixture
def packages(tmp_path):
    """A node_modules with every package: pictures of four vendors, drawings of three, keywords."""
    modules = tmp_path / "cache" / "node_modules"

    def write(path, value):
        path = modules / path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(value))

    for package in make_emoji.PACKAGES:
        write(f"{package.name}/package.json", {"version": package.version})
        if package.kind == make_emoji.SPRITES:
            entries = [
                {
                    "unified": code,
                    "image": f"{code.lower()}.png",
                    f"has_img_{package.vendor}": code != "1F1E6",
                }
                for code in EMOJI
            ]
            write(f"{package.name}/emoji.json", entries)
            folder = modules / package.name / "img" / package.vendor / "64"
            folder.mkdir(parents=True)
            clear = np.zeros((64, 64, 4), np.uint8)
            clear[16:48, 16:48] = (0, 0, 255, 255)
            for code in EMOJI:
                cv2.imwrite(str(folder / f"{code.lower()}.png"), clear)
        elif package.kind == make_emoji.VECTORS:
            body = '<path fill="#ff0000" d="M8 8h16v16H8z"/>'
            names = {code.lower(): label.replace(" ", "-") for code, (label, *_) in EMOJI.items()}
            write(f"{package.name}/chars.json", {} if package.vendor == "noto-v1" else names)
            icons = {name: {"body": body} for name in names.values()}
            write(f"{package.name}/icons.json", {"icons": icons, "width": 32, "height": 32})
    groups = [{"order": 0, "key": "smileys"}, {"order": 1, "key": "people"}, {"order": 2, "key": "flags"}]
    subgroups = [{"order": 0, "key": "face-smiling"}, {"order": 1, "key": "sport"}]
    write("emojibase-data/en/messages.json", {"groups": groups, "subgroups": subgroups})
    data = [
        {
            "hexcode": code,
            "label": label,
            "emoji": character(code),
            "group": group,
            "subgroup": sub,
            "tags": tags,
        }
        for code, (label, group, sub, tags, _) in EMOJI.items()
    ]
    write("emojibase-data/en/data.json", [*data, {"hexcode": "1F1E7", "label": "B", "emoji": "B"}])
    write("emojilib/dist/emoji-en-US.json", {character(code): row[4] for code, row in EMOJI.items()})
    return tmp_path / "cache"


@pytest.fixture
def folder(packages, tmp_path):
    words = [str(tmp_path / "emoji"), "--cache", str(packages), "--size", "32", "--min-tag-images", "1"]
    assert make_emoji.main(words) == 0
    return tmp_path / "emoji"


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_keywords_become_tags_and_flags_are_left_out(folder):
    sidecar = (folder / "pictures" / "apple" / "u1f600.txt").read_text().splitlines()
    assert sidecar == ["high_five", "smile", "sport", "series:smileys_(emoji)", "series:face_smiling_(emoji)"]
    assert len(list(folder.rglob("*.png"))) == 7 * 3
    assert [row["code"] for row in rows(folder / "emoji.csv")] == sorted(set(EMOJI) - {"1F1E6"})


def test_pictures_lie_on_white_in_the_wanted_size(folder):
    for path in folder.rglob("*.png"):
        image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        assert image.shape == (32, 32, 3)
        assert image[0, 0].tolist() == [255, 255, 255] and image[16, 16].tolist() == [0, 0, 255], path


def test_a_vendor_or_all_vendors_of_an_emoji_are_in_one_split(folder):
    by_vendor, by_emoji = (rows(folder / f"unseen_{name}_splits.csv") for name in ("vendor", "emoji"))
    vendors = {(row["path"].split("/")[0], row["split"]) for row in by_vendor}
    assert {vendor for vendor, split in vendors if split == "validation"} == {"twitter"}
    assert len(vendors) == 7
    splits = {}
    for row in by_emoji:
        splits.setdefault(row["path"].split("/")[1].partition("-")[0], set()).add(row["split"])
    assert all(len(seen) == 1 for seen in splits.values())  # the man who runs is where the person is


def test_select_tags_makes_a_dataset_of_it(folder, tmp_path, capsys):
    words = [str(folder / "unseen_vendor.toml"), "--source", "sidecars", "--from", str(folder / "pictures")]
    assert select_tags.main([*words, "-o", str(tmp_path / "data"), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["splits"] == {"train": 18, "validation": 3}
    assert result["categories"] == {"general": 5, "copyright": 4}  # sport and sport_(emoji) are two tags


def test_it_is_the_same_twice_and_replaced_only_when_told(folder, packages, tmp_path, capsys):
    words = ["--cache", str(packages), "--size", "32", "--min-tag-images", "1"]
    assert make_emoji.main([str(tmp_path / "again"), *words]) == 0
    files = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    assert all((folder / path).read_bytes() == (tmp_path / "again" / path).read_bytes() for path in files)
    assert make_emoji.main([str(folder), *words]) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert make_emoji.main([str(folder), *words, "--overwrite"]) == 0


def test_without_npm_the_packages_are_named(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(make_emoji.shutil, "which", lambda name: None)
    assert make_emoji.main([str(tmp_path / "emoji")]) == 2
    assert "npm is needed to fetch emoji-datasource-apple@16.0.0" in capsys.readouterr().err
    assert not (tmp_path / "emoji").exists()


@pytest.mark.parametrize(
    ("keyword", "tag"),
    [
        ("High Five", "high_five"),
        (":D", ""),
        ("^_^", ""),
        ("100", ""),
        ("men’s room", "mens_room"),
        ("été", "été"),
    ],
)
def test_names_of_tags(keyword, tag):
    assert make_emoji.tag_name(keyword) == tag
