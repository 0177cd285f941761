"""Utils.evaluation.predictions: what is written is what is read, streamed, checked; selections by category
and rank."""

import numpy as np
import pandas as pd
import pytest

from Utils.command.cli import UserError
from Utils.evaluation import predictions
from Utils.tags import tag_list

RNG = np.random.default_rng(0)
TAGS = pd.DataFrame(
    {
        "tag_id": [7, 1, 2, 3, 9, 8],
        "name": ["general", "hat", "smile", "tree", "series_x", "alice"],
        "category": [9, 0, 0, 0, 3, 4],
        "count": [900, 50, 80, 50, 30, 20],
    }
)


def written(folder, rows=10, batch=4, **options):
    p, y = RNG.random((rows, 6)).astype(np.float32), RNG.random((rows, 6)) < 0.3
    with predictions.writing(folder, TAGS, **options) as writer:
        for at in range(0, rows, batch):
            part = slice(at, min(at + batch, rows))
            writer.add(
                p[part], np.arange(rows)[part] + 2**40, y[part] if options.get("labels", True) else None
            )
    return p, y


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("rows", [0, 1, 10])
def test_a_written_table_reads_back(tmp_path, dtype, rows):
    p, y = written(tmp_path / "dump", rows, dtype=dtype, info={"run_name": "a run"})
    dump = predictions.load(tmp_path / "dump")
    assert dump.name == "a run"
    assert dump.probabilities.dtype == dtype
    assert np.array_equal(dump.probabilities, p.astype(dtype))
    assert dump.labels.dtype == np.uint8
    assert np.array_equal(dump.labels, y)
    assert dump.image_ids.tolist() == [2**40 + i for i in range(rows)]
    assert dump.tags.equals(TAGS)
    assert np.array_equal(np.load(tmp_path / "dump" / "probabilities.npy"), p.astype(dtype))


def test_a_header_has_room_for_any_number_of_rows(tmp_path):
    """The header is written twice, with other row counts, in the same bytes."""
    rows = predictions._GrowingArray(tmp_path / "x.npy", np.dtype(np.float16), (6,))
    start = rows.file.tell()
    rows.rows = 10**12
    rows.file.seek(0)
    rows._write_header()
    assert rows.file.tell() == start
    rows.file.close()


def test_the_same_predictions_give_the_same_bytes(tmp_path):
    for name, batch in (("a", 3), ("b", 10)):
        global RNG
        RNG = np.random.default_rng(5)
        written(tmp_path / name, batch=batch)
    for file in ("probabilities.npy", "labels.npy", "image_ids.npy", "selected_tags.csv", "dump.json"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes(), file


def test_a_dump_is_complete_or_absent_and_is_kept(tmp_path):
    with pytest.raises(RuntimeError), predictions.writing(tmp_path / "dump", TAGS) as writer:
        writer.add(np.zeros((1, 6)), [1], np.zeros((1, 6)))
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
    written(tmp_path / "dump")
    with pytest.raises(UserError, match="--overwrite"):
        written(tmp_path / "dump")
    written(tmp_path / "dump", 3, overwrite=True)
    assert len(predictions.load(tmp_path / "dump").probabilities) == 3


def test_no_tool_needs_dump_json_or_labels(tmp_path):
    written(tmp_path / "dump", labels=False)
    (tmp_path / "dump" / "dump.json").unlink()
    dump = predictions.load(tmp_path / "dump")
    assert dump.name == "dump"
    assert dump.info == {}
    with pytest.raises(UserError, match="nothing to score against"):
        dump.require_labels()


def test_numbers_of_dump_json_are_numbers_or_none(tmp_path):
    info = {"params": 5, "a": "5", "b": -1, "c": True, "d": [], "e": None}
    written(tmp_path / "dump", info=info)
    dump = predictions.load(tmp_path / "dump")
    assert dump.number("params") == 5
    assert all(np.isnan(dump.number(name)) for name in "abcdef")


def test_a_batch_of_wrong_shape_is_refused(tmp_path):
    with pytest.raises(ValueError), predictions.writing(tmp_path / "a", TAGS) as writer:
        writer.add(np.zeros((2, 6)), [1], np.zeros((2, 6)))
    with pytest.raises(ValueError), predictions.writing(tmp_path / "a", TAGS) as writer:
        writer.add(np.zeros((2, 5)), [1, 2], np.zeros((2, 6)))
    with pytest.raises(UserError, match="float16"), predictions.writing(tmp_path / "a", TAGS, dtype="int8"):
        pass


BROKEN = {
    "labels.npy": lambda path: np.save(path, np.zeros((10, 5), np.uint8)),
    "image_ids.npy": lambda path: np.save(path, np.arange(9)),
    "probabilities.npy": lambda path: np.save(path, np.zeros((10, 6), np.uint8)),
    "selected_tags.csv": lambda path: path.write_text("tag_id,name,category,count\n1,a,0,1\n"),
    "dump.json": lambda path: path.write_text("{"),
}


def test_ids_that_are_no_whole_numbers_are_refused(tmp_path):
    written(tmp_path / "dump")
    np.save(tmp_path / "dump" / "image_ids.npy", np.arange(10.0))
    with pytest.raises(UserError, match="whole numbers"):
        predictions.load(tmp_path / "dump")
    # ensemble.py and an audit would write others: -2**63 for 2**63
    np.save(tmp_path / "dump" / "image_ids.npy", np.arange(10, dtype=np.uint64) + 2**63)
    with pytest.raises(UserError, match=r"below 2\*\*63; got 9223372036854775817"):
        predictions.load(tmp_path / "dump")


@pytest.mark.parametrize("file", BROKEN)
def test_a_broken_dump_is_an_error_that_names_it(tmp_path, file):
    written(tmp_path / "dump")
    BROKEN[file](tmp_path / "dump" / file)
    with pytest.raises(UserError, match="dump"):
        predictions.load(tmp_path / "dump")


def test_files_that_are_no_arrays_are_errors(tmp_path):
    written(tmp_path / "dump")
    path = tmp_path / "dump" / "labels.npy"
    np.save(path, np.array([[{}]], object), allow_pickle=True)
    for content in (path.read_bytes(), b"", b"\x93NUMPY", np.zeros(3).tobytes()):
        path.write_bytes(content)
        with pytest.raises(UserError, match=r"labels\.npy"):
            predictions.load(tmp_path / "dump")
    written(tmp_path / "cut")
    whole = (tmp_path / "cut" / "probabilities.npy").read_bytes()
    (tmp_path / "cut" / "probabilities.npy").write_bytes(whole[:-4])
    with pytest.raises(UserError, match=r"probabilities\.npy"):
        predictions.load(tmp_path / "cut")
    for missing in (tmp_path / "nothing", path):
        with pytest.raises(UserError, match="dump folder"):
            predictions.load(missing)


def test_files_from_anywhere(tmp_path):
    p, y = written(tmp_path / "dump")
    np.save(tmp_path / "y.npy", y)
    folder = tmp_path / "dump"
    dump = predictions.load_files(
        folder / "probabilities.npy", tmp_path / "y.npy", folder / "selected_tags.csv"
    )
    assert dump.name == "probabilities"
    assert np.array_equal(dump.labels, y)
    assert np.array_equal(dump.probabilities, p)


def test_selections_are_ranks_by_count_within_a_category():
    assert predictions.select(TAGS).tolist() == [0, 1, 2, 3, 4, 5]
    assert predictions.select(TAGS, "general").tolist() == [1, 2, 3]
    assert predictions.select(TAGS, "general", 0, 1).tolist() == [2]
    assert predictions.select(TAGS, 0, 1).tolist() == [1, 3]
    assert predictions.select(TAGS, "0", 2, 99).tolist() == [
        3
    ]  # of equal counts the first row is the more popular
    assert predictions.select(TAGS, None, 1, 3).tolist() == [1, 2]


@pytest.mark.parametrize(
    "wrong", [("artist",), (None, 6), (None, -1), (None, 0, -2), (None, 3, 3), ("hats",)]
)
def test_an_empty_selection_is_an_error(wrong):
    with pytest.raises(UserError):
        predictions.select(TAGS, *wrong)


@pytest.mark.reliability(
    "labels of -1, soft or unknown labels in a dump", "refused with file, row, column and value"
)
@pytest.mark.parametrize(
    ("labels", "got"),
    [
        (lambda y: y.astype(np.int8) * 2 - 1, "-1"),
        (lambda y: 0.1 + 0.8 * y.astype(np.float32), r"0\.\d+"),
        (lambda y: np.where(y, np.nan, 0), "nan"),
        (lambda y: y.astype(np.uint8) * 255, "255"),
        (lambda y: y.astype(np.int64) * 2, "2"),
    ],
)
def test_labels_that_are_not_0_or_1_are_refused(tmp_path, labels, got):
    _, y = written(tmp_path / "dump", labels=True)
    np.save(tmp_path / "dump" / "labels.npy", labels(y))
    with pytest.raises(
        UserError, match=rf"labels\.npy: a label is 0 or 1 .*; got {got} in row \d, column \d"
    ):
        predictions.load(tmp_path / "dump")
    for dtype in (bool, np.int8, np.float16, np.int64):
        np.save(tmp_path / "dump" / "labels.npy", y.astype(dtype))
        assert np.array_equal(predictions.load(tmp_path / "dump").labels, y)


@pytest.mark.reliability("probabilities outside 0 to 1 in a dump", "refused with file, row, column and value")
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_probabilities_outside_0_to_1_are_refused(tmp_path, dtype):
    p, _ = written(tmp_path / "dump", rows=600)
    file = tmp_path / "dump" / "probabilities.npy"
    for value, words in (
        (1.5, "got 1.5 in row 599, column 2"),
        (-3, "got -3"),
        (np.inf, "got inf"),
        (np.nan, "probabilities.npy: a probability lies between 0 and 1; got nan in row 599, column 2"),
    ):
        wrong = p.astype(dtype)
        wrong[599, 2] = value
        np.save(file, wrong)
        with pytest.raises(UserError, match=words):
            predictions.load(tmp_path / "dump")
    edge = p.astype(dtype)
    edge[0, :3] = -0.0, 0, 1
    np.save(file, edge)
    assert np.array_equal(predictions.load(tmp_path / "dump").probabilities, edge)


def permute(folder, *names):
    order = np.random.default_rng(1).permutation(10)
    for name in names:
        np.save(folder / name, np.load(folder / name)[order])


@pytest.mark.reliability(
    "image_ids.npy of another order in a dump", "refused: no post gets another one's row"
)
def test_ids_that_were_exchanged_alone_are_refused(tmp_path):
    written(tmp_path / "dump")
    permute(tmp_path / "dump", predictions.IDS)
    with pytest.raises(UserError, match=r"image_ids\.npy is not the one that was written with probabilities"):
        predictions.load(tmp_path / "dump")
    (tmp_path / "dump" / predictions.INFO).unlink()  # informative only
    predictions.load(tmp_path / "dump")


@pytest.mark.reliability(
    "selected_tags.csv of a dump is sorted, or exchanged", "refused: no tag gets another one's column"
)
def test_tags_that_were_exchanged_alone_are_refused(tmp_path, capsys):
    written(tmp_path / "dump")
    file = tmp_path / "dump" / predictions.TAGS
    tag_list.write(TAGS.assign(count=0, tag_id=range(6)), file)
    predictions.load(tmp_path / "dump")
    for changed in (TAGS.sort_values("name"), TAGS.replace("hat", "cap")):
        tag_list.write(changed, file)
        with pytest.raises(UserError, match=r"selected_tags\.csv has other tags, or in another order"):
            predictions.load(tmp_path / "dump")
    columns = np.argsort(TAGS["name"].to_numpy())
    for name in (predictions.PROBABILITIES, predictions.LABELS):
        np.save(tmp_path / "dump" / name, np.load(tmp_path / "dump" / name)[:, columns])
    tag_list.write(TAGS.iloc[columns], file)
    predictions.load(tmp_path / "dump")  # exchanged together


@pytest.mark.reliability(
    "export_model --dump with predictions of a run from before it went on",
    "refused: no scores of another model",
)
def test_a_dump_of_another_model_file_is_refused(tmp_path):
    written(tmp_path / "other")
    predictions.load(tmp_path / "other").require_predicted_by("12")  # nothing tells
    written(tmp_path / "dump", info={predictions.MODEL_DIGEST: "12"})
    dump = predictions.load(tmp_path / "dump")
    dump.require_predicted_by("12")
    with pytest.raises(UserError, match="dump was predicted with another model file than this one"):
        dump.require_predicted_by("34")


def test_rows_that_were_exchanged_together_are_still_pairs(tmp_path, capsys):
    written(tmp_path / "dump")
    np.save(
        tmp_path / "dump" / predictions.IDS, np.load(tmp_path / "dump" / predictions.IDS).astype("uint64")
    )
    predictions.load(tmp_path / "dump")  # another dtype of the same numbers
    permute(tmp_path / "dump", predictions.IDS, predictions.PROBABILITIES, predictions.LABELS)
    predictions.load(tmp_path / "dump")
    assert "labels.npy is not the one that was written with the dump" in capsys.readouterr().err


def test_exchanged_labels_are_said(tmp_path, capsys):
    """They may be better ones, from encode_tags.py, or those of another order."""
    written(tmp_path / "dump")
    predictions.load(tmp_path / "dump")
    assert capsys.readouterr().err == ""
    permute(tmp_path / "dump", predictions.LABELS)
    predictions.load(tmp_path / "dump")
    assert "its row i must be the labels of image i" in capsys.readouterr().err


def test_a_folder_without_predictions_is_no_dump_and_the_command_is_named(tmp_path):
    (tmp_path / "dumps").mkdir()
    with pytest.raises(UserError, match=r"dumps is no dump: it has no probabilities.npy; .*predict.py makes"):
        predictions.load(tmp_path / "dumps")
    with pytest.raises(UserError, match="found nothing; did you mean dumps?"):
        predictions.load(tmp_path / "dump")
