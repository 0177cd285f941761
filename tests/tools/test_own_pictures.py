"""From a folder of somebody's pictures to records: the commands as people type them, on any folder."""

import json

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest
from helpers import dotted_shards, jpeg
from helpers.own_pictures import write_pictures
from helpers.reviewed import answer

from tools import apply_decisions, audit_labels, review_labels, select_tags, write_records
from Utils.data import dataset_folder
from Utils.data.definition import read_definition
from Utils.evaluation import predictions
from Utils.tags import tag_list


def selected(folder, *words, output="dataset"):
    """Run select_tags on folder/pictures; return its answer."""
    dataset = folder / output
    command = ["--from", str(folder / "pictures"), "-o", str(dataset), *map(str, words)]
    assert select_tags.main(command) == 0
    return dataset


def posts(dataset):
    return pq.read_table(dataset / "posts.parquet").to_pandas()


def names(dataset):
    return tag_list.read(dataset / "selected_tags.csv")["name"].tolist()


def captions(count, *tags):
    """Captions in which tag k is on every (k + 1)th picture."""
    return [", ".join(tag for k, tag in enumerate(tags) if number % (k + 1) == 0) for number in range(count)]


def test_pictures_become_records_without_a_definition(tmp_path, capsys, monkeypatch):
    write_pictures(tmp_path / "pictures", captions(60, "1girl", "long hair", "smile", "hat"))
    monkeypatch.chdir(tmp_path)
    assert select_tags.main(["--from", "pictures", "-o", "my/dataset"]) == 0
    printed = capsys.readouterr()
    assert "no definition was given" in printed.out
    assert "read as sidecars" in printed.err
    assert printed.out.splitlines()[-1] == "next: python tools/write_records.py my/dataset"
    dataset = tmp_path / "my" / "dataset"
    assert tag_list.read(dataset / "selected_tags.csv")["name"].tolist() == [
        "1girl",
        "long_hair",
        "smile",
        "hat",
    ]
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")  # the pictures are found from anywhere
    assert write_records.main([str(dataset), "--workers", "1"]) == 0
    found = dataset_folder.load(dataset)
    assert {split: found.num_records(split) for split in found.splits} == {"train": 48, "validation": 12}


def test_the_written_definition_gives_the_same_dataset(tmp_path, capsys):
    write_pictures(tmp_path / "pictures", captions(40, "a", "b", "c"))
    dataset = selected(tmp_path)
    first = {path.name: path.read_bytes() for path in dataset.iterdir()}
    again = selected(tmp_path, dataset / "definition.toml", output="again")
    for name in ("selected_tags.csv", "posts.parquet", "rejected.csv"):
        assert (again / name).read_bytes() == first[name]
    # Changed and used in its own place it is not lost, with its comments.
    text = (dataset / "definition.toml").read_text()
    text = text.replace("min_tag_images = 2", "min_tag_images = 15  # mine")
    (dataset / "definition.toml").write_text(text)
    words = [str(dataset / "definition.toml"), "--from", str(tmp_path / "pictures"), "-o", str(dataset)]
    assert select_tags.main([*words, "--overwrite"]) == 0
    assert (dataset / "definition.toml").read_text() == text
    assert names(dataset) == ["a", "b"]
    assert "more" not in capsys.readouterr().err
    # Changed and not used it is not lost, either.
    for other in (text.replace("= 15", "= 3"), "not = TOML"):
        (dataset / "definition.toml").write_text(other)
        assert select_tags.main([*words[1:], "--overwrite"]) == 2
        assert "definition.toml was edited since its dataset was selected" in capsys.readouterr().err
        assert (dataset / "definition.toml").read_text() == other
    (dataset / "definition.toml").write_text(text)
    assert select_tags.main([*words[1:], "--overwrite"]) == 0


def test_texts_of_another_ending_are_found_by_it_alone(tmp_path):
    """Without --source; other lists beside the pictures are not taken for the source."""
    folder = tmp_path / "pictures"
    write_pictures(folder, captions(8, "red", "blue"))
    for text in folder.glob("*.txt"):
        text.rename(text.with_suffix(".notes"))
    (folder / "metadata.jsonl").write_text('{"id": 1, "tags": "of_the_list"}\n')
    assert names(selected(tmp_path, "--extension", "notes")) == ["red", "blue"]


def test_json_has_the_table(tmp_path, capsys):
    write_pictures(tmp_path / "pictures", captions(30, "a", "b", "c"))
    selected(tmp_path, "--json")
    answer = json.loads(capsys.readouterr().out)
    assert answer["splits"] == {"train": 24, "validation": 6}
    assert answer["most_frequent"] == {"a": 30, "b": 15, "c": 10}
    assert answer["next"].startswith("python tools/write_records.py ")
    assert any("count as general" in note for note in answer["notes"])


def test_a_tag_list_gives_categories(tmp_path, capsys):
    write_pictures(tmp_path / "pictures", captions(30, "1girl", "hatsune miku", "vocaloid"))
    (tmp_path / "tags.csv").write_text(
        "tag_id,name,category,count\n5,hatsune_miku,4,9\n7,vocaloid,3,9\n8,other,0,1\n"
    )
    dataset = selected(tmp_path, "--tags", tmp_path / "tags.csv")
    frame = tag_list.read(dataset / "selected_tags.csv")
    assert dict(zip(frame["name"], frame["category"], strict=True)) == {
        "1girl": 0, "vocaloid": 3, "hatsune_miku": 4
    }  # fmt: skip
    assert frame.set_index("name")["tag_id"]["hatsune_miku"] == 5
    assert "count as general" not in capsys.readouterr().out


def test_a_dataset_is_not_taken_for_its_pictures(tmp_path, capsys):
    write_pictures(tmp_path / "pictures", captions(20, "a", "b"))
    dataset = selected(tmp_path)
    assert select_tags.main(["--from", str(dataset), "-o", str(tmp_path / "again")]) == 2
    assert f"write_records.py {dataset} goes on with it" in capsys.readouterr().err


def test_a_dataset_among_its_pictures_is_passed_by(tmp_path):
    write_pictures(tmp_path / "pictures", captions(20, "a", "b"))
    first = posts(selected(tmp_path, output="pictures/made/dataset"))
    assert posts(selected(tmp_path)).equals(first)


def test_moved_pictures_are_asked_for_and_then_found(tmp_path, capsys):
    write_pictures(tmp_path / "pictures", captions(20, "a", "b"))
    dataset = selected(tmp_path)
    (tmp_path / "pictures").rename(tmp_path / "moved")
    assert write_records.main([str(dataset)]) == 2
    error = capsys.readouterr().err
    assert f"the pictures were in {tmp_path / 'pictures'}" in error
    assert "--images" in error
    assert write_records.main([str(dataset), "--images", str(tmp_path / "moved")]) == 0
    manifest = json.loads((dataset / "dataset.json").read_text())
    assert manifest["made"]["write_records"]["images"] == str(tmp_path / "moved")


def test_one_picture_cannot_be_divided(tmp_path, capsys):
    write_pictures(tmp_path / "pictures", ["a, b"])
    assert select_tags.main(["--from", str(tmp_path / "pictures"), "-o", str(tmp_path / "d")]) == 2
    error = capsys.readouterr().err
    assert "cannot be divided into 2 splits" in error and "left out" not in error
    (tmp_path / "pictures" / "broken.jpg").write_bytes(b"no picture")
    (tmp_path / "pictures" / "broken.txt").write_text("a")
    assert select_tags.main(["--from", str(tmp_path / "pictures"), "-o", str(tmp_path / "d")]) == 2
    assert "left out were no usable picture: 1" in capsys.readouterr().err
    assert not (tmp_path / "d").exists()


@pytest.mark.parametrize("count", [2, 3, 12])
def test_few_pictures_are_divided_all_the_same(tmp_path, count):
    write_pictures(tmp_path / "pictures", captions(count, "a", "b"))
    dataset = selected(tmp_path)
    assert set(posts(dataset)["split"]) == {"train", "validation"}
    assert len(posts(dataset)) == count


def test_every_picture_of_another_tag(tmp_path):
    """One tag each, none twice: the least number of pictures is lowered, so that tags are left."""
    write_pictures(tmp_path / "pictures", [f"tag {number}" for number in range(30)])
    dataset = selected(tmp_path)
    assert len(tag_list.read(dataset / "selected_tags.csv")) == 30
    assert read_definition(dataset).min_tag_images == 1


def test_copies_in_two_folders_are_in_one_split(tmp_path):
    write_pictures(tmp_path / "pictures" / "one", captions(20, "a", "b"))
    write_pictures(tmp_path / "pictures" / "two", captions(20, "a", "b"), contents=list(range(20))[::-1])
    frame = posts(selected(tmp_path))
    assert len(frame) == 40
    content = [(tmp_path / "pictures" / path).read_bytes() for path in frame["path"]]
    assert frame.groupby(content)["split"].nunique().max() == 1


def test_definitions_of_ranges_are_refused_where_a_split_stays_empty(tmp_path, capsys):
    write_pictures(tmp_path / "pictures", captions(5, "a"))
    (tmp_path / "definition.toml").write_text(
        'name = "x"\nsplits = {train = [0, 998], validation = [999, 999]}\nmin_tag_images = 1\n'
        "min_tag_count = 1\nmin_tags_per_image = 0\n"
    )
    words = [str(tmp_path / "definition.toml"), "--from", str(tmp_path / "pictures")]
    assert select_tags.main([*words, "-o", str(tmp_path / "d")]) == 2
    assert "no post falls into validation" in capsys.readouterr().err
    assert not (tmp_path / "d").exists()


def test_captions_of_nothing_but_quality_are_said_to_be_that(tmp_path, capsys):
    write_pictures(tmp_path / "pictures", ["masterpiece, best quality"] * 12)
    assert select_tags.main(["--from", str(tmp_path / "pictures"), "-o", str(tmp_path / "d")]) == 2
    error = capsys.readouterr().err
    assert "all left out (best_quality 12, masterpiece 12); exclude_tags of a definition decides" in error
    assert "No picture has a tag" not in error


def test_tags_on_every_picture_and_tiny_pictures_are_pointed_out(tmp_path, capsys):
    write_pictures(tmp_path / "pictures", ["a, b"] * 12)
    selected(tmp_path)
    printed = capsys.readouterr().out
    assert "12 have fewer than 32, too few to see much in" in printed
    assert "2 tags are on every picture, nothing to tell apart: " in printed
    assert "so there is nothing to learn: add pictures without them" in printed


def test_a_picture_that_cannot_be_decoded_is_listed(tmp_path, capsys):
    write_pictures(tmp_path / "pictures", captions(20, "a", "b"))
    (tmp_path / "pictures" / "p003.jpg").write_bytes(b"no picture")
    (tmp_path / "pictures" / "p004.jpg").write_bytes(jpeg(4, 16)[:-300])
    data = bytearray(jpeg(5, 40))
    data[-200:-100] = bytes(100)
    (tmp_path / "pictures" / "p005.jpg").write_bytes(data)  # seen when it is decoded
    dataset = selected(tmp_path)
    assert "left out, in rejected.csv: 2 files: 1 " in capsys.readouterr().out
    assert write_records.main([str(dataset)]) == 0
    rows = (dataset / "rejected.csv").read_text()
    assert all(name in rows for name in ("p003.jpg", "p004.jpg", "p005.jpg"))


def test_the_loop_of_better_labels_needs_no_database(tmp_path, capsys, monkeypatch):
    """Predictions, an audit, decisions, corrected sidecars, and the same pictures with the new labels."""
    folder = write_pictures(tmp_path / "pictures", captions(40, "1girl", "long hair", "hat"))
    (folder / "p000.txt").write_text("1girl, long hair")  # hat is missing
    dataset = selected(tmp_path)
    assert write_records.main([str(dataset), "--workers", "1"]) == 0
    frame, tags = posts(dataset), names(dataset)
    hat = tags.index("hat")
    labels = np.zeros((40, len(tags)), bool)
    for row, of_post in enumerate(frame["label_indexes"]):
        labels[row, of_post] = True
    post = int(frame.loc[frame["path"] == "p000.jpg", "post_id"].iloc[0])
    probabilities = np.where(labels, 0.9, 0.1).astype(np.float32)
    probabilities[frame["post_id"] == post, hat] = 0.95
    with predictions.writing(tmp_path / "dump", tag_list.read(dataset / "selected_tags.csv")) as writer:
        writer.add(probabilities, frame["post_id"].to_numpy(), labels)
    assert audit_labels.main([str(tmp_path / "dump"), "-o", str(tmp_path / "audit.json")]) == 0
    assert json.loads((tmp_path / "audit.json").read_text()) == {"hat": [post]}
    words = [str(tmp_path / "audit.json"), "--tags", str(dataset / "selected_tags.csv")]
    options = review_labels.parser().parse_args([*words, "-o", str(tmp_path / "decisions.jsonl")])
    with review_labels.prepared(options) as app:
        client = app.test_client()
        tag_id = int(tag_list.read(dataset / "selected_tags.csv")["tag_id"][hat])
        shown = client.get(f"/api/post/{post}").json["labels"]
        assert [label["name"] for label in shown] == ["1girl", "long_hair"]
        assert client.get(f"/images/{post}").status_code == 200
        answer(client, (post, tag_id, "yes"))
    assert apply_decisions.main([str(tmp_path / "decisions.jsonl"), "--images", str(folder)]) == 0
    assert (folder / "p000.txt").read_text() == "1girl, long hair, hat"
    assert (folder / "p000.txt.bak").read_text() == "1girl, long hair"
    newer = selected(tmp_path, dataset / "definition.toml", output="newer")
    assert write_records.main([str(newer), "--labels-only", "--reuse", str(dataset), "--workers", "1"]) == 0
    corrected = posts(newer).set_index("post_id")["label_indexes"]
    assert hat in corrected[post]
    assert sum(map(len, corrected)) == labels.sum() + 1


def mixed_folder(folder):
    """Sub-folders, each numbered from 1, with mixed formats, captions and names; returns how many."""
    tags = captions(36, "1girl", "long hair", "blue", "saber \\(fate\\)")
    for number, caption in enumerate(tags):
        place = folder / ("10_miku", "5_luka", "猫 é")[number % 3]
        place.mkdir(parents=True, exist_ok=True)
        suffix = (".jpg", ".png", ".webp")[number // 3 % 3]
        image = cv2.imdecode(np.frombuffer(jpeg(number, 24), np.uint8), cv2.IMREAD_COLOR)
        stem = f"絵{number}" if number % 9 == 8 else f"{number // 3 + 1}"
        (place / f"{stem}{suffix}").write_bytes(cv2.imencode(suffix, image)[1].tobytes())
        if number % 4 == 1:
            (place / f"{stem}.caption").write_text(caption)
        elif number % 4 == 2:
            (place / f"{stem}{suffix}.txt").write_text(caption.replace(", ", "\n"))
        elif number % 4 == 3:
            names = caption.replace(" ", "_").replace("\\", "").replace(",_", " ")
            (place / f"{stem}.json").write_text(json.dumps({"tag_string_general": names}))
        else:
            (place / f"{stem}.txt").write_text(
                f"{caption}\nA drawing of somebody who stands in front of a wall."
            )
    # The same content in two folders, and what is no picture.
    copy = folder / "5_luka" / "copy.jpg"
    copy.write_bytes((folder / "10_miku" / "1.jpg").read_bytes())
    copy.with_suffix(".txt").write_text("1girl")
    (folder / "5_luka" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (folder / "5_luka" / "broken.txt").write_text("1girl")
    return 37


def test_mixed_folders_lose_no_picture(tmp_path, capsys):
    count = mixed_folder(tmp_path / "pictures")
    dataset = selected(tmp_path)
    frame = posts(dataset)
    assert len(frame) == frame["post_id"].nunique() == count
    assert set(names(dataset)) == {"1girl", "long_hair", "blue", "saber_(fate)"}
    expected = {"1girl": 37, "long_hair": 18, "blue": 12, "saber_(fate)": 9}
    counts = tag_list.read(dataset / "selected_tags.csv").set_index("name")["count"].to_dict()
    assert counts == expected | {"1girl": 38}  # of the source, with the broken one
    pair = frame[frame["path"].isin(["10_miku/1.jpg", "5_luka/copy.jpg"])]
    assert pair["split"].nunique() == 1
    shown = capsys.readouterr()
    assert "1 copy of other pictures" in shown.out
    assert "sentences in captions are no tags" in shown.err
    assert "broken.png" in (dataset / "rejected.csv").read_text()
    assert write_records.main([str(dataset), "--workers", "1"]) == 0
    packed = dataset_folder.load(dataset)
    assert sum(packed.num_records(split) for split in packed.splits) == count


@pytest.mark.slow
def test_the_three_commands_and_the_way_back(tmp_path, capsys):
    """A tiny run with one of the tags, somebody's folder, finetune, predictions, sidecars from them."""
    import train
    from tools import predict, tag_images

    tiny = ["--batch-size-per-device", "4", "--tracker", "none", "--epochs", "1", "--steps-per-epoch", "2"]
    base = dotted_shards(tmp_path / "base", train=20, validation=6)
    words = ["convnext_t", "--model", "ConvNext/test", "--image-size", "32", "--dataset", str(base)]
    assert train.main([*words, *tiny, "--run-dir", str(tmp_path / "source")]) == 0
    mixed_folder(tmp_path / "pictures")
    dataset = selected(tmp_path)
    assert write_records.main([str(dataset), "--workers", "1"]) == 0
    words = ["finetune", "--dataset", str(dataset), "--init-from", str(tmp_path / "source"), *tiny]
    assert train.main([*words, "--run-dir", str(tmp_path / "run")]) == 0
    assert names(tmp_path / "run") == names(dataset)
    words = [str(tmp_path / "run"), "--images", str(tmp_path / "pictures"), "-o", str(tmp_path / "all")]
    assert predict.main(words) == 0
    for path in list(tmp_path.glob("pictures/*/*.*")):
        if path.suffix in (".txt", ".caption", ".json"):
            path.unlink()
    words = ["--dump", str(tmp_path / "all"), "--images", str(tmp_path / "pictures"), "--threshold", "0"]
    assert tag_images.main(words) == 0
    written = list(tmp_path.glob("pictures/*/*.txt"))
    assert len(written) == 37
    assert all(len(path.read_text().split(", ")) == 4 for path in written)
