"""A folder in which the commands of README and docs/ can be typed: what they name lies there, made small.

`make` draws 300 pictures and trains two models for two steps, so it takes half a minute.
"""

import gzip
import importlib
import json
import os
import pathlib
import shutil
import sqlite3

import pyarrow as pa
import pyarrow.parquet as pq

from helpers.timm_folders import folder_of

DEFINITION = """name = "mine"
image_size = 64
ratings = ["g", "s", "q", "e"]
ratings_as_labels = true
categories = [0, 3, 4]
min_tag_count = 4
min_tag_images = 4
min_tag_share = 0.0
min_tags_per_image = 1
"""
# What stands in for hours: a small model, two steps.
MODEL = "--model ConvNext/test --model-options depths=1,1 widths=8,16 --image-size 32"
STEPS = "--epochs 2 --steps-per-epoch 1 --tracker none"
NUM_CAPTIONED = 40
CATEGORY_NAMES = {0: "general", 3: "copyright", 4: "character", 5: "meta", 1: "artist"}


def run(command):
    """Run one command, such as ``python tools/x.py a b``, in this process; returns the exit code."""
    script, *words = command.split() if isinstance(command, str) else command
    return importlib.import_module(script.removesuffix(".py").replace("/", ".")).main(words)


def make(folder):
    """Write all that the pages name into an empty folder, which becomes the working directory meanwhile."""
    before = pathlib.Path.cwd()
    os.chdir(folder)
    try:
        _booru()
        _own("my", "my/definition.toml")
        _own("demo", "demo/booru/definition.toml")
        _taggers_of_others()
        _texts()
    finally:
        os.chdir(before)


def _done(command):
    assert run(command) == 0, command


def _booru():
    _done("tools/make_demo_booru.py demo/booru --images 300 --seed 0")
    pathlib.Path("my").mkdir()
    pathlib.Path("my/definition.toml").write_text(DEFINITION)
    for name in ("danbooru.db", "512px", "truth.csv"):
        pathlib.Path(name).symlink_to(f"demo/booru/{name}")
    true = [line.split(",") for line in pathlib.Path("truth.csv").read_text().splitlines()[1:]]
    pathlib.Path("pictures").mkdir()
    pathlib.Path("new_pictures").mkdir()
    for number, (post, tags) in enumerate(true[:NUM_CAPTIONED]):
        source = pathlib.Path("512px", f"{int(post) % 1000:04d}", f"{post}.jpg")
        shutil.copy(source, "pictures")
        pathlib.Path("pictures", f"{post}.txt").write_text(tags.replace(" ", ", ").replace("_", " "))
        shutil.copy(source, f"new_pictures/{number}.jpg")
    shutil.copy("new_pictures/0.jpg", "a.jpg")
    shutil.copy("new_pictures/1.jpg", "b.png")


def _own(name, definition):
    """A dataset, a run, predictions and a release: of ``my`` with ratings, of ``demo`` without."""
    dataset, made = f"{name}/dataset", {"my": "runs/convnext_t", "demo": "demo/run"}[name]
    words = f"{definition} --source fire-eggs --from danbooru.db --images 512px"
    _done(f"tools/select_tags.py {words} -o {dataset}")
    _done(f"tools/write_records.py {dataset} --images 512px")
    training = f"--dataset {dataset} --run-dir {made} --batch-size-per-device 4"
    _done(f"train.py convnext_t {training} {MODEL} {STEPS}")
    dumps = {"my": ("dumps/convnext_t", "dumps/test"), "demo": ("demo/dump", "demo/test_dump")}[name]
    for split, dump in zip(("validation", "test"), dumps, strict=True):
        _done(f"tools/predict.py {made} --dataset {dataset} --split {split} -o {dump}")
    if name == "my":
        _done(f"tools/select_tags.py {words} -o my/newer")
        _done(
            f"tools/predict.py {made} --dataset {dataset} --split validation --padding black -o dumps/black"
        )
        _done(f"tools/predict.py {made} --dataset {dataset} --split train -o folds/2")
        copies = {"dumps/vit_b16": dumps[0], "test/convnext_t": dumps[1], "test/vit_b16": dumps[1],
                  "folds/0": dumps[0], "folds/1": dumps[1]}  # fmt: skip
        release = "releases/convnext_t"
        _done("tools/find_thresholds.py dumps/convnext_t -o thresholds.csv --rule p-equals-r")
        _done(f"tools/export_model.py {made} -o {release} --thresholds thresholds.csv")
        copies |= {"releases/mine": release, "runs/base": made, "runs/mine": made}
    else:
        release = "demo/release"
        _done(f"tools/predict.py {made} --dataset {dataset} --split train -o demo/labels/folds/all")
        for place in ("demo", "demo/labels"):
            _done(f"tools/find_thresholds.py demo/dump -o {place}/thresholds.csv --rule p-equals-r")
        _done(f"tools/export_model.py {made} -o {release} --layout full")
        copies = {"demo/release_96": release, "dumps/before": dumps[0], "dumps/after": dumps[0]}
    for copy, source in copies.items():
        shutil.copytree(source, copy)
    if name == "my":
        _done("tools/ensemble.py folds/0 folds/1 folds/2 --stack -o folds/all")
        _done("tools/audit_labels.py folds/all -o audit.json --operating-point thresholds.csv --also-wrong")
        _done("tools/answer_audit.py audit.json --truth truth.csv --tags my/dataset/selected_tags.csv"
              " -o decisions.jsonl")  # fmt: skip


def _taggers_of_others():
    pathlib.Path("wd-swinv2-tagger-v3").mkdir()
    folder_of("swinv2_wd", pathlib.Path("wd-swinv2-tagger-v3"))


def _texts():
    """Exports of tags, lists of posts and of tags, as the pages name them."""
    database = sqlite3.connect("danbooru.db")
    tags = database.execute("SELECT tag_id, name, category, count FROM tags").fetchall()
    names_of = {}
    for post, tag in database.execute("SELECT image_id, tag_id FROM imageTags"):
        names_of.setdefault(post, []).append(tag)
    names = {tag_id: (name, CATEGORY_NAMES[category]) for tag_id, name, category, _ in tags}
    posts = []
    for post, rating in database.execute("SELECT image_id, rating FROM images ORDER BY image_id"):
        fields = {f"tag_string_{word}": "" for word in CATEGORY_NAMES.values()}
        for tag in names_of.get(post, []):
            name, word = names[tag]
            fields[f"tag_string_{word}"] = f"{fields[f'tag_string_{word}']} {name}".strip()
        posts.append({"id": post, "rating": rating, **fields})
    database.close()
    lines = "".join(f"{json.dumps(post)}\n" for post in posts)
    pathlib.Path("posts.jsonl").write_text(lines)
    pathlib.Path("posts.json.gz").write_bytes(gzip.compress(lines.encode()))
    pq.write_table(pa.Table.from_pylist(posts), "posts.parquet")
    rows = "".join(f"{tag_id},{name},{category},{count}\n" for tag_id, name, category, count in tags)
    pathlib.Path("tags.csv").write_text(f"id,name,category,post_count\n{rows}")
    shutil.copy("my/dataset/selected_tags.csv", "selected_tags.csv")
    pairs = "antecedent_name,consequent_name,status\ncat_ears,animal_ears,active\n"
    for name in ("implications", "tag_implications"):
        pathlib.Path(f"{name}.csv").write_text(pairs)
    for name in ("aliases", "tag_aliases"):
        pathlib.Path(f"{name}.csv").write_text(pairs.replace("cat_ears,animal_ears", "one_girl,1girl"))
    pathlib.Path("ids.txt").write_text("".join(f"{post['id']}\n" for post in posts[:9]))
    pathlib.Path("groups.csv").write_text(
        "group,post_id,path,distance,parent_id\n"
        + "".join(f"0,{post['id']},,0,\n" for post in posts[:2])
    )  # fmt: skip
    pathlib.Path("groups.toml").write_text('mouth = ["smile", "open_mouth"]\nnumber = ["1girl", "solo"]\n')
