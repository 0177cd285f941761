"""Utils/images/films.py: frames of films at an interval."""

import pytest

from Utils.command.cli import UserError
from Utils.images import codec, films


def write_film(path, seconds=3, rate=10):
    """A film whose gray tells the time: 20 a second."""
    av = pytest.importorskip("av")
    import numpy as np

    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=rate)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(seconds * rate):
            gray = np.full((48, 64, 3), 40 + 20 * number // rate, np.uint8)
            for packet in stream.encode(av.VideoFrame.from_ndarray(gray, format="bgr24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return path


@pytest.mark.parametrize("in_memory", [False, True])
def test_a_frame_at_every_multiple(tmp_path, in_memory):
    path = write_film(tmp_path / "a.mp4")
    shown = list(films.frames(path.read_bytes() if in_memory else str(path), 1.0))
    assert [seconds for seconds, _ in shown] == pytest.approx([0, 1, 2], abs=0.01)
    grays = [codec.decode(data).mean() for _, data in shown]
    assert grays == pytest.approx([40, 60, 80], abs=4)
    assert len(list(films.frames(str(path), 0.5))) == 6
    assert len(list(films.frames(str(path), 0.01))) == 30  # each frame once
    assert len(list(films.frames(str(path), 60))) == 1


def test_what_is_no_film_is_refused(tmp_path):
    pytest.importorskip("av")
    path = write_film(tmp_path / "a.mp4")
    (tmp_path / "b.mp4").write_bytes(b"no film" * 50)
    with pytest.raises(codec.ImageError, match="damaged film"):
        list(films.frames(str(tmp_path / "b.mp4"), 1))
    (tmp_path / "c.mp4").write_bytes(path.read_bytes()[:200])
    with pytest.raises(codec.ImageError, match="damaged film"):
        list(films.frames(str(tmp_path / "c.mp4"), 1))


@pytest.mark.reliability("Films where nothing installed reads them", "the package is named")
def test_without_the_package_it_is_named(monkeypatch):
    monkeypatch.setattr(films, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="PyAV .*requirements-video.txt"):
        films.require_reader()


def test_intervals_and_names():
    assert [films.parse_interval(text) for text in ("1s", "0.5s", "2min", "3")] == [1, 0.5, 120, 3]
    for text in ("", "s", "0s", "-1s", "nan", "1h", "1e9"):
        with pytest.raises(ValueError):
            films.parse_interval(text)
    assert films.frame_name("a.mp4", 1.0) == "a.mp4#t=1"
    assert films.frame_name("a.mp4", 10.25) == "a.mp4#t=10.25"
    assert films.frame_name("a.mp4", 0) == "a.mp4#t=0"
    assert films.is_film("x/a.MKV") and not films.is_film("a.jpg")
