"""Pictures: any width, the same pixels for the same matrix, and what is drawn is what the matrix says."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from errata.tools.synthesize.matrices.draw import draw_matrix, encode_png, lay_out
from errata.tools.synthesize.matrices.generate import Matrix, make_matrix
from errata.tools.synthesize.matrices.layout import CONFIGURATIONS, Component
from errata.tools.synthesize.matrices.read_panel import Group, Style, read_panel
from errata.tools.synthesize.matrices.settings import MatrixSettings

GRAYS = tuple(round(255 * (1 - colour / 9)) for colour in range(10))


def radii(component: Component) -> tuple[float, ...]:
    return tuple(float(r) for r in np.linspace(component.smallest, component.largest, 6))


def groups(matrix: Matrix) -> list[Group]:
    inner = matrix.configuration.name.startswith("out")
    return [
        Group(component.slots, radii(component), "inner" if inner and number else "outer")
        for number, component in enumerate(matrix.configuration.components)
    ]


def count_read(matrix: Matrix, settings: MatrixSettings) -> tuple[int, int, int]:
    """(objects, those read as they are, those that are read where there are none)."""
    at = lay_out(settings.pixels, matrix.columns)
    pixels = np.asarray(draw_matrix(matrix, settings=settings))
    objects = right = extra = 0
    shown = [*zip(matrix.context, at.places, strict=False), *zip(matrix.candidates, at.candidates, strict=True)]
    for panel, (x, y) in shown:
        inside = pixels[y + 2 : y + at.panel - 2, x + 2 : x + at.panel - 2]
        for state, found in zip(panel, read_panel(inside, groups(matrix), style=Style(GRAYS)), strict=True):
            objects += len(state.objects)
            extra += len(set(found) - {slot for slot, _ in state.objects})
            right += sum(
                all(v in s for v, s in zip(looks, found[slot], strict=True))
                for slot, looks in state.objects
                if slot in found
            )
    return objects, right, extra


@pytest.mark.parametrize("index", range(len(CONFIGURATIONS)))
def test_what_is_drawn_can_be_read_back(index: int) -> None:
    settings = MatrixSettings(number=7, seed=21, pixels=640)
    objects, right, extra = count_read(make_matrix(index, settings=settings), settings)
    assert objects >= 16
    assert (right, extra) == (objects, 0)


def test_reading_back_would_notice_another_drawing() -> None:
    settings = MatrixSettings(number=7, seed=21, pixels=640)
    matrix = make_matrix(0, settings=settings)
    turned = matrix._replace(panels=matrix.panels[::-1], candidates=matrix.candidates[::-1])
    pixels = np.asarray(draw_matrix(turned, settings=settings))
    at = lay_out(640, 3)
    x, y = at.candidates[0]
    (found,) = read_panel(
        pixels[y + 2 : y + at.panel - 2, x + 2 : x + at.panel - 2], groups(matrix), style=Style(GRAYS)
    )
    looks = matrix.candidates[0][0].looks[0]
    assert not all(v in s for v, s in zip(looks, found[0], strict=True))


def test_uncertain_values_stay_nearest_to_the_true_ones() -> None:
    settings = MatrixSettings(number=7, seed=5, pixels=640, uncertainty=0.8, configurations=("centre", "left-right"))
    plain = settings.model_copy(update={"uncertainty": 0.0})
    for index in range(2):
        matrix = make_matrix(index, settings=settings)
        assert draw_matrix(matrix, settings=settings).tobytes() != draw_matrix(matrix, settings=plain).tobytes()
        at = lay_out(640, 3)
        pixels = np.asarray(draw_matrix(matrix, settings=settings))
        for panel, (x, y) in zip(matrix.candidates, at.candidates, strict=True):
            for state, component in zip(panel, matrix.configuration.components, strict=True):
                box, colour = component.slots[0], state.looks[0][2]
                gray = float(pixels[y + round(box.y * at.panel), x + round(box.x * at.panel)])
                assert min(range(10), key=lambda c: abs(GRAYS[c] - gray)) == colour


@pytest.mark.parametrize("pixels", [64, 333, 1500])
@pytest.mark.parametrize("columns", [3, 10])
def test_any_width(pixels: int, columns: int) -> None:
    settings = MatrixSettings(number=1, pixels=pixels, columns=columns)
    matrix = make_matrix(1, settings=settings)
    picture = draw_matrix(matrix, settings=settings)
    at = lay_out(pixels, columns)
    assert picture.size == (pixels, at.height)
    assert len(at.places) == 3 * columns
    for x, y in (*at.places, *at.candidates):
        assert 0 <= x <= pixels - at.panel
        assert 0 <= y <= at.height - at.panel
        assert picture.getpixel((x, y)) == 0  # the frame
    with Image.open(io.BytesIO(encode_png(picture))) as read:
        assert (read.format, read.tobytes()) == ("PNG", picture.tobytes())


def test_panels_do_not_touch() -> None:
    for columns in (3, 5, 10):
        at = lay_out(512, columns)
        boxes = sorted((*at.places, *at.candidates))
        for i, (x, y) in enumerate(boxes):
            for u, v in boxes[i + 1 :]:
                assert abs(x - u) > at.panel or abs(y - v) > at.panel


def test_the_same_matrix_gives_the_same_bytes() -> None:
    settings = MatrixSettings(number=1, confounders=4, uncertainty=0.5)
    first, again = (encode_png(draw_matrix(make_matrix(4, settings=settings), settings=settings)) for _ in range(2))
    assert first == again


def test_each_confounder_changes_the_picture() -> None:
    drawn = set()
    for confounders in range(5):
        settings = MatrixSettings(number=1, seed=2, confounders=confounders)
        drawn.add(draw_matrix(make_matrix(1, settings=settings), settings=settings).tobytes())
    assert len(drawn) == 5


def test_without_confounders_equal_panels_look_the_same() -> None:
    settings = MatrixSettings(number=1, confounders=0)
    matrix = make_matrix(0, settings=settings)
    same = matrix._replace(candidates=(matrix.candidates[0],) * 8)
    pixels = np.asarray(draw_matrix(same, settings=settings))
    at = lay_out(512, 3)
    cuts = {pixels[y : y + at.panel, x : x + at.panel].tobytes() for x, y in at.candidates}
    assert len(cuts) == 1


def test_the_place_of_the_question_mark_hides_the_answer() -> None:
    settings = MatrixSettings(number=1, configurations=("centre",))
    at = lay_out(512, 3)
    x, y = at.places[-1]
    cuts = set()
    for index in range(3):
        pixels = np.asarray(draw_matrix(make_matrix(index, settings=settings), settings=settings))
        cuts.add(pixels[y : y + at.panel, x : x + at.panel].tobytes())
    assert len(cuts) == 1
