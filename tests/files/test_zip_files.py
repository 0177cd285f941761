"""Zip files are held against their checksums before another library reads them."""

import zipfile

import pytest

from Utils.command.cli import UserError
from Utils.files import zip_files


@pytest.fixture
def archive(tmp_path):
    path = tmp_path / "x.keras"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("config.json", "{}" * 50)
        file.writestr("model.weights.h5", b"weights" * 50)
    return path


def test_a_whole_file_passes_and_its_members_are_read(archive):
    zip_files.require_whole(archive, "a Keras model")
    assert zip_files.read_member(archive, "config.json", "a Keras model") == b"{}" * 50
    with pytest.raises(UserError, match=r"x\.keras is damaged or not a Keras model: it lacks"):
        zip_files.read_member(archive, "none", "a Keras model")


def test_one_flipped_bit_of_the_weights_is_named(archive):
    data = bytearray(archive.read_bytes())
    data[data.index(b"weightsweights") + 5] ^= 1
    archive.write_bytes(data)
    with pytest.raises(UserError, match=r"x\.keras is damaged: its member model\.weights\.h5"):
        zip_files.require_whole(archive, "a Keras model")


def test_a_bomb_is_not_unpacked(archive):
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a", b"")
    data = bytearray(archive.read_bytes())
    place = data.rindex(b"PK\x01\x02") + 24  # the size that the directory says
    data[place : place + 4] = (2**31).to_bytes(4, "little")
    archive.write_bytes(data)
    with pytest.raises(UserError, match=r"unpacks to 2,147,483,648 bytes"):
        zip_files.require_whole(archive, "a Keras model")


def test_another_file_is_named(archive):
    archive.write_bytes(b"not a zip")
    with pytest.raises(UserError, match=r"x\.keras is damaged or not a Keras model: File is not a zip file"):
        zip_files.require_whole(archive, "a Keras model")
