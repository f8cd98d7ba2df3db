"""Copies are found whatever was done to them; siblings that differ in one place are not copies."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageEnhance, ImageOps

from errata.tools.data.firewall import FirewallOptions, find_overlaps
from errata.tools.data.firewall.changed import LUMA, match_light, shrink
from errata.tools.data.firewall.overlay import UNITS, average_matrix, lay_over
from errata.tools.data.firewall.pictures import KnownPictures, hash_thumbnails
from errata.tools.data.firewall.thumbnails import find_inside, read_thumbnail
from errata.tools.errors import OperatorError
from errata.tools.records import ImageRef, Problem


def photograph(seed: int, *, size: tuple[int, int] = (320, 240)) -> Image.Image:
    """Smooth shapes and fine grain, unlike that of any other seed."""
    noise = np.random.default_rng(seed)
    coarse = Image.fromarray(noise.integers(0, 255, (8, 10, 3), dtype=np.uint8)).resize(size, Image.Resampling.BICUBIC)
    grain = noise.normal(0, 6, (*size[::-1], 3))
    return Image.fromarray(np.clip(np.asarray(coarse) + grain, 0, 255).astype(np.uint8))


def grid(marked: int) -> Image.Image:
    """Sixteen equal cells, one of them dark: siblings differ in two cells."""
    picture = Image.new("RGB", (200, 200), "white")
    draw = ImageDraw.Draw(picture)
    for cell in range(16):
        x, y = 50 * (cell % 4) + 8, 50 * (cell // 4) + 8
        draw.rectangle((x, y, x + 34, y + 34), fill="navy" if cell == marked else "khaki", outline="black")
    return picture


def save(picture: Image.Image, path: Path, quality: int | None = None) -> str:
    picture.save(path, format="PNG" if quality is None else "JPEG", **({} if quality is None else {"quality": quality}))
    return str(path)


def problem(name: str, path: str, **metadata: str) -> Problem:
    image = ImageRef(path=path, sha256=f"sha of {path}")
    return Problem(id=name, images=(image,), question=f"{name}?", target="x", scoring="exact", metadata=metadata)


CHANGES: dict[str, Callable[[Image.Image, Path], str]] = {
    "quality 50": lambda p, at: save(p, at, 50),
    "quality 90": lambda p, at: save(p, at, 90),
    "half": lambda p, at: save(p.resize((p.width // 2, p.height // 2)), at),
    "three quarters": lambda p, at: save(p.resize((p.width * 3 // 4, p.height * 3 // 4)), at),
    "one and a half": lambda p, at: save(p.resize((p.width * 3 // 2, p.height * 3 // 2)), at),
    "left cut": lambda p, at: save(p.crop((p.width // 20, 0, p.width, p.height)), at),
    "all sides cut": lambda p, at: save(p.crop((16, 12, p.width - 16, p.height - 12)), at),
    "odd cut": lambda p, at: save(p.crop((5, 9, p.width - 11, p.height - 3)), at, 80),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_changed_copy_is_found_from_either_side(tmp_path: Path, name: str) -> None:
    originals = [save(photograph(i), tmp_path / f"{i}.png") for i in range(8)]
    copies = [CHANGES[name](photograph(i), tmp_path / f"copy-{i}.img") for i in range(8)]
    for known, asked in ((originals, copies), (copies, originals)):
        looks = list(KnownPictures(known, distance=10).find(asked))
        assert [(look.row, look.known) for look in looks] == [(i, i) for i in range(8)]
        assert all(look.score > 0.9 for look in looks)


CHANGED: dict[str, Callable[[Image.Image, Path], str]] = {
    "grey": lambda p, at: save(p.convert("L"), at),
    "darker": lambda p, at: save(ImageEnhance.Brightness(p).enhance(0.6), at),
    "lighter": lambda p, at: save(ImageEnhance.Brightness(p).enhance(1.5), at),
    "flatter": lambda p, at: save(ImageEnhance.Contrast(p).enhance(0.5), at),
    "harder": lambda p, at: save(ImageEnhance.Contrast(p).enhance(1.5), at),
    "letterboxed": lambda p, at: save(ImageOps.pad(p, (320, 320), color="black"), at),
    "letterboxed and saved": lambda p, at: save(ImageOps.pad(p, (320, 320), color=(122, 116, 104)), at, 60),
    "bordered": lambda p, at: save(ImageOps.expand(p, 32, "red"), at),
    "mirrored": lambda p, at: save(ImageOps.mirror(p), at),
    "upside down": lambda p, at: save(ImageOps.flip(p), at),
    **{
        f"turned by {90 * turns}": lambda p, at, turns=turns: save(p.rotate(90 * turns, expand=True), at)
        for turns in (1, 2, 3)
    },
    "15 % cut off": lambda p, at: save(p.crop((29, 7, 301, 211)), at),
    "7.5 % from every side": lambda p, at: save(p.crop((24, 18, 296, 222)), at),
    "bordered and mirrored": lambda p, at: save(ImageOps.mirror(ImageOps.expand(p, 20, "white")), at),
    "quality 10": lambda p, at: save(p, at, 10),
}


@pytest.mark.parametrize("name", CHANGED)
def test_what_pipelines_do_to_pictures_hides_no_copy_from_either_side(tmp_path: Path, name: str) -> None:
    originals = [save(photograph(i), tmp_path / f"{i}.png") for i in range(8)]
    copies = [CHANGED[name](photograph(i), tmp_path / f"copy-{i}.img") for i in range(8)]
    for known, asked in ((originals, copies), (copies, originals)):
        looks = list(KnownPictures(known, distance=10).find(asked))
        assert [(look.row, look.known) for look in looks] == [(i, i) for i in range(8)]


def test_the_second_pass_can_be_left_out(tmp_path: Path) -> None:
    original, copy = photograph(1), ImageOps.mirror(photograph(1))
    known, asked = [save(original, tmp_path / "a.png")], [save(copy, tmp_path / "b.png")]
    assert len(list(KnownPictures(known, distance=10).find(asked))) == 1
    assert list(KnownPictures(known, distance=10, changed=False).find(asked)) == []
    pool, test = [problem("p", asked[0])], {"test": [problem("t", known[0])]}
    assert len(list(find_overlaps(pool, against=test))) == 1  # type: ignore[arg-type]
    assert list(find_overlaps(pool, against=test, options=FirewallOptions(changed=False))) == []  # type: ignore[arg-type]


def test_an_even_border_is_found_on_each_side() -> None:
    picture = Image.new("RGB", (200, 100), "white")
    picture.paste(photograph(2).resize((150, 60)), (20, 10))
    assert find_inside(picture) == (20, 10, 170, 70)
    assert find_inside(photograph(2)) is None
    assert find_inside(Image.new("RGB", (50, 50), "white")) is None


def test_light_is_matched_by_what_is_neither_black_nor_white() -> None:
    pixels = np.asarray(photograph(3, size=(128, 128)))
    small = shrink(pixels, (0, UNITS, 0, UNITS))
    for gain, offset in ((0.5, 60.0), (1.6, -40.0)):
        lit = np.clip(gain * small + offset, 0, 255).astype(np.float32)
        light, on_outer, apart = match_light(small, lit)
        assert apart < 1
        if gain > 1:
            assert on_outer
            assert (light.gain, light.offset) == pytest.approx((gain, offset), rel=0.02)
    light, _, apart = match_light(small, np.repeat((small @ LUMA)[..., None], 3, axis=2))
    assert light.grey
    assert apart < 1


def test_other_photographs_and_other_grids_are_left_alone(tmp_path: Path) -> None:
    photographs = [save(photograph(i), tmp_path / f"{i}.png") for i in range(30)]
    assert list(KnownPictures(photographs[:15], distance=10).find(photographs[15:])) == []
    grids = [save(grid(i), tmp_path / f"grid-{i}.png") for i in range(16)]
    assert list(KnownPictures(grids[:8], distance=16, changed=False).find(grids[8:])) == []
    for look in KnownPictures(grids[:8], distance=16).find(grids[8:]):  # a mirrored or turned grid is another one
        marked = np.zeros((4, 4), bool)
        marked.flat[8 + look.row] = True
        turned = [np.rot90(side, turns) for side in (marked, marked[:, ::-1]) for turns in range(4)]
        assert look.known in {int(np.flatnonzero(one)[0]) for one in turned}
    again = save(grid(3), tmp_path / "again.jpg", 70)
    assert [look.known for look in KnownPictures(grids[:8], distance=10).find([again])] == [3]


def test_one_grey_is_never_compared_and_a_broken_file_is_named(tmp_path: Path) -> None:
    blank = save(Image.new("RGB", (30, 30), "gray"), tmp_path / "blank.png")
    assert not hash_thumbnails(read_thumbnail(blank)[None]).any()
    assert list(KnownPictures([blank], distance=10).find([blank])) == []
    assert list(KnownPictures([], distance=10).find([blank])) == []
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"not a picture")
    with pytest.raises(OperatorError, match=r"broken\.png: picture is corrupt"):
        KnownPictures([blank], distance=10).find([str(broken)]).__next__()


def test_the_window_is_fitted_to_within_a_hundredth() -> None:
    outer = photograph(1, size=(400, 400))
    inner = outer.crop((12, 4, 396, 388))
    pixels = [np.asarray(p.resize((128, 128), Image.Resampling.BOX)) for p in (outer, inner)]
    overlay = lay_over(*pixels, start=(0, UNITS, 0, UNITS))
    assert overlay.same
    assert np.abs(np.array(overlay.box) - (8, 776, 24, 792)).max() <= 8


def test_an_average_over_a_window_is_the_mean_of_what_it_covers() -> None:
    matrix = average_matrix(0, 400, 2, 8)
    assert matrix.tolist() == [[0.5, 0.5, 0, 0, 0, 0, 0, 0], [0, 0, 0.5, 0.5, 0, 0, 0, 0]]
    assert np.allclose(average_matrix(30, 770, 7, 128).sum(axis=1), 1)


def test_drawn_pictures_are_compared_with_others_alone(tmp_path: Path) -> None:
    here, there = save(grid(2), tmp_path / "a.png"), save(grid(2), tmp_path / "b.jpg", 90)
    kinds: list[list[str]] = []
    for ours, theirs in (({"scene": "1"}, {"scene": "2"}), ({"scene": "1"}, {}), ({}, {"scene": "2"}), ({}, {})):
        found = find_overlaps([problem("p", here, **ours)], against={"test": [problem("t", there, **theirs)]})
        kinds.append([overlap.kind for overlap in found])
    assert kinds == [[], ["perceptual"], ["perceptual"], ["perceptual"]]
    pair = [problem("p", here, scene="1")], {"test": [problem("t", there, scene="2")]}
    found = find_overlaps(pair[0], against=pair[1], options=FirewallOptions(drawn=()))  # type: ignore[arg-type]
    assert [(o.pool, o.other, o.split, o.kind) for o in found] == [("p", "t", "test", "perceptual")]


def test_drawn_pictures_are_not_even_read() -> None:
    pool = [problem("p", "absent.png", scene="1")]
    assert list(find_overlaps(pool, against={"test": [problem("t", "absent too.png", scene="2")]})) == []


def test_blocks_and_repeated_pictures_change_nothing(tmp_path: Path) -> None:
    original = save(photograph(0), tmp_path / "0.png")
    copy = save(photograph(0), tmp_path / "0.jpg", 80)
    other = save(photograph(1), tmp_path / "1.png")
    pool = [problem(f"p{i}", copy if i % 3 == 0 else other) for i in range(2500)]
    found = list(find_overlaps(iter(pool), against={"gate": [problem("g", original)]}))
    assert [o.pool for o in found] == [f"p{i}" for i in range(0, 2500, 3)]


@pytest.mark.skipif("ERRATA_DATA" not in os.environ, reason="needs the folder of real data")
def test_real_pictures_are_found_after_saving_and_cropping(tmp_path: Path) -> None:
    files = sorted((Path(os.environ["ERRATA_DATA"]) / "scienceqa" / "images").iterdir())
    chosen = random.Random(21).sample(files, 40)
    copies = []
    for i, file in enumerate(chosen):
        with Image.open(file) as picture:
            width, height = picture.size
            cut = picture.convert("RGB").crop((width // 40, height // 40, width - width // 40, height - height // 40))
        copies.append(save(cut, tmp_path / f"{i}.jpg", 75))
    found = list(KnownPictures([str(file) for file in chosen], distance=10).find(copies))
    assert len(found) >= 36
