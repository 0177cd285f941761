"""Models.load: a run folder or a file becomes a tagger, and says what is missing."""

import warnings

import cv2
import keras
import numpy as np
import pytest
from helpers import foreign_releases

import Models
from Utils.command.cli import UserError
from Utils.serving import onnx_tagger

SIZE = 32
TAGS = "tag_id,name,category,count\n7,1girl,0,40\n8,smile,0,30\n9,hat,0,20\n4,reimu,4,10\n"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run folder whose best model has tag outputs 0.9, 0.2, 0.6, 0.4 and whose last one 0.5 throughout."""
    folder = tmp_path_factory.mktemp("run")
    for file, chances in (("best.keras", [0.9, 0.2, 0.6, 0.4]), ("model.keras", [0.5] * 4)):
        model = Models.build("ConvNext/test", image_size=SIZE, num_labels=4)
        head = model.get_layer("head_logits")
        head.kernel.assign(np.zeros(head.kernel.shape))
        head.bias.assign(np.log(np.array(chances) / (1 - np.array(chances))))
        model.save(folder / file)
    (folder / "selected_tags.csv").write_text(TAGS)
    return folder


@pytest.fixture
def picture():
    return np.random.default_rng(0).integers(0, 256, (40, 20, 3)).astype("uint8")


def test_a_run_tags_an_image(run, picture):
    tagger = Models.load(run)
    assert tagger.image_size == SIZE
    assert tagger.tags["name"].to_list() == ["1girl", "smile", "hat", "reimu"]
    probabilities = tagger.tag(picture)
    assert list(probabilities) == ["1girl", "hat", "reimu"]  # falling; above 0.35
    assert probabilities == pytest.approx({"1girl": 0.9, "hat": 0.6, "reimu": 0.4}, abs=1e-5)
    assert list(tagger.tag(picture, threshold=0.5)) == ["1girl", "hat"]


def test_best_and_last(run, picture):
    assert Models.load(run, which="last").tag(picture) == pytest.approx(dict.fromkeys(TAGS_NAMES, 0.5))
    assert Models.load(run / "best.keras").tag(picture) == Models.load(run).tag(picture)


TAGS_NAMES = ("1girl", "smile", "hat", "reimu")


def test_every_kind_of_image_input_is_prepared_alike(run, picture, tmp_path):
    tagger = Models.load(run)
    file = tmp_path / "x.png"
    cv2.imwrite(str(file), picture)
    batch = tagger.preprocess([file, str(file), file.read_bytes(), picture])
    assert batch.shape == (4, SIZE, SIZE, 3) and batch.dtype == np.float32
    assert (batch == batch[:1]).all()
    assert (batch[0, :, :7] == 255).all()  # padded white to a square
    np.testing.assert_array_equal(tagger.preprocess(picture), batch[:1])
    np.testing.assert_array_equal(tagger.preprocess(picture[None]), batch[:1])
    assert tagger.preprocess([]).shape == (0, SIZE, SIZE, 3)
    assert tagger.probabilities([file, picture]).shape == (2, 4)


def test_a_file_of_logits_gets_its_sigmoid(picture, tmp_path):
    model = Models.build("ViT/test", image_size=SIZE, num_labels=3, classifier_activation=None)
    model.save(tmp_path / "logits.keras")
    tagger = Models.load(tmp_path / "logits.keras")
    logits = keras.ops.convert_to_numpy(model(tagger.preprocess(picture)))
    np.testing.assert_allclose(tagger.probabilities(picture), 1 / (1 + np.exp(-logits)), atol=1e-6)
    assert tagger.tags is None
    with pytest.raises(UserError, match="no tag list"):
        tagger.tag(picture)


def test_the_card_says_what_is_missing(run, picture, tmp_path):
    with pytest.raises(UserError, match="expected at .*nowhere"):
        Models.load(tmp_path / "nowhere")
    with pytest.raises(UserError, match="no best.keras in .*has nothing"):
        Models.load(tmp_path)
    with pytest.raises(UserError, match="which must be best or last; got 'first'"):
        Models.load(run, which="first")
    with pytest.raises(UserError, match=r"a model is a .keras file"):
        Models.load(run / "selected_tags.csv")
    Models.build("ResNet/test", image_size=32, num_labels=3).save_weights(tmp_path / "a.weights.h5")
    with pytest.raises(UserError, match=r"weights without their model are for tools/import_weights\.py"):
        Models.load(tmp_path / "a.weights.h5")
    broken = tmp_path / "broken.keras"
    broken.write_bytes(b"not a zip")
    with pytest.raises(UserError, match=r"broken.keras is damaged or not a Keras model"):
        Models.load(broken)
    (tmp_path / "best.keras").write_bytes((run / "best.keras").read_bytes())
    (tmp_path / "selected_tags.csv").write_text(TAGS + "5,extra,0,1\n")
    with pytest.raises(UserError, match="has 5 tags, but best.keras gives 4"):
        Models.load(tmp_path)


def test_a_file_that_is_no_image_is_named(run, picture, tmp_path):
    tagger = Models.load(run)
    with pytest.raises(UserError, match="an image expected at"):
        tagger.tag(tmp_path / "nowhere.png")
    with pytest.raises(UserError, match="bytes given cannot be used"):
        tagger.tag(b"no image")
    with pytest.raises(UserError, match=r"\(H, W, 3\) uint8.*float32"):
        tagger.tag(picture.astype("float32"))


@pytest.mark.parametrize("suffix", [".keras", ".h5"])  # its version 1.0.4 writes .keras
def test_a_deepdanbooru_project_is_run_from_its_keras_file(tmp_path, suffix):
    folder, by_hand = foreign_releases.make(tmp_path, "deepdanbooru")
    for graph in folder.glob("*.onnx"):
        graph.unlink()
    image = keras.Input((foreign_releases.SIDE, foreign_releases.SIDE, 3))
    means = keras.layers.AveragePooling2D(foreign_releases.CELLS)(image)
    dense = keras.layers.Dense(len(foreign_releases.NAMES), activation="sigmoid")
    model = keras.Model(image, dense(keras.layers.Flatten()(means)))
    dense.set_weights(foreign_releases.weights())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Keras' own, of the older format
        model.save(folder / f"model-x{suffix}")  # project.json says that the model is x
    (folder / "model-old.h5").write_bytes(b"none")
    tagger = onnx_tagger.load(folder, Models.load)
    side = foreign_releases.SIDE
    pictures = np.random.default_rng(3).integers(0, 256, (2, side, side, 3), dtype=np.uint8)
    prepared = pictures[..., ::-1].astype(np.float32)
    assert np.abs(tagger.probabilities(prepared) - by_hand(pictures)).max() < 1e-5
    assert tagger.evidence[0].startswith("DeepDanbooru, by project.json")
    (folder / f"model-x{suffix}").write_bytes(b"none")
    with pytest.raises(UserError, match=f"model-x{suffix}.* Keras model"):
        onnx_tagger.load(folder, Models.load)
    (folder / f"model-x{suffix}").rename(folder / f"model-y{suffix}")
    with pytest.raises(UserError, match="several models, .*; name one"):
        onnx_tagger.load(folder, Models.load)
