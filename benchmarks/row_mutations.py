"""Rows of each format, and ways to damage one: by its values, by its text, by its bytes.

Everything is drawn from one `random.Random`, so a number names a case for good.
"""

from __future__ import annotations

import base64
import copy
import csv
import io
import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from PIL import Image

Row = dict[str, Any]
Path_ = tuple[Any, ...]
RUBBISH = (
    *("\x00", "\ufffd", "\u202e", "\ufeff", "\U0001f4a9"),
    *("e\u0301" * 40, "\ud800", "\x85", "\u2028", "\r", "\x1b[31m"),
)
ODD_VALUES: tuple[Any, ...] = (
    None,
    True,
    0,
    -1,
    7,
    3.5,
    10**30,
    10**400,
    "",
    "   ",
    "x",
    [],
    {},
    [[]],
    [None],
    {"a": {"b": []}},
    [1, "a", None],
    "data:image/png;base64,",
)
PATHS = (
    *("../../etc/passwd", "/etc/passwd", "images", ".", ""),
    *("images/none.png", "images/\x00.png", "a/" * 3000, "~", "//"),
)
LONG = "long " * 50_000


def png(colour: str) -> bytes:
    """A small whole picture."""
    file = io.BytesIO()
    Image.new("RGB", (12, 12), colour).save(file, format="PNG")
    return file.getvalue()


def _base64(colour: str) -> str:
    return base64.b64encode(png(colour)).decode()


def conversation(name: str, *, rng: random.Random) -> list[dict[str, str]]:
    """Two questions about one picture, one of them with choices."""
    colour = rng.choice(("red", "blue"))
    return [
        {"from": "human", "value": f"<image>\nWhich colour is {name}?\nA. red\nB. blue\nAnswer with the letter."},
        {"from": "gpt", "value": f"It looks {colour}. The answer is {'A' if colour == 'red' else 'B'}."},
        {"from": "human", "value": "How many pictures are there?"},
        {"from": "gpt", "value": "one"},
    ]


def llava(name: str, rng: random.Random) -> Row:
    """LLaVA."""
    return {"id": name, "image": "images/red.png", "conversations": conversation(name, rng=rng)}


def sharegpt(name: str, rng: random.Random) -> Row:
    """ShareGPT as LlamaFactory reads it."""
    picture = "images/red.png" if rng.random() < 0.5 else f"data:image/png;base64,{_base64('red')}"
    return {"id": name, "conversations": conversation(name, rng=rng), "images": [picture], "system": "Be brief."}


def messages(name: str, rng: random.Random) -> Row:
    """Hugging Face `messages` with typed parts."""
    inline = rng.random() < 0.5
    url = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{_base64('blue')}"}}
    text = f"Which colour is {name}?\nA. red\nB. blue"
    asked = [url if inline else {"type": "image"}, {"type": "text", "text": text}]
    turns = [{"role": "user", "content": asked}, {"role": "assistant", "content": [{"type": "text", "text": "B"}]}]
    return {"id": name, "messages": turns, "images": [] if inline else [{"bytes": _base64("red"), "path": None}]}


def scienceqa_json(name: str, rng: random.Random) -> Row:
    """A value of ScienceQA's problems.json; the key is `id`."""
    fields = {"question": f"Which is {name}?", "choices": ["red", "blue", "green"], "answer": rng.randrange(3)}
    more = {"hint": "Look.", "image": "image.png", "task": "closed choice", "grade": "grade2", "subject": "art"}
    result = {"topic": "colours", "category": "hues", "skill": "Name a hue", "lecture": "", "solution": "It is so."}
    return {"id": name, **fields, **more, **result, "split": "train"}


def mmbench(name: str, rng: random.Random) -> Row:
    """A row of MMBench's TSV."""
    fields = {"index": name, "question": f"Which is {name}?", "hint": "nan", "A": "red", "B": "blue", "C": "", "D": ""}
    return {**fields, "answer": rng.choice("AB"), "category": "hue", "image": _base64("red"), "split": "dev"}


def table(name: str, rng: random.Random) -> Row:
    """A row of a table of one's own, with a field map."""
    return {
        "uid": name,
        "ask": f"Which, \"{name}\",\nis it?",
        "one": "red",
        "two": "blue",
        "gold": rng.choice(("red", "B", "0")),
        "picture": "images/red.png",
        "tags": '["hue"]',
    }


def errata(name: str, rng: random.Random) -> Row:
    """Errata's own."""
    picture = {"path": "images/red.png"}
    fields = {"id": name, "question": f"Which is {name}?", "choices": ["red", "blue"], "target": rng.choice("AB")}
    return {**fields, "images": [picture], "skills": ["hue"], "metadata": {"scene": name}, "rationale": "It is so."}


MAKERS: dict[str, Callable[[str, random.Random], Row]] = {
    "llava": llava,
    "sharegpt": sharegpt,
    "messages": messages,
    "scienceqa_json": scienceqa_json,
    "mmbench": mmbench,
    "table": table,
    "errata": errata,
}


def prepare_folder(folder: Path) -> None:
    """The pictures that sound rows name."""
    for place in ("images/red.png", *(f"images/train/{name}/image.png" for name in ("good-1", "bad", "good-2"))):
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        (folder / place).write_bytes(png("red"))
    (folder / "images/cut.png").write_bytes(png("red")[:40])


def _places(value: Any, path: Path_ = ()) -> Iterator[Path_]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, below in inner:
        yield (*path, key)
        yield from _places(below, (*path, key))


def _holder(row: Row, path: Path_) -> Any:
    for key in path[:-1]:
        row = row[key]
    return row


def _texts(row: Row) -> list[Path_]:
    return [path for path in _places(row) if isinstance(_holder(row, path)[path[-1]], str)]


# Values.


def swap_type(row: Row, rng: random.Random) -> None:
    """Another kind of value somewhere."""
    path = rng.choice(list(_places(row)))
    _holder(row, path)[path[-1]] = copy.deepcopy(rng.choice(ODD_VALUES))


def delete_key(row: Row, rng: random.Random) -> None:
    """A key or an item less."""
    path = rng.choice(list(_places(row)))
    del _holder(row, path)[path[-1]]


def repeat_item(row: Row, rng: random.Random) -> None:
    """An item of a list twice, or two turns or choices exchanged."""
    lists = [path for path in _places(row) if isinstance(_holder(row, path)[path[-1]], list)]
    path = rng.choice(lists or list(_places(row)))
    found = _holder(row, path)[path[-1]]
    if isinstance(found, list) and found:
        rng.choice((found.reverse, lambda: found.append(copy.deepcopy(found[0])), found.pop))()
    else:
        _holder(row, path)[path[-1]] = [found, found]


def spoil_text(row: Row, rng: random.Random) -> None:
    """Rubbish, emptiness or absurd length in a text."""
    path = rng.choice(_texts(row))
    text = _holder(row, path)[path[-1]]
    at = rng.randrange(len(text) + 1)
    new = rng.choice((text[:at] + rng.choice(RUBBISH) + text[at:], "", "\u00a0", text + LONG, text * 2))
    _holder(row, path)[path[-1]] = new


def spoil_marks(row: Row, rng: random.Random) -> None:
    """One `<image>` more, or none."""
    path = rng.choice(_texts(row))
    text = _holder(row, path)[path[-1]]
    _holder(row, path)[path[-1]] = text.replace("<image>", "") if "<image>" in text else f"{text} <image>"


def spoil_picture(row: Row, rng: random.Random) -> None:
    """Wrong base64, bytes of no picture, half a picture, a path that leads nowhere."""
    odd = ("!!!!", "QUJD", _base64("red")[:-7], _base64("red")[:60] + "*", base64.b64encode(png("red")[:45]).decode())
    paths = [p for p in _texts(row) if "image" in str(p).lower() or "picture" in str(p) or "bytes" in str(p)]
    path = rng.choice(paths or _texts(row))
    text = _holder(row, path)[path[-1]]
    head = text[: text.find(",") + 1] if text.startswith("data:") else ""
    choices = (*(head + o for o in odd), *PATHS, "images/cut.png", "https://example.org/a.png", "data:image/png,xyz")
    _holder(row, path)[path[-1]] = rng.choice(choices)


def nest(row: Row, rng: random.Random) -> None:
    """A value buried in lists."""
    path = rng.choice(list(_places(row)))
    value: Any = _holder(row, path)[path[-1]]
    for _ in range(rng.choice((1, 2, 40, 300))):
        value = [value]
    _holder(row, path)[path[-1]] = value


def take_id(row: Row, rng: random.Random) -> None:
    """The id of the row before."""
    del rng
    row[next(key for key in ("id", "index", "uid") if key in row)] = "good-1"


VALUES = (swap_type, delete_key, repeat_item, spoil_text, spoil_marks, spoil_picture, nest, take_id)


# Text and bytes.


def cut_text(text: str, rng: random.Random) -> bytes:
    """The row ends too early."""
    return text[: rng.randrange(1, len(text))].encode("utf-8", "surrogatepass")


def repeat_key(text: str, rng: random.Random) -> bytes:
    """A key twice in one object (in a table: a cell more)."""
    if not text.startswith("{"):
        return (text + rng.choice((",x", "\tx", '"'))).encode("utf-8", "surrogatepass")
    keys = [key for key in json.loads(text) if f'"{key}": ' in text]
    return text.replace("{", f'{{"{rng.choice(keys)}": "twice", ', 1).encode("utf-8", "surrogatepass")


def huge_number(text: str, rng: random.Random) -> bytes:
    """A number in the place of a text that no machine holds."""
    number = rng.choice(("9" * 5000, "1e999", "-1e999", "NaN", "Infinity", "0x10", "1" + "0" * 350))
    quotes = [i for i in range(len(text)) if text.startswith(': "', i)]
    if not quotes:
        return f"{number}{text}".encode("utf-8", "surrogatepass")
    at = rng.choice(quotes) + 2
    end = text.find('"', at + 1)
    return (text[:at] + number + text[end + 1 :]).encode("utf-8", "surrogatepass")


def spoil_bytes(text: str, rng: random.Random) -> bytes:
    """One to three bytes are others."""
    data = bytearray(text.encode("utf-8", "surrogatepass"))
    for _ in range(rng.randrange(1, 4)):
        data[rng.randrange(len(data))] = rng.choice((0xFF, 0xC3, 0x00, 0x22, 0x5C, 0x09, 0x2C, 0x7B, 0x5D, 0x31))
    return bytes(data)


TEXTS = (cut_text, repeat_key, huge_number, spoil_bytes)


def to_json(row: Row) -> str:
    """A row as JSON."""
    return json.dumps(row)


def to_cells(row: Row, *, columns: list[str], delimiter: str) -> str:
    """A row of a table; what is no text becomes one."""
    cells = {key: value if isinstance(value, str) else json.dumps(value) for key, value in row.items()}
    file = io.StringIO()
    known = [cells.get(column, "") for column in columns]
    csv.writer(file, delimiter=delimiter, lineterminator="").writerow(known)
    return file.getvalue()
