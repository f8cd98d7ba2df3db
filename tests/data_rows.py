"""Small rows and pictures for the tests of the readers."""

from __future__ import annotations

import base64
import csv
import io
from typing import Any

from PIL import Image


def png(colour: str = "red", size: tuple[int, int] = (8, 8)) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, colour).save(file, format="PNG")
    return file.getvalue()


def encoded(colour: str = "red") -> str:
    return base64.b64encode(png(colour)).decode()


def turns(*texts: str) -> list[dict[str, str]]:
    return [{"from": ("human", "gpt")[i % 2], "value": text} for i, text in enumerate(texts)]


ASKED = "<image>\nWhich colour?\nA. red\nB. blue\nAnswer with the option's letter from the given choices directly."


def tsv(*rows: list[str], delimiter: str = "\t") -> str:
    file = io.StringIO()
    csv.writer(file, delimiter=delimiter, lineterminator="\n").writerows(rows)
    return file.getvalue()


BENCH = ["index", "question", "hint", "A", "B", "C", "answer", "category", "image"]


def chat(*said: str, **more: Any) -> dict[str, Any]:
    return {"id": "bad", "conversations": turns(*said), **more}
