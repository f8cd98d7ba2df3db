"""Marks of pictures inside texts: those that are read, and those that say that a picture was not."""

from __future__ import annotations

import re
from typing import Any

MARK = "<image>"
"""Stands for a picture in a conversation; in any other text a model would look for a picture there."""
TAGGED = re.compile(r"<img>\s*([^<>]+?)\s*</img>")
"""A path between tags, as Qwen-VL's data have it."""
UNREAD = re.compile(
    r"<img\b[^<>]*>|</img>"  # HTML, and what is left of Qwen-VL's tags
    r"|<image[ _]?\d+>|<image_placeholder>|<ImageHere>|<start_of_image>|<IMG_CONTEXT>|<im_patch>"
    r"|<\|(?:image|image_\d+|image_pad|vision_start|vision_end|img|media_placeholder)\|>"
    r"|!\[[^\]\n]*\]\([^)\s]+\)"  # Markdown
    r"|\[IMG\]",
    re.IGNORECASE,
)
"""Tags, Markdown, and the tokens of models that stand for a picture."""


def read_tagged(text: str) -> tuple[str, tuple[Any, ...]]:
    """The text with `<image>` for every `<img>path</img>`, and a picture for each mark: its path, else None."""
    pieces = re.split(f"({re.escape(MARK)}|{TAGGED.pattern.replace('(', '(?:', 1)})", text)
    pictures: list[Any] = []
    for place, piece in enumerate(pieces):
        tagged = TAGGED.fullmatch(piece)
        if tagged:
            pieces[place] = MARK
            pictures.append(tagged.group(1))
        elif piece == MARK:
            pictures.append(None)
    return "".join(pieces), tuple(pictures)


def find_unread(text: str) -> str | None:
    """The first mark of a picture that nobody reads."""
    found = UNREAD.search(text)
    return found.group(0) if found else None
