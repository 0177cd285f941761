"""Lists of posts: one id, or one path of a picture, a line; or an ids.npy of a dataset."""

import re

from Utils.command.cli import UserError
from Utils.files import arrays, damage, text_files
from Utils.files.atomic import AnyPath, require_file, to_path
from Utils.images import image_folder

_CELLS = re.compile(r"[0-9]+\s*[,;\t]")  # the beginning of a row of a table of posts


def read(path: AnyPath) -> list[int] | list[str]:
    """Return the post ids or the lines of a file, in its order; UserError where it names none.

    Paths of Windows, which have backslashes and no slash, get slashes.
    """
    path = to_path(path)
    if path.suffix == ".npy":
        names = arrays.read(path, "post ids (.npy)", rank=1, kinds="iu").tolist()
        wrong = [number for number in names if not 0 <= number <= image_folder.LARGEST_POST_ID]
        if wrong:
            raise UserError(f"{path}: a post id is from 0 to 2**63 - 1; got {wrong[0]}")
    else:
        with damage.named(path, "is no list of post ids"):
            lines = text_files.read_lines(require_file(path, "a list of post ids"))
        cells = next((line for line in lines if _CELLS.match(line) and not image_folder.is_image(line)), None)
        if cells is not None:
            raise UserError(
                f"{path} is a table, with rows such as {cells[:60]!r}; one id or path a line is expected"
            )
        names = [line if "/" in line else line.replace("\\", "/") for line in lines]
    if not names:
        raise UserError(f"{path} names no post; one id or path a line is expected")
    return names
