"""Utils/files/leftovers.py: what killed processes left is removed, what living ones use is not."""

import os
import subprocess
import sys

import pytest

from Utils.files.output_files import FileKind, has_header, require_replaceable_file


@pytest.mark.reliability("temporary files of killed commands", "removed by the next run")
@pytest.mark.parametrize("name", ["out.csv", "out[1].csv", "a.b.db"])
def test_what_kills_left_beside_a_file_is_removed(tmp_path, name):
    path, child = tmp_path / name, subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    rubbish = [f".{name}.{child.pid}.part{end}" for end in (path.suffix, f"{path.suffix}-journal")]
    kept = [
        f".{name}.{os.getppid()}.part{path.suffix}",  # of a process that lives
        f".x{name}.{child.pid}.part.csv", f".{name}.notes.part.csv", f".{name}.{child.pid}.csv",
    ]  # fmt: skip
    for item in [*rubbish, *kept]:
        (tmp_path / item).write_text("x")
    kind = FileKind("a table", has_header(["a"]))
    require_replaceable_file(path, kind, overwrite=False)
    assert sorted(item.name for item in tmp_path.iterdir()) == sorted(kept)
