"""The same tagging function over blocks of a file: here, and on a local Ray cluster where Ray is installed."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from errata.tools.errors import OperatorError
from errata.tools.records import Problem, to_jsonl
from errata.tools.skills.blocks import cut_blocks, read_block, shard_of, tag_file
from errata.tools.skills.store import SkillStore
from errata.tools.tag import tag_required_skills
from errata.tools.teacher.annotations import AnnotationsTeacher
from errata.tools.teacher.protocol import RequiredSkillsRequest, SkillReply

HOUSE = Path(__file__).resolve().parents[3]


def pool(count: int) -> list[Problem]:
    return [
        Problem(id=f"p{i}", question=f"Number {i}?", target="x", scoring="exact", skills=(f"skill {i % 7}", "read"))
        for i in range(count)
    ]


def write_pool(folder: Path, count: int) -> Path:
    file = folder / "pool.jsonl"
    file.write_text(to_jsonl(pool(count)), encoding="utf-8")
    return file


class TiredTeacher(AnnotationsTeacher):
    """Repeats labels and runs out after `limit` samples."""

    def __init__(self, limit: int) -> None:
        self.left = limit

    def required_skills(self, requests: Sequence[RequiredSkillsRequest]) -> list[SkillReply]:
        self.left -= len(requests)
        if self.left < 0:
            raise KeyboardInterrupt
        return super().required_skills(requests)


def test_blocks_cover_every_row_once(tmp_path: Path) -> None:
    file = write_pool(tmp_path, 10)
    blocks = cut_blocks(file, rows=4)
    assert [(b.number, b.row) for b in blocks] == [(0, 0), (1, 4), (2, 8)]
    assert [p.id for b in blocks for p in read_block(file, b)] == [f"p{i}" for i in range(10)]
    with pytest.raises(OperatorError, match="no such file"):
        cut_blocks(tmp_path / "none.jsonl", rows=4)


def test_a_row_that_is_no_problem_is_named(tmp_path: Path) -> None:
    file = write_pool(tmp_path, 5)
    with file.open("a", encoding="utf-8") as opened:
        opened.write('{"id": "q"}\n')
    with pytest.raises(OperatorError, match=r"pool\.jsonl:6: field 'question'"):
        tag_file(file, store=tmp_path / "s", make_teacher=AnnotationsTeacher, rows=4)


def test_a_killed_call_is_repeated_and_asks_for_the_rest_alone(tmp_path: Path) -> None:
    file, store = write_pool(tmp_path, 50), tmp_path / "s"
    with pytest.raises(KeyboardInterrupt):
        tag_file(file, store=store, make_teacher=lambda: TiredTeacher(34), rows=10, batch=4)
    assert shard_of(store, 3).exists()
    assert tag_file(file, store=store, make_teacher=lambda: TiredTeacher(16), rows=10, batch=4) == (50, 16)
    assert not shard_of(store, 0).parent.exists()
    assert tag_file(file, store=store, make_teacher=lambda: TiredTeacher(0), rows=7) == (50, 0)
    found = tag_required_skills(pool(50), teacher=TiredTeacher(0), store=store)
    assert found.by_problem == {p.id: p.skills for p in pool(50)}


def test_blocks_give_the_store_that_one_call_gives(tmp_path: Path) -> None:
    file = write_pool(tmp_path, 30)
    tag_file(file, store=tmp_path / "blocks", make_teacher=AnnotationsTeacher, rows=7, batch=3)
    tag_required_skills(pool(30), teacher=AnnotationsTeacher(), store=tmp_path / "whole")
    names = ("texts.jsonl", "ids.bin", "rows.bin")
    assert [(tmp_path / "blocks" / n).read_bytes() for n in names] == [
        (tmp_path / "whole" / n).read_bytes() for n in names
    ]


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs the extra scale")
def test_ray_gives_the_same_store(tmp_path: Path) -> None:
    file = write_pool(tmp_path, 60)
    code = (
        "import sys, ray; from pathlib import Path; from errata.tools.skills.blocks import tag_file\n"
        "from errata.tools.teacher.annotations import AnnotationsTeacher\n"
        "ray.init(num_cpus=1, include_dashboard=False, logging_level='ERROR')\n"
        "print(*tag_file(Path(sys.argv[1]), store=Path(sys.argv[2]), make_teacher=AnnotationsTeacher, where='ray',\n"
        "                workers=1, rows=20))"
    )
    command = [sys.executable, "-c", code, str(file), str(tmp_path / "ray")]
    done = subprocess.run(command, cwd=HOUSE, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-2:] == ["60", "60"]
    tag_file(file, store=tmp_path / "here", make_teacher=AnnotationsTeacher, rows=20)
    with SkillStore(tmp_path / "ray") as one, SkillStore(tmp_path / "here") as other:
        assert one.everything() == other.everything()
