"""What a run says of a checkpoint: the lessons that it was trained on, licences, and the controls beside it."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from errata.agent.run.export import describe_checkpoint, find_controls, lessons_of, licence_of
from errata.agent.run.folder import RunFolder
from errata.agent.run.outcome import read_outcome
from errata.tools.records import Checkpoint, Comparison, Lesson, Problem
from tests.agent.made_run import FIRST, SECOND, make_comparison, make_run


def make_control(root: Path, name: str, *, control: str = "random") -> RunFolder:
    """The made-up run again, as a control."""
    folder, _ = make_run(root, name=name)
    path = folder.path / "settings.yaml"
    path.write_text(path.read_text().replace("control: none", f"control: {control}"))
    return folder


def test_lessons_of_withdrawn_and_later_iterations_are_not_counted(tmp_path: Path) -> None:
    folder, _ = make_run(tmp_path)
    first = folder.read_records("lessons.jsonl", Lesson)[0]
    lessons = [first.model_copy(update={"id": f"l{n}", "iteration": n}) for n in (1, 2, 3, 4)]
    rounds: list[Comparison] = []
    for number, fallen in ((1, ()), (2, ("see",)), (3, ())):
        made = make_comparison("base", f"{number}-x", "gate", gain=-0.1, low=-0.3, accepted=False)
        rounds.append(made.model_copy(update={"sentinels_fallen": fallen}))
    outcome = read_outcome(folder)._replace(lessons=lessons, comparisons=rounds)

    def trained(name: str) -> list[int]:
        checkpoint = Checkpoint(id=name, parent="base", folder="f", lessons=1, recipe="r", loss=None)
        return [lesson.iteration for lesson in lessons_of(checkpoint, outcome)]

    assert trained("2-x") == [1, 2], "withdrawn only after its own training"
    assert trained("3-x") == [1, 3]
    assert trained("other") == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("metadata", "licence"),
    [
        ({"license": "MIT"}, "MIT"),
        ({"Licence": ["MIT", "CC0"]}, "MIT, CC0"),
        ({"license": ""}, "not stated"),
        ({"licensed": "MIT"}, "not stated"),
        ({}, "not stated"),
    ],
)
def test_licence_of_a_sample(metadata: dict[str, object], licence: str) -> None:
    assert licence_of(Problem(id="a", question="q", target="t", metadata=metadata)) == licence


def test_controls_on_the_same_questions_stand_beside_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, _ = make_run(tmp_path)
    make_control(tmp_path, "random-1")
    rejected = make_control(tmp_path, "uniform-1", control="uniform")
    (rejected.path / "comparisons.jsonl").unlink()
    other = make_control(tmp_path, "random-2")
    other.write_json("manifest.json", {s: {"questions": 8, "digest": "other"} for s in ("gate", "test")})
    make_run(tmp_path, name="made-2")
    broken = make_control(tmp_path, "broken-1")
    (broken.path / "comparisons.jsonl").write_text("{}\n")
    found = [(c.run, c.control, c.kept, c.figure.split, c.samples) for c in find_controls(folder)]
    assert found == [
        ("random-1", "random", True, "test", 5),
        ("random-1", "random", True, "gate", 5),
        ("uniform-1", "uniform", False, "gate", 5),
    ]
    said = capsys.readouterr().err
    assert said.startswith("errata: broken-1 is not looked at as a control: ")
    assert said.count("\n") == 1
    assert find_controls(folder)[2].figure.after.value == pytest.approx(25 / 40), "the last that was trained"


def test_a_run_whose_training_list_is_gone(tmp_path: Path) -> None:
    folder, _ = make_run(tmp_path)
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "config.json").write_text('{"model_type": "tiny"}')
    checkpoint = next(c for c in folder.read_records("checkpoints.jsonl", Checkpoint) if c.id == SECOND)
    card = describe_checkpoint(folder, checkpoint, base_name=None, title="t")
    assert card.lineage.replay is None
    assert (card.lineage.lessons, card.lineage.traced) == (5, 5)
    assert card.training == ()
    assert card.figures[0].split == "gate", "test was not read by a rejected checkpoint"
    assert card.skill_split == "gate"
    assert card.base.family == "tiny"
    assert FIRST not in card.gate


@pytest.mark.parametrize(
    ("source", "named"),
    [
        ({"path": "owner/pool", "format": "huggingface"}, ("owner/pool",)),
        ({"path": "{here}", "format": "huggingface"}, ()),
        ({"path": "owner/pool", "format": "llava"}, ()),
    ],
)
def test_datasets_of_the_hub_are_named_and_folders_are_not(
    source: dict[str, str], named: tuple[str, ...], tmp_path: Path
) -> None:
    folder, _ = make_run(tmp_path)
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "config.json").write_text("{}")
    settings = yaml.safe_load((folder.path / "settings.yaml").read_text())
    settings["data"]["pool"] |= {key: value.format(here=tmp_path) for key, value in source.items()}
    folder.write_text("settings.yaml", yaml.safe_dump(settings))
    checkpoint = folder.read_records("checkpoints.jsonl", Checkpoint)[1]
    card = describe_checkpoint(folder, checkpoint, base_name=None, title="t")
    assert card.lineage.datasets == named
    assert (
        card.gate == "Verdict of the gate, against the best checkpoint before it: accepted: the gain is beyond noise."
    )
