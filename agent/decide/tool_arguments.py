"""The tools as the deciding model sees them: names, descriptions, and arguments with bounds.

The class's title is the tool's name, its docstring the description, its fields the JSON schema.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class Arguments(BaseModel):
    """Base of all arguments: closed, and every call says why it is made."""

    reason: str = Field(min_length=3, max_length=600, description="Why this call, in one or two sentences.")


class LocateMistakes(Arguments):
    """Find the first wrong step of every error of the batch that has not been located yet."""

    model_config = ConfigDict(title="locate_mistakes", extra="forbid")


class TagSkills(Arguments):
    """Name the one skill that explains each error. Locate first: the wrong step is the evidence."""

    model_config = ConfigDict(title="tag_skills", extra="forbid")


class InspectErrors(Arguments):
    """Read up to five errors in full: question, choices, gold answer, the student's steps and answer, and what the
    teacher sees in the failure where it can analyse one (that costs one teacher call each).
    """

    model_config = ConfigDict(title="inspect_errors", extra="forbid")
    problems: list[str] = Field(min_length=1, max_length=5, description="Ids of problems of this batch.")


class RetrieveSamples(Arguments):
    """Fetch training samples for one missing skill from the supporting dataset."""

    model_config = ConfigDict(title="retrieve_samples", extra="forbid")
    skill: str = Field(min_length=1, max_length=300, description="A skill as tag_skills named it.")
    budget: int = Field(ge=1, le=1_000_000, description="How many samples at most.")


class SynthesizeSamples(Arguments):
    """Make training samples for one missing skill; their answers are computed and therefore certain."""

    model_config = ConfigDict(title="synthesize_samples", extra="forbid")
    skill: str = Field(min_length=1, max_length=300, description="A skill as tag_skills named it.")
    budget: int = Field(ge=1, le=1_000_000, description="How many samples at most.")


class FinishBatch(Arguments):
    """End the work on this batch."""

    model_config = ConfigDict(title="finish_batch", extra="forbid")
    summary: str = Field(default="", max_length=600, description="What was found and done.")


TOOLS: dict[str, type[Arguments]] = {
    "locate_mistakes": LocateMistakes,
    "tag_skills": TagSkills,
    "inspect_errors": InspectErrors,
    "retrieve_samples": RetrieveSamples,
    "synthesize_samples": SynthesizeSamples,
    "finish_batch": FinishBatch,
}
