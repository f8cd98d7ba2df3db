"""A language model's part played by the embedded teacher: it reads the rendered prompts and answers in their format."""

from __future__ import annotations

import json
import re
from typing import Any

from errata.tools.records import Problem, digest
from errata.tools.teacher.protocol import (
    MissingSkillRequest,
    OptionRequest,
    RationaleRequest,
    RequiredSkillsRequest,
    StepCheckRequest,
    StepIndexRequest,
)
from errata.tools.teacher.world import WorldTeacher
from errata.tools.world.skills import SKILL_OF_WORDING
from tests.chat_server import Answer, say_letter

HEADS = ("Question", "Choices", "Right answer", "Steps so far", "Student's steps", "Already trained", "Worked solution")
HEADS += ("Steps", "Other solution", "First", "Second")


def read_sections(text: str) -> dict[str, list[str]]:
    """Lines by the heading they stand under; the bar and what stands before it are kept."""
    sections: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in text.split("\n"):
        if line in HEADS:
            lines = sections.setdefault(line, [])
        else:
            lines.append(line)
    return sections


def behind_bar(lines: list[str]) -> list[str]:
    """The data of the lines that carry any."""
    return [line.split("| ", 1)[1] for line in lines if "| " in line]


class WorldAnswers:
    """Satisfies the `answer` of `ChatServer` for location and skills."""

    def __init__(self) -> None:
        self._teacher = WorldTeacher()

    def __call__(self, body: dict[str, Any]) -> Answer:
        text = next(m["content"] for m in body["messages"] if m["role"] == "user")
        if isinstance(text, list):
            text = text[0]["text"]
        sections = read_sections(text)
        if "Second" in sections:
            (one,), (other,) = (behind_bar(sections[name]) for name in ("First", "Second"))
            return Answer(json.dumps({"same": SKILL_OF_WORDING.get(one, one) == SKILL_OF_WORDING.get(other, other)}))
        question = "\n".join(behind_bar(sections["Question"]))
        choices = tuple(behind_bar(sections.get("Choices", [])))
        if "Steps so far" in sections:
            return self._weigh(question, choices, sections, text)
        if "Steps" in sections:
            return self._read_steps(question, choices, sections)
        if "Student's steps" not in sections and "Worked solution" not in sections:
            return self._write(question, choices, sections)
        if "Worked solution" in sections:
            problem = Problem(id=digest(question), question=question, choices=choices, target="A")
            (found,) = self._teacher.required_skills([RequiredSkillsRequest(problem=problem)])
            return Answer(json.dumps({"skills": found.skills}))
        steps = sections["Student's steps"]
        wrong = next((i for i, line in enumerate(steps) if "(first wrong step)" in line), -1)
        request = MissingSkillRequest(
            problem=Problem(id=digest(question), question=question, choices=choices, target="A"),
            steps=tuple(behind_bar(steps)),
            step=wrong,
            served=tuple(behind_bar(sections["Already trained"])),
        )
        (reply,) = self._teacher.missing_skill([request])
        return Answer(json.dumps({"skill": (*reply.skills, "none that is new")[0]}))

    def _read_steps(self, question: str, choices: tuple[str, ...], sections: dict[str, list[str]]) -> Answer:
        asked = {"problem": digest(question), "question": question, "options": choices}
        steps = tuple(behind_bar(sections["Steps"]))
        if "Right answer" not in sections:
            (checked,) = self._teacher.check_step([StepCheckRequest(**asked, steps=steps)])
            return Answer(json.dumps({"correct": checked.correct}))
        (gold,) = behind_bar(sections["Right answer"])
        reference = tuple(behind_bar(sections.get("Other solution", [])))
        request = StepIndexRequest(**asked, steps=steps, gold=gold, reference=reference)
        (named,) = self._teacher.name_step([request])
        assert named.step is not None
        return Answer(json.dumps({"step": named.step + 1}))

    def _write(self, question: str, choices: tuple[str, ...], sections: dict[str, list[str]]) -> Answer:
        (gold,) = behind_bar(sections["Right answer"])
        target = chr(ord("A") + choices.index(gold))
        problem = Problem(id=digest(question), question=question, choices=choices, target=target)
        (written,) = self._teacher.write_rationale([RationaleRequest(problem=problem)])
        return Answer(json.dumps({"steps": written.steps}))

    def _weigh(self, question: str, choices: tuple[str, ...], sections: dict[str, list[str]], text: str) -> Answer:
        told = re.search(r"^Prior knowledge: There is a probability of ([\d.]+)% that option (\w)", text, re.MULTILINE)
        letters = [chr(ord("A") + i) for i in range(len(choices))]
        prior = tuple(float(told[1]) / 100 if letter == told[2] else 0.0 for letter in letters) if told else ()
        request = OptionRequest(
            problem=digest(question),
            question=question,
            options=choices,
            prior=prior,
            steps=tuple(behind_bar(sections["Steps so far"])),
        )
        (reply,) = self._teacher.option_probabilities([request])
        return say_letter(reply.probabilities)
