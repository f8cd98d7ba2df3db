"""Copies that are planted into a pool: pictures saved again, scaled and cropped; questions in other words."""

from __future__ import annotations

import hashlib
import io
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

from errata.tools.records import ImageRef, Problem, seed_of

Picture = Image.Image


def saved_again(quality: int) -> Callable[[Picture, random.Random], bytes]:
    """JPEG of that quality."""
    return lambda picture, _: encode(picture, quality)


def scaled(factor: float) -> Callable[[Picture, random.Random], bytes]:
    """Both sides by a factor, bicubic."""

    def change(picture: Picture, _: random.Random) -> bytes:
        size = max(1, round(picture.width * factor)), max(1, round(picture.height * factor))
        return encode(picture.resize(size, Image.Resampling.BICUBIC), None)

    return change


def cropped(name: str, quality: int | None = None) -> Callable[[Picture, random.Random], bytes]:
    """`side`: 5 % of the width from the left; `window`: 95 % of both sides, anywhere; `centre`: 2.5 % from every
    side; `all`: 5 % from every side.
    """

    def change(picture: Picture, draw: random.Random) -> bytes:
        left, top = draw.random() * 0.05, draw.random() * 0.05
        cuts = {
            "side": (0.05, 0.0, 0.0, 0.0),
            "window": (left, top, 0.05 - left, 0.05 - top),
            "centre": (0.025,) * 4,
            "all": (0.05,) * 4,
        }[name]
        width, height = picture.size
        box = (cuts[0] * width, cuts[1] * height, (1 - cuts[2]) * width, (1 - cuts[3]) * height)
        return encode(picture.crop(tuple(round(edge) for edge in box)), quality)  # type: ignore[arg-type]

    return change


def in_light(enhancer: Callable[[Picture], Any], factor: float) -> Callable[[Picture, random.Random], bytes]:
    """Pillow's brightness or contrast by a factor."""
    return lambda picture, _: encode(enhancer(picture).enhance(factor), None)


def framed(colour: tuple[int, int, int], *, square: bool) -> Callable[[Picture, random.Random], bytes]:
    """Letterboxed to a square, or a border of a tenth of the width on every side."""

    def change(picture: Picture, _: random.Random) -> bytes:
        if not square:
            return encode(ImageOps.expand(picture, max(1, picture.width // 10), colour), None)
        side = max(picture.size)
        whole = Image.new("RGB", (side, side), colour)
        whole.paste(picture, ((side - picture.width) // 2, (side - picture.height) // 2))
        return encode(whole, None)

    return change


def moved(how: Image.Transpose) -> Callable[[Picture, random.Random], bytes]:
    """Mirrored or turned."""
    return lambda picture, _: encode(picture.transpose(how), None)


def cut(name: str) -> Callable[[Picture, random.Random], bytes]:
    """15 % of both sides: a window anywhere, the same from every side; `side`: of the width, from the left."""

    def change(picture: Picture, draw: random.Random) -> bytes:
        left, top = draw.random() * 0.15, draw.random() * 0.15
        cuts = {"side": (0.15, 0, 0, 0), "window": (left, top, 0.15 - left, 0.15 - top), "centre": (0.075,) * 4}[name]
        width, height = picture.size
        box = (cuts[0] * width, cuts[1] * height, (1 - cuts[2]) * width, (1 - cuts[3]) * height)
        return encode(picture.crop(tuple(round(edge) for edge in box)), None)  # type: ignore[arg-type]

    return change


PICTURES: dict[str, Callable[[Picture, random.Random], bytes]] = {
    "re-encoded q90": saved_again(90),
    "re-encoded q70": saved_again(70),
    "re-encoded q50": saved_again(50),
    "resized 0.5": scaled(0.5),
    "resized 0.75": scaled(0.75),
    "resized 1.5": scaled(1.5),
    "cropped 5 % one side": cropped("side"),
    "cropped 5 % anywhere": cropped("window"),
    "cropped 2.5 % each side": cropped("centre"),
    "cropped 5 % each side": cropped("all"),
    "cropped 5 % anywhere, q50": cropped("window", 50),
    "re-encoded q10": saved_again(10),
    "grey": lambda picture, _: encode(picture.convert("L"), None),
    "brightness 0.6": in_light(ImageEnhance.Brightness, 0.6),
    "brightness 1.5": in_light(ImageEnhance.Brightness, 1.5),
    "contrast 0.5": in_light(ImageEnhance.Contrast, 0.5),
    "contrast 1.5": in_light(ImageEnhance.Contrast, 1.5),
    "letterboxed, black": framed((0, 0, 0), square=True),
    "letterboxed, white": framed((255, 255, 255), square=True),
    "letterboxed, mean colour": framed((122, 116, 104), square=True),
    "border, black": framed((0, 0, 0), square=False),
    "border, white": framed((255, 255, 255), square=False),
    "border, red": framed((200, 30, 30), square=False),
    "mirrored": moved(Image.Transpose.FLIP_LEFT_RIGHT),
    "upside down": moved(Image.Transpose.FLIP_TOP_BOTTOM),
    "turned by 90 degrees": moved(Image.Transpose.ROTATE_90),
    "turned by 180 degrees": moved(Image.Transpose.ROTATE_180),
    "turned by 270 degrees": moved(Image.Transpose.ROTATE_270),
    "cropped 15 % anywhere": cut("window"),
    "cropped 7.5 % each side": cut("centre"),
    "cropped 15 % one side": cut("side"),
}


def encode(picture: Picture, quality: int | None) -> bytes:
    """JPEG, or PNG without a quality."""
    buffer = io.BytesIO()
    if quality is None:
        picture.save(buffer, "PNG")
    else:
        picture.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def picture_problem(name: str, path: Path, data: bytes | None = None) -> Problem:
    """A problem that has nothing but its picture; `data` is written to `path` first."""
    if data is not None:
        path.write_bytes(data)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    return Problem(
        id=name,
        images=(ImageRef(path=str(path), sha256=sha256),),
        question=f"What does {name} show?",
        target=name,
        scoring="exact",
    )


def plant_pictures(paths: list[Path], *, folder: Path, name: str) -> list[Problem]:
    """One changed copy of each picture."""
    folder.mkdir(parents=True, exist_ok=True)
    planted = []
    for i, path in enumerate(paths):
        with Image.open(path) as opened:
            data = PICTURES[name](opened.convert("RGB"), random.Random(seed_of(name, i)))
        planted.append(picture_problem(f"{name} {i}", folder / f"{i}.img", data))
    return planted


def really_same(one: Path, other: Path) -> bool:
    """At full resolution, pixel over pixel: the independent check of an alarm. Pictures of other sizes are not the
    same; no 4 x 4 block may differ by more than 24 grey levels.
    """
    with Image.open(one) as a, Image.open(other) as b:
        if a.size != b.size:
            return False
        gap = np.asarray(a.convert("RGB"), dtype=np.float32) - np.asarray(b.convert("RGB"), dtype=np.float32)
    height, width = gap.shape[0] // 4 * 4, gap.shape[1] // 4 * 4
    blocks = gap[:height, :width].reshape(height // 4, 4, width // 4, 4, 3).mean(axis=(1, 3))
    return bool(np.abs(blocks).max() <= 24)


_FRAMES = (
    ("Which of the following", "Which one of these"),
    ("Which of these", "Which one of the following"),
    ("What is", "Can you tell what is"),
    ("would you", "do you"),
    ("Select", "Choose"),
    ("Identify", "Find"),
    ("Complete", "Fill in"),
    ("How long", "About how long"),
    ("Which", "Can you say which"),
    ("What", "Say what"),
    ("Is ", "Would you say that it is "),
)


def reframe(problem: Problem, _: random.Random) -> Problem:
    """The question is asked with another opening."""
    for old, new in _FRAMES:
        if old in problem.question:
            return problem.model_copy(update={"question": problem.question.replace(old, new, 1)})
    return problem.model_copy(update={"question": f"Please answer: {problem.question}"})


def drop_words(problem: Problem, draw: random.Random) -> Problem:
    """One word in ten is left out."""
    kept = [word for word in problem.question.split() if draw.random() > 0.1] or [problem.question]
    return problem.model_copy(update={"question": " ".join(kept)})


def misspell(problem: Problem, draw: random.Random) -> Problem:
    """Two letters change places in one long word of twelve."""
    words = problem.question.split()
    for i, word in enumerate(words):
        if len(word) > 3 and draw.random() < 1 / 12:
            j = draw.randrange(1, len(word) - 2)
            words[i] = word[:j] + word[j + 1] + word[j] + word[j + 2 :]
    return problem.model_copy(update={"question": " ".join(words)})


def shuffle_choices(problem: Problem, draw: random.Random) -> Problem:
    """Choices in another order, the target with them, and other case and spacing."""
    choices = draw.sample(problem.choices, len(problem.choices))
    target = chr(ord("A") + choices.index(problem.target_text)) if choices else problem.target
    changes = {"choices": tuple(choices), "target": target, "question": f"  {problem.question.upper()} "}
    return problem.model_copy(update=changes)


WORDS: dict[str, Callable[[Problem, random.Random], Problem]] = {
    "reworded: choices, case": shuffle_choices,
    "reworded: opening": reframe,
    "reworded: words dropped": drop_words,
    "reworded: misspelt": misspell,
}
