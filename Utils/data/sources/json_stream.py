"""Reads JSON of any size value by value: arrays, objects of records, answers of boorus' interfaces.

The memory needed is that of one record, whatever the size of the file and however it is indented.
"""

import json
from collections.abc import Callable, Iterator
from typing import Any

from Utils.images import image_folder
from Utils.tags import captions

_CHUNK = 2**18  # characters that are read at once
_MAX_VALUE = 2**24  # characters of one record; a post has a few thousand
_MAX_ATTRIBUTES = 10_000  # of an object that holds no records
_URL = 3  # the kind of gallery-dl's messages that have a post
_OTHER_MESSAGES = (-1, 2, 6)  # an error, a folder, an address of more posts
_SPACE = " \t\n\r"

_BEHIND_VALUE = tuple(' \t\n\r,]}:[{"')

Record = tuple[str, Any]  # its key in an object of records, "" without one; its value

# Where the answers of boorus' interfaces and downloaders keep their lists of posts.
LIST_KEYS = ("post", "posts", "data", "items", "results", "images", "entries", "tag")


class JsonText:
    """The text of a stream with a window on it: what was read and is not parsed yet.

    Args:
        read: returns the next characters, at most as many as asked for, "" at the end.
    """

    def __init__(self, read: Callable[[int], str]) -> None:
        self._read, self._text, self._at = read, "", 0
        self._ended, self._before = False, 0  # characters before the window
        self._decoder = json.JSONDecoder(object_pairs_hook=self._object)
        self._unclear: list[dict[str, Any]] = []  # objects of the last value that had a name twice

    @property
    def position(self) -> int:
        """Return how many characters were parsed."""
        return self._before + self._at

    def _fill(self) -> None:
        """Read on; each time as much as waits already, so that a long value is not parsed often."""
        more = self._read(max(_CHUNK, len(self._text) - self._at))
        self._ended = not more
        self._before += self._at
        self._text, self._at = self._text[self._at :] + more, 0

    def peek(self) -> str:
        """Return the next character that is no white space, "" at the end."""
        while True:
            while self._at < len(self._text) and self._text[self._at] in _SPACE:
                self._at += 1
            if self._at < len(self._text) or self._ended:
                return self._text[self._at : self._at + 1]
            self._fill()

    def take(self, character: str) -> None:
        """Step over a character; ValueError where another one comes."""
        actual = self.peek()
        if actual != character:
            came = repr(actual) if actual else "the end"
            raise ValueError(f"{character!r} is expected at character {self.position + 1}; there is {came}")
        self._at += 1

    def _object(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        value = dict(pairs)
        if len(value) < len(pairs):
            self._unclear.append(value)
        return value

    def is_clear(self, value: Any) -> bool:
        """Whether no object in (a part of) the last value had a name twice, of which one would be lost."""
        return not self._unclear or not _holds(value, self._unclear)

    def value(self) -> Any:
        """Return the next value; ValueError where there is none, or one above the bound."""
        self.peek()
        while True:
            self._unclear.clear()
            try:
                value, end = self._decoder.raw_decode(self._text, self._at)
                # A number may go on behind the window: "-12" and "-12." are the start of "-12.5".
                if self._text[end : end + 1] in _BEHIND_VALUE or self._ended:
                    self._at = end
                    return value
            except json.JSONDecodeError as error:
                if self._ended or len(self._text) - self._at > _MAX_VALUE:
                    place = self._before + error.pos + 1
                    raise ValueError(f"{error.msg} at character {place}") from error
            except RecursionError as error:
                raise ValueError(f"a value at character {self.position + 1} is nested too deep") from error
            self._fill()


def _holds(value: Any, objects: list[dict[str, Any]]) -> bool:
    """Whether a value is one of these objects, or has one in it."""
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return any(value is one for one in objects) or any(_holds(part, objects) for part in parts)


def records(text: JsonText, is_record: Callable[[dict[str, Any]], bool]) -> Iterator[Record]:
    """Yield the records of a text: the items of its arrays, the members of its objects that are records.

    A member that is a picture's name with its caption or a list of its tags is one. An object's other members
    are one record together, so that an object that is one post is read too; they are given last. The lists
    under LIST_KEYS are read item by item. A record in which an object has a name twice is given as None.

    Args:
        is_record: whether an object's member is a record.

    Raises ValueError where the text is no JSON, with the place.
    """
    while text.peek():
        if text.peek() == "[":
            yield from _items(text)
        elif text.peek() == "{":
            yield from _members(text, is_record)
        else:
            yield "", text.value()  # no object: none has a name twice
        if text.peek() == ",":
            text.take(",")


def _items(text: JsonText) -> Iterator[Record]:
    text.take("[")
    while text.peek() != "]":
        value = text.value()
        if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
            for item in value:  # pages of answers, one after the other
                yield "", item if text.is_clear(item) else None
        elif not _is_message(value):
            yield "", value if text.is_clear(value) else None
        elif value[0] == _URL:
            yield "", value[-1] if text.is_clear(value[-1]) else None
        if text.peek() != "]":
            text.take(",")
    text.take("]")


def _is_message(value: Any) -> bool:
    """Whether a value is one of gallery-dl's messages: ``[2, folder]`` or ``[3, url, post]``."""
    if not isinstance(value, list) or len(value) < 2 or type(value[0]) is not int:
        return False
    return value[0] in _OTHER_MESSAGES or (value[0] == _URL and len(value) == 3)


def _as_record(key: str, value: Any) -> Any:
    """Return the record of a member ``"1.jpg": "1girl, solo"``, or with a list of tags; else the value."""
    if not image_folder.is_image(key):
        return value
    if isinstance(value, str):
        return {"caption": value}
    if not isinstance(value, list) or not all(isinstance(tag, str) for tag in value):
        return value
    return {"caption" if any(map(captions.is_no_name, value)) else "tags": value}


def _are_records(value: Any, is_record: Callable[[dict[str, Any]], bool]) -> bool:
    """Whether a value is an object of records: ``{"5": {...}, "7": {...}}``."""
    items = value.values() if isinstance(value, dict) else ()
    return bool(items) and all(isinstance(item, dict) and is_record(item) for item in items)


def _members(text: JsonText, is_record: Callable[[dict[str, Any]], bool]) -> Iterator[Record]:
    text.take("{")
    others: dict[str, Any] = {}
    num_records, is_clear = 0, True
    while text.peek() != "}":
        key = text.value()
        if not isinstance(key, str):
            raise ValueError(f"a key is expected at character {text.position}; there is {str(key)[:40]!r}")
        text.take(":")
        if text.peek() == "[" and key in LIST_KEYS:
            for item in _items(text):
                num_records += 1
                yield item
        else:
            value = _as_record(key, text.value())
            if isinstance(value, dict) and is_record(value):
                num_records += 1
                yield key, value if text.is_clear(value) else None
            elif key in LIST_KEYS and _are_records(value, is_record):
                for name, item in value.items():
                    num_records += 1
                    yield name, item if text.is_clear(item) else None
            else:
                is_clear = is_clear and key not in others and text.is_clear(value)
                if len(others) < _MAX_ATTRIBUTES:
                    others[key] = value
        if text.peek() != "}":
            text.take(",")
    text.take("}")
    if is_record(others) or not num_records:
        yield "", others if is_clear else None
