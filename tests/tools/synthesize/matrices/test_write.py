"""A folder of matrices: whole or not at all, the same bytes whatever the number of processes."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from errata.tools.data.read import SourceOptions, read_problems
from errata.tools.data.report import check_dataset
from errata.tools.errors import OperatorError
from errata.tools.synthesize.matrices.settings import MatrixSettings, check_settings
from errata.tools.synthesize.matrices.write import write_matrices

FEW = MatrixSettings(number=110, seed=4, pixels=96, fine=2, coarse=1)


def contents(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_any_number_of_processes_writes_the_same_bytes(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    one = write_matrices(tmp_path / "one", settings=FEW, on_progress=lambda *done: seen.append(done))
    two = write_matrices(tmp_path / "two", settings=FEW, workers=2)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    assert len(contents(tmp_path / "one")) == 110 + 3
    assert one[1:] == two[1:]
    assert (one.matrices, one.questions, one.repeated, one.reused) == (110, 440, 0, False)
    assert seen == [(50, 110), (100, 110), (110, 110)]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "two"]


def test_rows_and_pictures_pass_the_check_of_the_project(tmp_path: Path) -> None:
    settings = FEW.model_copy(update={"number": 14, "split": "gate"})
    write_matrices(tmp_path / "made", settings=settings)
    for name, rows in (("matrices", 14), ("perception", 56)):
        report = check_dataset(tmp_path / "made" / f"{name}.jsonl", format="errata", options=SourceOptions())
        assert (report.ok, report.accepted) == (True, rows)
    read = read_problems(tmp_path / "made" / "matrices.jsonl", split="gate")
    assert {problem.split for problem in read.problems} == {"gate"}
    assert len({problem.images[0].sha256 for problem in read.problems}) == 14


def test_the_same_settings_reuse_a_folder_and_others_refuse_it(tmp_path: Path) -> None:
    settings = FEW.model_copy(update={"number": 3})
    first = write_matrices(tmp_path / "made", settings=settings)
    before = contents(tmp_path / "made")
    again = write_matrices(tmp_path / "made", settings=settings)
    assert again == first._replace(reused=True)
    with pytest.raises(OperatorError, match="matrices of other settings"):
        write_matrices(tmp_path / "made", settings=settings.model_copy(update={"seed": 5}))
    assert contents(tmp_path / "made") == before
    (tmp_path / "other").mkdir()
    with pytest.raises(OperatorError, match="something else"):
        write_matrices(tmp_path / "other", settings=settings)


def test_a_matrix_does_not_depend_on_how_many_are_made(tmp_path: Path) -> None:
    write_matrices(tmp_path / "few", settings=FEW.model_copy(update={"number": 2}))
    write_matrices(tmp_path / "more", settings=FEW.model_copy(update={"number": 60}))
    few, more = ((tmp_path / name / "matrices.jsonl").read_text().splitlines() for name in ("few", "more"))
    assert few == more[:2]


def test_symbols_have_no_pictures_and_no_questions(tmp_path: Path) -> None:
    knobs = {"kind": "symbols", "coarse": 0, "fine": 0, "rules": 0, "number": 7, "levels": 1000}
    made = write_matrices(tmp_path / "made", settings=FEW.model_copy(update=knobs))
    assert (made.matrices, made.questions) == (7, 0)
    assert sorted(contents(tmp_path / "made")) == ["matrices.json", "matrices.jsonl"]
    assert not (tmp_path / "made" / "images").exists()


def test_repeated_matrices_are_counted(tmp_path: Path) -> None:
    knobs = {"configurations": ("centre",), "number": 600, "columns": 10, "levels": 3, "kind": "symbols"}
    knobs |= {"coarse": 0, "fine": 0, "rules": 0}
    made = write_matrices(tmp_path / "made", settings=FEW.model_copy(update=knobs))
    lines = (tmp_path / "made" / "matrices.jsonl").read_text().splitlines()
    distinct = {json.loads(line)["metadata"]["content"] for line in lines}
    assert made.repeated == 600 - len(distinct) > 0


def test_a_disk_that_refuses_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("here")
    with pytest.raises(OperatorError, match="cannot write matrices: Not a directory"):
        write_matrices(tmp_path / "file" / "made", settings=FEW)


@pytest.mark.parametrize(
    ("knobs", "line"),
    [
        ({"number": 0}, "--number: out of range (got 0); choose 1 to 10000000"),
        ({"pixels": 63}, "--pixels: out of range (got 63); choose 64 to 4096"),
        ({"columns": 11}, "--columns: out of range (got 11); choose 3 to 10"),
        ({"noise": 1.5}, "--noise: out of range (got 1.5); choose 0 to 1"),
        ({"confounders": -1}, "--confounders: out of range (got -1); choose 0 to 4"),
        ({"uncertainty": 0.9}, "--uncertainty: out of range (got 0.9); choose 0 to 0.8"),
        ({"coarse": 5}, "--coarse: out of range (got 5); choose 0 to 4"),
        ({"fine": 21}, "--fine: out of range (got 21); choose 0 to 20"),
        ({"rules": 4}, "--rules: out of range (got 4); choose 0 to 3"),
        ({"levels": 2}, "--levels: out of range (got 2); choose 3 to 256, or 0 for RAVEN's ranges"),
        ({"levels": 257}, "--levels: out of range (got 257); choose 3 to 256, or 0 for RAVEN's ranges"),
        ({"configurations": ()}, "--configuration: no configuration; leave it out for all seven"),
        ({"configurations": ("oval",)}, "--configuration: no such configuration (got 'oval')"),
        ({"kind": "symbols"}, "--kind: there is no picture to ask about (got 'symbols')"),
    ],
)
def test_settings_that_cannot_be_made(knobs: dict[str, object], line: str) -> None:
    with pytest.raises(OperatorError) as caught:
        check_settings(MatrixSettings(number=1).model_copy(update=knobs))
    assert line in str(caught.value)


def test_settings_at_the_edge_can_be_made() -> None:
    edges = {"pixels": 64, "columns": 10, "noise": 1.0, "confounders": 4, "uncertainty": 0.8, "levels": 256}
    settings = MatrixSettings(number=1).model_copy(update=edges)
    check_settings(settings)
    check_settings(settings.model_copy(update={"levels": 3, "columns": 3}))
    assert settings.number == 1
