"""HDF5 files are tried in a process of their own: good ones pass, damage and endless loops are named."""

import h5py
import numpy as np
import pytest

from Utils.command.cli import UserError
from Utils.files import hdf5_files


def test_a_whole_file_passes_and_a_cut_one_is_named(tmp_path):
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        file["a/b"] = np.ones(5000, "float32")
        file.attrs["names"] = [b"a"]
    hdf5_files.require_readable(path)
    path.write_bytes(path.read_bytes()[:9000])
    with pytest.raises(UserError, match=r"x\.h5 is damaged or no HDF5 file: .*truncated"):
        hdf5_files.require_readable(path)


def test_a_shape_that_the_file_cannot_hold_is_named(tmp_path):
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("huge", (10**12,), "float32", chunks=(64,))
    with pytest.raises(UserError, match=r"x\.h5 .*huge of the shape \(1000000000000,\) is larger"):
        hdf5_files.require_readable(path)


@pytest.mark.reliability(
    "damage at which the HDF5 library loops or ends the process", "one error that names the file"
)
@pytest.mark.parametrize(
    ("code", "patience", "fault"),
    [
        ("while True: pass", 500, "not read within 1 s"),
        ("import time; time.sleep(600)", 0.2, "not read within 0.2 s"),
        ("import os; os.abort()", 500, "library ended with -6"),
    ],
)
def test_a_loop_a_wait_and_a_crash_end_the_trial_alone(tmp_path, monkeypatch, code, patience, fault):
    """The processor's second that a loop may take is that of the trial, however busy the machine is."""
    (tmp_path / "x.h5").write_bytes(b"")
    monkeypatch.setattr(hdf5_files, "_READ_ALL", code)
    monkeypatch.setattr(hdf5_files, "_SECONDS", 1)
    monkeypatch.setattr(hdf5_files, "_PATIENCE", patience)
    with pytest.raises(UserError, match=rf"x\.h5 .*{fault}"):
        hdf5_files.require_readable(tmp_path / "x.h5")
