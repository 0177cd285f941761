"""A release that was exported passes; every planted fault is named; formats are held against Keras."""

import contextlib
import dataclasses
import importlib.util
import json
import shutil

import keras
import numpy as np
import onnx
import pytest
from helpers.weights import randomized
from onnx import helper, numpy_helper

import Models
from tools import export_model, verify_release
from Utils.images import codec
from Utils.release import release_folder
from Utils.release.verification import agreement, diagnosis, graphs, reference, release
from Utils.tags import tag_list

OPTIONS = {"depth": 1, "width": 32, "mlp_width": 64, "heads": 2, "layer_scale": None}
SIZE = 32


def tag_csv():
    """Ratings, general and character tags: 18."""
    rows = [(9999999 - place, name, 9, 0) for place, name in enumerate(tag_list.RATINGS)]
    for category, many in ((0, 10), (4, 4)):
        rows += [(100 * category + i + 1, f"tag_{category}_({i})", category, 900 - i) for i in range(many)]
    return "tag_id,name,category,count\n" + "".join(f"{','.join(map(str, row))}\n" for row in rows)


def build(num_labels=18, **options):
    model = Models.build(
        "ViT/B16", image_size=SIZE, num_labels=num_labels, classifier_activation=None, **OPTIONS | options
    )
    return randomized(model)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A run and its release, which the tests copy."""
    folder = tmp_path_factory.mktemp("exported")
    keras.utils.set_random_seed(7)
    (folder / "run").mkdir()
    build().save(folder / "run" / "best.keras")
    (folder / "run" / "selected_tags.csv").write_text(tag_csv())
    words = ["layer_scale=none", *(f"{name}={value}" for name, value in OPTIONS.items() if value)]
    (folder / "run" / "recipe.json").write_text(json.dumps({"model": "ViT/B16", "model_options": words}))
    assert export_model.main([str(folder / "run"), "-o", str(folder / "release")]) == 0
    return folder


@pytest.fixture(scope="module")
def given(exported):
    tagger = Models.load(exported / "run")
    return release.Given(tagger.model, tagger.tags)


@pytest.fixture
def copy(exported, tmp_path):
    return shutil.copytree(exported / "release", tmp_path / "release")


def other(exported, **options):
    """The released model with the same weights, built otherwise."""
    right = keras.saving.load_model(exported / "run" / "best.keras")
    model = Models.build("ViT/B16", image_size=SIZE, num_labels=18, **OPTIONS | options)
    model.set_weights(right.get_weights())
    return model


def faults(found):
    return {(one.rule, one.fault) for one in found.findings.failures if one.fault}


@contextlib.contextmanager
def editing(folder):
    """Change model.onnx in place."""
    model = onnx.load(str(folder / "model.onnx"))
    yield model
    onnx.save(model, str(folder / "model.onnx"))


def without_timm(folder):
    """Timm's files are looked at in a test of their own: torch takes seconds."""
    for name in ("config.json", "model.safetensors"):
        (folder / name).unlink()
    return folder


def test_a_release_passes(exported, capsys):
    assert verify_release.main([str(exported / "release"), "--run", str(exported / "run"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["passed"] is True
    assert found["failures"] == []
    states = {rule: one["state"] for rule, one in found["rules"].items()}
    assert states == {**{f"R{i}": "passed" for i in range(1, 11)}, "parity": "passed"}
    formats = {one["name"]: one for one in found["parity"]}
    with_timm = {"timm"} if importlib.util.find_spec("timm") else set()  # which nobody has to install
    assert set(formats) == {"model.onnx", "extra/keras"} | with_timm
    for one in formats.values():
        assert one["p999"] <= one["maximum"] < 1e-5
        assert (one["same_tags"], one["f1"]) == (1, None)
    assert any("448" in one["wrong"] for one in found["warnings"])


# Each plants one fault in a release folder.


def shuffle(folder, exported):
    head, *rows = (folder / "selected_tags.csv").read_text().splitlines()
    np.random.default_rng(0).shuffle(rows)
    (folder / "selected_tags.csv").write_text("\n".join([head, *rows]) + "\n")


def swap_two_of_equal_count(folder, exported):
    """An order that no rule on counts can tell: only the model's own list and the digest do."""
    for path in (folder / "selected_tags.csv", folder / "extra" / "keras" / "selected_tags.csv"):
        path.write_text(path.read_text().replace(",0,898\n", ",0,899\n"))
    head, *rows = (folder / "selected_tags.csv").read_text().splitlines()
    first, second = (row.split(",") for row in rows[5:7])
    first[:2], second[:2] = second[:2], first[:2]
    rows[5:7] = [",".join(first), ",".join(second)]
    (folder / "selected_tags.csv").write_text("\n".join([head, *rows]) + "\n")


def take_rgb(folder, exported):
    with editing(folder) as model:
        name = model.graph.input[0].name
        for node in model.graph.node:
            node.input[:] = ["turned" if one == name else one for one in node.input]
        model.graph.initializer.append(numpy_helper.from_array(np.array([2, 1, 0]), "order"))
        model.graph.node.insert(0, helper.make_node("Gather", [name, "order"], ["turned"], axis=3))


def turn_first_kernel(folder, exported):
    with editing(folder) as model:
        kernel = next(one for one in model.graph.initializer if len(one.dims) == 4 and one.dims[1] == 3)
        value = numpy_helper.to_array(kernel)[:, ::-1].copy()
        kernel.CopyFrom(numpy_helper.from_array(value, kernel.name))


def give_logits(folder, exported):
    with editing(folder) as model:
        sigmoid = next(node for node in model.graph.node if model.graph.output[0].name in node.output)
        model.graph.node.remove(sigmoid)
        before = next(node for node in model.graph.node if sigmoid.input[0] in node.output)
        before.output[:] = [model.graph.output[0].name]


def give_softmax(folder, exported):
    with editing(folder) as model:
        next(node for node in model.graph.node if node.op_type == "Sigmoid").op_type = "Softmax"


def fix_batch(folder, exported):
    with editing(folder) as model:
        for value in (model.graph.input[0], model.graph.output[0]):
            value.type.tensor_type.shape.dim[0].dim_value = 1


def fix_batch_inside(folder, exported):
    """The batch may be any by the shape of the input, but not by what is done with it."""
    with editing(folder) as model:
        name, size = model.graph.input[0].name, model.graph.input[0].type.tensor_type.shape.dim[1].dim_value
        for node in model.graph.node:
            node.input[:] = ["one" if item == name else item for item in node.input]
        model.graph.initializer.append(numpy_helper.from_array(np.array([1, size, size, 3]), "shape"))
        model.graph.node.insert(0, helper.make_node("Reshape", [name, "shape"], ["one"]))


def put_weights_elsewhere(folder, exported):
    model = onnx.load(str(folder / "model.onnx"))
    onnx.save(
        model, str(folder / "model.onnx"), save_as_external_data=True, location="w.bin", size_threshold=0
    )


def lose_weights(folder, exported):
    put_weights_elsewhere(folder, exported)
    (folder / "w.bin").unlink()


def change_epsilon(value):
    def change(folder, exported):
        with editing(folder) as model:
            found = [one for one in model.graph.initializer if np.prod(one.dims) == 1 and one.data_type == 1]
            for one in found:
                if abs(float(numpy_helper.to_array(one).ravel()[0]) - 1e-6) < 1e-9:
                    changed = np.full(tuple(one.dims), value, np.float32)
                    one.CopyFrom(numpy_helper.from_array(changed, one.name))

    return change


def write_again(**options):
    def write(folder, exported):
        model = release_folder.released(other(exported, **options), np.arange(18))
        release_folder.write_onnx(model, folder / "model.onnx")

    return write


PLANTED = [
    (shuffle, "R1", "shuffled CSV"),
    (swap_two_of_equal_count, "R1", "shuffled CSV"),
    (take_rgb, "R2", "RGB instead of BGR"),
    (turn_first_kernel, "R2", "RGB instead of BGR"),
    (give_logits, "R2", "logits instead of probabilities"),
    (fix_batch, "R2", "fixed batch"),
    (fix_batch_inside, "R4", "fixed batch"),
    (put_weights_elsewhere, "R3", "external data"),
    (lose_weights, "R3", "external data"),
    (give_softmax, "R2", "a softmax instead of a sigmoid"),
    (change_epsilon(1e-3), "parity", "a wrong epsilon"),
    (change_epsilon(1e-5), "parity", "a wrong epsilon"),
    (change_epsilon(1e-7), "parity", "a wrong epsilon"),
    (write_again(activation="gelu_tanh"), "parity", "a tanh GELU for an exact one"),
]
NAMES = ["-".join(fault.split() + [str(i)]) for i, (_, _, fault) in enumerate(PLANTED)]


@pytest.mark.parametrize(("plant", "rule", "fault"), PLANTED, ids=NAMES)
def test_a_planted_fault_is_named_and_no_other(plant, rule, fault, exported, given, copy):
    plant(without_timm(copy), exported)
    found = release.Verification(copy, given).run()
    assert faults(found) == {(rule, fault)}


def test_numbers_and_rows_that_differ_are_told_as_what_they_are(exported, given, copy):
    table = without_timm(copy) / "selected_tags.csv"
    table.write_text(table.read_text().replace("\n1,tag_0_(0),0,900\n", "\n77,tag_0_(0),0,901\n"))
    with editing(copy) as model:
        bias = next(one for one in model.graph.initializer if list(one.dims) == [18])
        value = numpy_helper.to_array(bias).copy()
        value[3] = np.nan
        bias.CopyFrom(numpy_helper.from_array(value, bias.name))
    found = release.Verification(copy, given).run().findings
    told = {one.wrong: (one.rule, one.allowed, one.came, one.fault) for one in found.failures}
    rows = told.pop("1 rows differ from the Keras model's list, the first is row 4")
    assert rows == ("R1", "1,tag_0_(0),0", "77,tag_0_(0),0", "")
    assert told.pop("the rows are not those of release.json")[0] == "R1"
    assert told == {
        "model.onnx gives no numbers": ("R2", "probabilities", "8 of 144 are NaN or infinite", "")
    }
    table.write_text(table.read_text().replace("\n77,", "\n1,"))
    warned = [one for one in release.Verification(copy, given).run().findings.warnings if one.rule == "R1"]
    assert [(one.allowed, one.came) for one in warned] == [("tag_0_(0) 900", "tag_0_(0) 901")]


def test_two_faults_at_once(exported, given, copy):
    take_rgb(without_timm(copy), exported)
    give_logits(copy, exported)
    change_epsilon(1e-3)(copy, exported)
    found = release.Verification(copy, given).run()
    assert faults(found) == {
        ("R2", "RGB instead of BGR"), ("R2", "logits instead of probabilities"), ("parity", "a wrong epsilon")
    }  # fmt: skip


def test_the_table(exported, copy, capsys):
    fix_batch(without_timm(copy), exported)
    assert verify_release.main([str(copy)]) == 1
    shown = capsys.readouterr().out
    assert "rule  what was wrong" in shown
    line = next(line for line in shown.splitlines() if line.startswith("R2    fixed batch"))
    assert "any number of images" in line


def test_without_a_model_of_its_own_a_run_is_needed(exported, copy, capsys):
    (without_timm(copy) / "extra" / "keras" / "model.keras").write_text("no model")
    assert verify_release.main([str(copy)]) == 1
    assert "extra/keras does not load" in capsys.readouterr().out
    shutil.rmtree(copy / "extra" / "keras")
    assert verify_release.main([str(copy), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["rules"]["parity"]["state"] == found["rules"]["R10"]["state"] == "skipped"
    assert [one["rule"] for one in found["warnings"] if "compare" in one["wrong"]] == ["parity"]
    give_logits(copy, exported)
    assert verify_release.main([str(copy), "--run", str(exported / "run")]) == 1
    assert "logits instead of probabilities" in capsys.readouterr().out


def test_a_run_says_which_of_two_models_is_wrong(exported, given, copy):
    wrong = other(exported, epsilon=1e-3)
    found = release.Verification(without_timm(copy), release.Given(wrong, given.tags)).run()
    assert [(one.fault, one.came) for one in found.findings.failures if "1e-06;" in f"{one.came};"]
    found = release.Verification(copy, release.Given(given.model, given.tags, other=wrong)).run()
    assert [(one.wrong, one.came) for one in found.findings.failures] == [
        ("extra/keras: a wrong epsilon", "0.001")
    ]


def test_pictures_and_labels(given, exported, copy, tmp_path, capsys):
    pictures = reference.samples(SIZE, 6, seed=3)
    right = diagnosis.sigmoid(reference.Reference(given.model, np.arange(18)).logits(pictures))
    labels = (right > np.median(right, axis=0)).astype(np.int8)
    labels[:, 7] = -1
    with_labels = release.Given(given.model, given.tags, pictures, labels)
    found = release.Verification(without_timm(copy), with_labels).run()
    assert found.findings.failures == []
    assert 0.5 < found.agreements[0].f1 <= 1
    assert found.agreements[0].f1_difference == 0
    for number, picture in enumerate(pictures[:3]):
        (tmp_path / "pictures").mkdir(exist_ok=True)
        (tmp_path / "pictures" / f"{number}.jpg").write_bytes(codec.encode_jpeg(picture))
    (tmp_path / "pictures" / "broken.jpg").write_bytes(b"no picture")
    assert verify_release.main([str(copy), "--images", str(tmp_path / "pictures")]) == 0
    shown = capsys.readouterr()
    assert "left out: broken.jpg" in shown.err
    assert "3 images" in shown.out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["nowhere"], "a release folder was expected at nowhere; found nothing"),
        (["RELEASE", "--most", "1"], "--most must be 2 or more; got 1"),
        (["RELEASE", "--images", "RELEASE/extra/keras"], "no image found"),
        (["RELEASE", "--dataset", "nowhere"], "a dataset folder was expected"),
    ],
)
def test_wrong_use(words, told, exported, capsys):
    assert verify_release.main([word.replace("RELEASE", str(exported / "release")) for word in words]) == 2
    assert told in capsys.readouterr().err


def test_one_good_picture_is_too_few(exported, tmp_path, capsys):
    (tmp_path / "good.jpg").write_bytes(codec.encode_jpeg(np.zeros((40, 40, 3), np.uint8)))
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    assert verify_release.main([str(exported / "release"), "--images", str(tmp_path)]) == 2
    assert f"two pictures or more are needed; {tmp_path} has 1" in capsys.readouterr().err


def broken(name, text=None):
    def make(folder):
        if text is None:
            (folder / name).unlink()
        else:
            (folder / name).write_text(text)

    return make


def second_model(folder):
    shutil.copy(folder / "model.onnx", folder / "model_int8.onnx")


def second_table(folder):
    (folder / "thresholds.csv").write_text("x\n")


def one_timm_file(folder):
    (folder / "config.json").write_text("{}")


def wrong_channels(folder):
    said = json.loads((folder / "preprocess.json").read_text())
    (folder / "preprocess.json").write_text(json.dumps({**said, "channels": "RGB"}))


def a_late_general_tag(folder):
    with (folder / "selected_tags.csv").open("a") as file:
        file.write(",my_tag,0,\n")


def floats(folder):
    path = folder / "selected_tags.csv"
    path.write_text(path.read_text().replace(",900\n", ",900.0\n"))


def renamed_output(folder):
    with editing(folder) as model:
        name = model.graph.output[0].name
        for node in model.graph.node:
            node.output[:] = ["tags" if one == name else one for one in node.output]
        model.graph.output[0].name = "tags"


def folder_for_model(folder):
    (folder / "model.onnx").unlink()
    (folder / "model.onnx").mkdir()


def table_with(old, new):
    def change(folder):
        text = (folder / "selected_tags.csv").read_bytes()
        assert old in text
        (folder / "selected_tags.csv").write_bytes(text.replace(old, new, 1))

    return change


def thresholds_of_words(folder):
    path = folder / "selected_tags.csv"
    head, *rows = path.read_text().splitlines()
    path.write_text("\n".join([f"{head},best_threshold", *(f"{row},high" for row in rows)]) + "\n")


RULES = [
    (folder_for_model, {"R8"}),
    (table_with(b"tag_id", b"\xef\xbb\xbftag_id"), {"R1"}),
    (table_with(b"\n1,", b"\n\n1,"), {"R1"}),
    (table_with(b",0,900\n", b",general,900\n"), {"R1"}),
    (table_with(b",0,900\n", b",7,900\n"), {"R1"}),
    (thresholds_of_words, {"R7"}),
    (broken("model.onnx"), {"R8"}),
    (broken("model.onnx", "no graph"), {"R2"}),
    (broken("selected_tags.csv", "tag_id,name\n1,x\n"), {"R1"}),
    (broken("preprocess.json"), {"R7"}),
    (broken("categories.json", "["), {"R7"}),
    (broken("release.json", "{"), {"R8"}),
    (second_model, {"R7"}),
    (second_table, {"R7"}),
    (one_timm_file, {"R6"}),
    (wrong_channels, {"R7"}),
    (a_late_general_tag, {"R1", "R2", "R7"}),
    (floats, {"R1"}),
    (renamed_output, {"R5"}),
]


@pytest.mark.parametrize(
    ("plant", "rules"), RULES, ids=[f"{i}-{'-'.join(sorted(r))}" for i, (_, r) in enumerate(RULES)]
)
def test_every_rule_can_fail(plant, rules, copy):
    plant(without_timm(copy))
    found = release.Verification(copy, release.Given()).run()
    assert {one.rule for one in found.findings.failures} == rules


def test_a_layout_that_clients_cannot_cut_is_told(exported, given, tmp_path):
    """Only readers by category remain, and none of them tells series."""
    folder = without_timm(shutil.copytree(exported / "release", tmp_path / "full"))
    frame = given.tags.assign(category=given.tags["category"].replace({4: 3}))
    tag_list.write(frame, folder / "selected_tags.csv")
    (folder / "categories.json").write_text(json.dumps(release_folder.categories(frame)))
    (folder / "release.json").write_text(
        json.dumps({"layout": "full", "tags_digest": tag_list.digest(frame)})
    )
    found = release.Verification(folder, dataclasses.replace(given, tags=frame)).run()
    assert found.findings.failures == []
    assert found.findings.state("R10") == "passed"
    told = {one.wrong.split()[0] for one in found.findings.warnings if one.rule == "R10"}
    assert {"kohya", "standalone", "picobyte", "comfy"} <= told


def test_a_difference_of_almost_nothing_is_named_by_its_direction():
    """Batch norm is folded into the weights of a graph, where no epsilon is to be seen."""
    model = randomized(Models.build("ResNet/test", image_size=SIZE, num_labels=6))
    truth = reference.Reference(model, np.arange(6))
    probes = truth.probes(2)
    right, wrong = (truth.logits(probes, reference.Change(epsilon=value)) for value in (None, 1e-5))
    assert 0 < np.abs(wrong - right).max() < 1e-6
    rounding = 1e-7 * np.random.default_rng(0).standard_normal(right.shape) * right.std()
    for logits, named in ((wrong + rounding, [("a wrong epsilon", "1e-05")]), (right + rounding, [])):
        found = diagnosis.find(diagnosis.sigmoid(logits), logits, truth, probes)
        assert [(one.fault, one.came) for one in found] == named


def test_normalizations_and_gelus_leave_their_marks():
    nodes = [
        helper.make_node("LayerNormalization", ["x", "s"], ["a"], epsilon=1e-3),
        helper.make_node("Gelu", ["a"], ["b"], approximate="tanh"),
        helper.make_node("Erf", ["b"], ["c"]),
        helper.make_node("Add", ["c", "e"], ["d"]),
        helper.make_node("Sqrt", ["d"], ["y"]),
    ]
    values = [helper.make_tensor_value_info(name, 1, [None, 4]) for name in "xy"]
    constants = [
        numpy_helper.from_array(np.float32(1e-5), "e"),
        numpy_helper.from_array(np.ones(4, "f"), "s"),
    ]
    model = helper.make_model(helper.make_graph(nodes, "marks", values[:1], values[1:], constants))
    found = graphs.marks(model)
    assert dict(found.epsilons) == {1e-3: 1, 1e-5: 1}
    assert (found.erf, found.tanh) == (1, 1)


def test_the_threshold_lies_in_a_gap():
    values = np.array([[0.1, 0.11, 0.12, 0.5], [0.51, 0.52, 0.9, 0.91]])
    assert agreement.gap(values) == pytest.approx(0.31)
    assert agreement.gap(np.full((2, 2), 0.5)) == 0.5
