"""A teacher that only repeats what the dataset says: the skills each problem is labelled with.

It needs no model and no network. It has no opinion on options, on made samples or on new ones: those
operations are absent from `operations`, and calling one is an error of the settings.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

from errata.tools.errors import OperatorError
from errata.tools.teacher.protocol import (
    JudgeReply,
    JudgeRequest,
    MissingSkillRequest,
    Operation,
    OptionReply,
    OptionRequest,
    ProposeReply,
    ProposeRequest,
    RequiredSkillsRequest,
    SkillReply,
)


class AnnotationsTeacher:
    """Satisfies `Teacher` for datasets that carry skills."""

    name = "annotations"
    operations: frozenset[Operation] = frozenset({"missing_skill", "required_skills"})

    def missing_skill(self, requests: Sequence[MissingSkillRequest]) -> list[SkillReply]:
        """The problem's first skill that was not served to it yet; none when all were."""
        return [
            SkillReply(skills=tuple(s for s in request.problem.skills if s not in request.served)[:1])
            for request in requests
        ]

    def required_skills(self, requests: Sequence[RequiredSkillsRequest]) -> list[SkillReply]:
        """All skills of the problem, as labelled."""
        return [SkillReply(skills=request.problem.skills) for request in requests]

    def option_probabilities(self, requests: Sequence[OptionRequest]) -> list[OptionReply]:
        """Labels hold no probabilities: raises OperatorError."""
        del requests
        _refuse("option_probabilities")

    def judge(self, requests: Sequence[JudgeRequest]) -> list[JudgeReply]:
        """Labels cannot judge: raises OperatorError."""
        del requests
        _refuse("judge")

    def propose(self, requests: Sequence[ProposeRequest]) -> list[ProposeReply]:
        """Labels cannot propose: raises OperatorError."""
        del requests
        _refuse("propose")


def _refuse(operation: Operation) -> NoReturn:
    what = f"this teacher only repeats the dataset's skills and cannot do {operation}"
    remedy = "choose the teacher world or chat, or leave out the tool that asks"
    raise OperatorError(what, where="teacher", value="annotations", remedy=remedy)
