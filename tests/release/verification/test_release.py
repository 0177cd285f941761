"""A release that was exported passes; every rule can fail; faults that users hit are named."""

import dataclasses
import json
import shutil

import numpy as np
import onnx
import pytest
from helpers.exported_release import SIZE, altered, editing, faults, without_timm
from onnx import helper, numpy_helper

import Models
from Utils.release import release_folder
from Utils.release.verification.reference import Reference, drawn_images
from Utils.release.verification.release import ReferenceModel, Verification
from Utils.tags import tag_list


@pytest.fixture(scope="module")
def reference(exported):
    tagger = Models.load(exported / "run")
    return ReferenceModel(tagger.model, tagger.tags)


@pytest.fixture
def copy(exported, tmp_path):
    return without_timm(shutil.copytree(exported / "release", tmp_path / "release"))


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
            node.input[:] = ["turned" if value == name else value for value in node.input]
        model.graph.initializer.append(numpy_helper.from_array(np.array([2, 1, 0]), "order"))
        model.graph.node.insert(0, helper.make_node("Gather", [name, "order"], ["turned"], axis=3))


def turn_first_kernel(folder, exported):
    with editing(folder) as model:
        kernel = next(
            tensor for tensor in model.graph.initializer if len(tensor.dims) == 4 and tensor.dims[1] == 3
        )
        value = numpy_helper.to_array(kernel)[:, ::-1].copy()
        kernel.CopyFrom(numpy_helper.from_array(value, kernel.name))


def give_logits(folder, exported):
    with editing(folder) as model:
        sigmoid = next(node for node in model.graph.node if model.graph.output[0].name in node.output)
        model.graph.node.remove(sigmoid)
        before = next(node for node in model.graph.node if sigmoid.input[0] in node.output)
        before.output[:] = [model.graph.output[0].name]


def swap_two_outputs(folder, exported):
    with editing(folder) as model:
        for tensor in model.graph.initializer:
            if tensor.dims and tensor.dims[-1] == 18:  # the head's weights and bias
                value = numpy_helper.to_array(tensor).copy()
                value[..., [5, 9]] = value[..., [9, 5]]
                tensor.CopyFrom(numpy_helper.from_array(value, tensor.name))


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


PLANTED = [
    (shuffle, "R1", "shuffled CSV"),
    (swap_two_of_equal_count, "R1", "shuffled CSV"),
    (swap_two_outputs, "R2", "outputs in another order"),
    (take_rgb, "R2", "RGB instead of BGR"),
    (turn_first_kernel, "R2", "RGB instead of BGR"),
    (give_logits, "R2", "logits instead of probabilities"),
    (fix_batch, "R2", "fixed batch"),
    (fix_batch_inside, "R4", "fixed batch"),
    (put_weights_elsewhere, "R3", "external data"),
    (lose_weights, "R3", "external data"),
]


@pytest.mark.parametrize(("plant", "rule", "fault"), PLANTED, ids=[plant.__name__ for plant, *_ in PLANTED])
def test_a_planted_fault_is_named_and_no_other(plant, rule, fault, exported, reference, copy):
    plant(copy, exported)
    assert faults(Verification(copy, reference).run()) == {(rule, fault)}


def test_faults_that_come_together_are_all_named(exported, reference, copy):
    take_rgb(copy, exported)
    give_logits(copy, exported)
    verification = Verification(copy, reference).run()
    assert faults(verification) == {
        ("R2", "RGB instead of BGR"), ("R2", "logits instead of probabilities")
    }  # fmt: skip


def test_a_difference_without_a_name_is_reported_with_its_size_and_place(exported, reference, copy):
    wrong_model = altered(exported, epsilon=1e-2)
    release_folder.write_onnx(release_folder.released(wrong_model, np.arange(18)), copy / "model.onnx")
    images = drawn_images(SIZE, 8)
    right, wrong = (
        Reference(model, np.arange(18)).probabilities(images) for model in (reference.model, wrong_model)
    )
    image, output = np.unravel_index(np.abs(wrong - right).argmax(), right.shape)
    failures = Verification(copy, reference).run().findings.failures
    assert {
        (finding.rule, finding.wrong, finding.fault) for finding in failures if finding.rule == "parity"
    } == {("parity", "model.onnx differs from Keras", "")}
    came = next(finding.came for finding in failures if finding.rule == "parity")
    assert came.endswith(f"at sample {image} and output {output}, {reference.tags['name'][output]}")
    assert float(came.split(",")[0]) == pytest.approx(np.abs(wrong - right).max(), rel=0.05)


def test_numbers_and_rows_that_differ_are_reported_as_what_they_are(exported, reference, copy):
    table = copy / "selected_tags.csv"
    table.write_text(table.read_text().replace("\n1,tag_0_(0),0,900\n", "\n77,tag_0_(0),0,901\n"))
    with editing(copy) as model:
        bias = next(tensor for tensor in model.graph.initializer if list(tensor.dims) == [18])
        value = numpy_helper.to_array(bias).copy()
        value[3] = np.nan
        bias.CopyFrom(numpy_helper.from_array(value, bias.name))
    findings = Verification(copy, reference).run().findings
    came = {
        finding.wrong: (finding.rule, finding.allowed, finding.came, finding.fault)
        for finding in findings.failures
    }
    rows = came.pop("1 row differs from the Keras model's list, the first is row 4")
    assert rows == ("R1", "1,tag_0_(0),0", "77,tag_0_(0),0", "")
    assert came.pop("the rows are not those of release.json")[0] == "R1"
    assert came == {
        "model.onnx gives no numbers": ("R2", "probabilities", "8 of 144 are NaN or infinite", "")
    }
    table.write_text(table.read_text().replace("\n77,", "\n1,"))
    warned = [
        finding for finding in Verification(copy, reference).run().findings.warnings if finding.rule == "R1"
    ]
    assert [(finding.allowed, finding.came) for finding in warned] == [("tag_0_(0) 900", "tag_0_(0) 901")]


def test_a_run_tells_which_of_two_models_is_wrong(exported, reference, copy):
    wrong = altered(exported, epsilon=1e-2)
    verification = Verification(copy, ReferenceModel(wrong, reference.tags)).run()
    assert [finding.wrong for finding in verification.findings.failures if finding.rule == "parity"] == [
        "model.onnx differs from Keras"
    ]
    verification = Verification(
        copy, ReferenceModel(reference.model, reference.tags, released_model=wrong)
    ).run()
    assert [finding.wrong for finding in verification.findings.failures] == ["extra/keras differs from Keras"]


def test_labels_give_scores_without_the_tags_that_nobody_labeled(reference, copy):
    images = drawn_images(SIZE, 6, seed=3)
    right = Reference(reference.model, np.arange(18)).probabilities(images)
    labels = (right > np.median(right, axis=0)).astype(np.int8)
    labels[:, 7] = -1
    with_labels = ReferenceModel(reference.model, reference.tags, images, labels)
    verification = Verification(copy, with_labels).run()
    assert verification.findings.failures == []
    assert 0.5 < verification.agreements[0].f1 <= 1
    assert verification.agreements[0].f1_difference == 0


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
            node.output[:] = ["tags" if value == name else value for value in node.output]
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
    (table_with(b",0,900\n", b",7,900\n"), {"R1", "R7"}),
    (thresholds_of_words, {"R7"}),
    (broken("model.onnx"), {"R8"}),
    (broken("model.onnx", "no graph"), {"R2"}),
    (broken("selected_tags.csv", "tag_id,name\n1,x\n"), {"R1"}),
    (broken("preprocess.json"), {"R7"}),
    (broken("categories.json", "["), {"R1", "R7"}),  # the list cannot be read without its names
    (broken("categories.json", '[{"category": 0, "name": "all"}]'), {"R7"}),
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
    plant(copy)
    verification = Verification(copy, ReferenceModel()).run()
    assert {finding.rule for finding in verification.findings.failures} == rules


def test_a_layout_that_clients_cannot_cut_is_a_warning(reference, copy):
    """Only readers by category remain, and none of them tells series."""
    folder = copy
    frame = reference.tags.assign(category=reference.tags["category"].replace({4: 3}))
    tag_list.write(frame, folder / "selected_tags.csv")
    (folder / "categories.json").write_text(json.dumps(release_folder.categories(frame)))
    (folder / "release.json").write_text(
        json.dumps({"layout": "full", "tags_digest": tag_list.digest(frame)})
    )
    verification = Verification(folder, dataclasses.replace(reference, tags=frame)).run()
    assert verification.findings.failures == []
    assert verification.findings.state("R10") == "passed"
    warned = {finding.wrong.split()[0] for finding in verification.findings.warnings if finding.rule == "R10"}
    assert {"kohya", "standalone", "picobyte", "comfy"} <= warned
