"""One writer at a time, and an index in which every skill is found."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from errata.tools.errors import OperatorError
from errata.tools.retrieve.chroma import SkillCollection
from errata.tools.retrieve.embeddings import HashingEmbedding
from errata.tools.retrieve.writer_lock import only_writer

SKILLS = {f"skill number {number}": 1 for number in range(30)}
HOLD = "import sys; from pathlib import Path; from errata.tools.retrieve.writer_lock import only_writer\n"
HOLD += "with only_writer(Path(sys.argv[1])):\n    print('held', flush=True)\n    sys.stdin.read()"


def test_a_second_writer_reads_who_the_first_is(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        collection = SkillCollection(tmp_path, embedding=HashingEmbedding())
        with pytest.raises(OperatorError, match=rf"another process writes this index \(pid {other.pid} on .* since \d"):
            collection.build(SKILLS)
        other.communicate("")
    assert collection.build(SKILLS), "the lock ends with its process"
    assert not collection.build(SKILLS)
    collection.close()


def test_a_reader_needs_no_lock(tmp_path: Path) -> None:
    collection = SkillCollection(tmp_path, embedding=HashingEmbedding())
    collection.build(SKILLS)
    with only_writer(tmp_path):
        assert collection.nearest_skills("skill number 7", 1)[0][0] == "skill number 7"
        with pytest.raises(OperatorError, match="another process writes this index"):
            collection.add({"one more skill": 1}, of="more")
    collection.close()


def test_a_skill_that_is_missed_is_an_error(tmp_path: Path) -> None:
    collection = SkillCollection(tmp_path, embedding=HashingEmbedding())
    collection.build(SKILLS)
    collection.verify(SKILLS)
    with pytest.raises(OperatorError, match=r"misses 1 of 31 skills .*got 'never put in'"):
        collection.verify({**SKILLS, "never put in": 1})
    collection.close()
