"""The commands with damaged inputs: each ends well, or with one ``error:`` paragraph that names a file."""

import os
import re
import shutil

import cv2
import pytest
from helpers import small_releases
from helpers.mutants import mutant
from helpers.pictures import smooth
from helpers.small_dumps import overlapping_dumps

import Models
import train
from tools import (
    analyze_metrics,
    apply_decisions,
    audit_labels,
    compare_dumps,
    export_model,
    make_demo_booru,
    predict,
    select_tags,
    tag_images,
    verify_release,
    write_records,
)

MUTANTS = 2  # of each file, in the suite
MANY = 150  # in `make test-slow`


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A folder with a drawn booru, its dataset without and with records, two dumps, a release, a picture."""
    folder = tmp_path_factory.mktemp("base")
    booru = folder / "booru"
    assert make_demo_booru.main([str(booru), "--images", "120", "--seed", "0"]) == 0
    images = ["--images", str(booru / "512px")]
    source = [str(booru / "definition.toml"), "--source", "fire-eggs", "--from", str(booru / "danbooru.db")]
    assert select_tags.main([*source, *images, "-o", str(folder / "selected")]) == 0
    shutil.copytree(folder / "selected", folder / "data")
    assert write_records.main([str(folder / "data"), *images, "--workers", "1"]) == 0
    # Elsewhere, so that copies of the base are quick.
    (booru / "512px").rename(folder.with_name("base_images"))
    (booru / "512px").symlink_to(folder.with_name("base_images"))
    overlapping_dumps(folder)
    small_releases.make(folder / "release")
    (folder / "pictures").mkdir()
    (folder / "pictures" / "1.jpg").write_bytes(cv2.imencode(".jpg", smooth(32, 32))[1].tobytes())
    Models.build("ResNet/test", image_size=32, num_labels=9).save(folder / "model.keras")
    (folder / "decisions.jsonl").write_text(
        '{"post_id": 1, "tag": "solo", "tag_id": 2, "decision": "yes", "time": "2024", "reviewer": "r"}\n'
    )
    return folder


SELECT = "{booru}/definition.toml --source fire-eggs --from {booru}/danbooru.db --images {booru}/512px"
TRAIN = (
    "demo --dataset {data} --run-dir {out} --model ResNet/test --image-size 32 --epochs 2 --warmup 0epochs "
    "--batch-size-per-device 4 --tracker none --dry-run"
)
# Command, arguments ({name} is a folder or file of the base, {out} a new place), the inputs that it reads.
COMMANDS = [
    (analyze_metrics, "-d {a}", [
        "a/probabilities.npy", "a/labels.npy", "a/selected_tags.csv", "a/dump.json"]),
    (compare_dumps, "{a} {b} --resamples 100", ["b/image_ids.npy", "b/labels.npy"]),
    (audit_labels, "{a} --min-positives 1 -o {out}.json", ["a/image_ids.npy"]),
    (select_tags, f"{SELECT} -o {{out}}",
     ["booru/definition.toml", "booru/danbooru.db"]),
    (write_records, "{selected} --labels-only --reuse {data}", [
        "selected/posts.parquet", "selected/dataset.json", "selected/selected_tags.csv", "data/dataset.json",
        "data/train/ids.npy", "data/rejected.csv"]),
    (apply_decisions, "{decisions.jsonl} --db {booru}/danbooru.db -o {out}.db", [
        "decisions.jsonl", "booru/danbooru.db"]),
    (train, TRAIN, ["data/dataset.json", "data/selected_tags.csv"]),
    (predict, "{model.keras} --tags {release}/selected_tags.csv --images {pictures} -o {out}", [
        "model.keras", "release/selected_tags.csv"]),
    (verify_release, "{release}", ["release/model.onnx", "release/selected_tags.csv"]),
    (export_model, "{model.keras} --tags {release}/selected_tags.csv --layout full -o {out}", [
        "model.keras"]),
    (tag_images, "{release} {pictures} --format json -o {out}.json", [
        "release/selected_tags.csv", "release/model.onnx"]),
]  # fmt: skip
SECONDS_EACH = (export_model, verify_release)  # in `make test-slow`, where fewer are tried
CASES = [
    pytest.param(
        tool,
        words,
        file,
        id=f"{tool.__name__.removeprefix('tools.')} {file}",
        marks=[pytest.mark.slow] * (tool in SECONDS_EACH),
    )
    for tool, words, files in COMMANDS
    for file in files
]


def faults(base, folder, capsys, tool, words, file, numbers):
    """What is wrong with how a command takes the mutants of a file."""
    for number in numbers:
        place = folder / str(number)
        shutil.copytree(
            base, place, symlinks=True, copy_function=os.link
        )  # the rest of the base is only read
        (place / file).unlink()
        damage, data = mutant((base / file).read_bytes(), number)
        (place / file).write_bytes(data)
        arguments = [filled(word, place) for word in words.split()]
        try:
            code = tool.main(arguments)
        except Exception as error:
            yield f"{damage}: {type(error).__name__}: {error}"
            continue
        lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
        is_named = len(lines) == 1 and (str(place) in lines[0] or "no post is left" in lines[0])
        is_named = is_named or (tool is verify_release and code == 1)  # its findings name the file
        if code not in (0, 1, 2) or (code and not is_named):  # a definition that was cut may be a valid one
            yield f"{damage}: exit code {code}, {lines}"
        shutil.rmtree(place)


def filled(word, folder):
    """A word of a command line with its names in braces as paths below a folder."""
    return re.sub(r"\{([^}]+)\}", lambda match: str(folder / match[1]), word)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.reliability(
    "a damaged input of a command: dump, dataset, booru, decisions, release", "one error that names it"
)
@pytest.mark.parametrize(("tool", "words", "file"), CASES)
def test_a_command_names_a_damaged_input(base, tmp_path, capsys, tool, words, file):
    assert [*faults(base, tmp_path, capsys, tool, words, file, range(MUTANTS))] == []


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("tool", "words", "file"), CASES)
def test_a_command_names_many_damaged_inputs(base, tmp_path, capsys, tool, words, file):
    many = MANY // 10 if tool in (*SECONDS_EACH, train, predict) else MANY
    assert [*faults(base, tmp_path, capsys, tool, words, file, range(MUTANTS, many))] == []
