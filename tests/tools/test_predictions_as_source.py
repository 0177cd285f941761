"""What tag_images writes as JSON or CSV, as a source of select_tags."""

import pytest
from helpers import small_releases
from helpers.tagged_pictures import BLUE, GREEN, RED, paint, tag

from tools import select_tags
from Utils.data import dataset_folder
from Utils.tags import tag_list


@pytest.fixture
def pictures(tmp_path):
    small_releases.make(tmp_path / "release")
    for number, color in enumerate((BLUE, GREEN, RED) * 2):
        paint(tmp_path / "pictures" / f"{number}.png", color, 12 + number)
    return tmp_path / "pictures"


def select(source, output, *more):
    return select_tags.main(["--from", str(source), *more, "-o", str(output)])


@pytest.mark.parametrize("kind", ["json", "csv"])
def test_a_table_that_is_named_is_read(pictures, tmp_path, kind):
    table = tmp_path / f"t.{kind}"
    assert tag(tmp_path / "release", pictures, "--format", kind, "-o", table) == 0
    assert select(table, tmp_path / "dataset", "--images", str(pictures)) == 0
    dataset = dataset_folder.load(tmp_path / "dataset")
    tags = tag_list.read(dataset.folder / tag_list.FILE)
    counts = dict(zip(tags["name"], tags["count"], strict=True))
    assert counts == {"^_^": 4, "blue_sky": 2, "green_grass": 2, "red_(color)": 2, "rei_(eva)": 2}
    assert tags.set_index("name")["category"]["rei_(eva)"] == 4


@pytest.mark.reliability(
    "a table of tag_images lies in a folder of pictures with captions, select_tags --from FOLDER",
    "the captions are read, not the predictions",
)
@pytest.mark.parametrize("kind", ["json", "csv"])
def test_a_table_beside_captions_is_no_source(pictures, tmp_path, kind):
    for number in range(6):
        (pictures / f"{number}.txt").write_text("hat, solo" if number % 2 else "hat")
    assert tag(tmp_path / "release", pictures, "--format", kind, "-o", pictures / f"t.{kind}") == 0
    assert select(pictures, tmp_path / "dataset") == 0
    tags = tag_list.read(tmp_path / "dataset" / tag_list.FILE)
    assert dict(zip(tags["name"], tags["count"], strict=True)) == {"hat": 6, "solo": 3}


@pytest.mark.parametrize("kind", ["json", "csv"])
def test_a_table_alone_beside_pictures_is_named(pictures, tmp_path, kind, capsys):
    assert tag(tmp_path / "release", pictures, "--format", kind, "-o", pictures / f"t.{kind}") == 0
    assert select(pictures, tmp_path / "dataset") == 2
    said = capsys.readouterr().err
    assert f"t.{kind}" in said
    assert "predictions by tag_images, which --from reads if it names the file" in said
