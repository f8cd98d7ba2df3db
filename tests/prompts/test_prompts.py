import re

import pytest
from jinja2 import UndefinedError

from errata.prompts import FOLDER, PromptMissing, list_prompts, prompt_digest, render_prompt

CHOICES = (("A", "red"), ("B", "blue"))


def test_brief_prompt_is_question_and_choices_only():
    assert (
        render_prompt("student_brief", question="What colour?", choices=CHOICES)
        == "What colour? A) red B) blue"
    )
    assert render_prompt("student_brief", question="What colour?", choices=()) == "What colour?"


def test_cot_prompt_has_the_papers_instruction_one_example_and_the_choices_in_order():
    text = render_prompt("student_cot", question="What colour?", choices=CHOICES)
    assert text.count("Example:") == 1
    assert text.index("Question: What colour?") < text.index("A) red\nB) blue\n")
    assert text.endswith(
        "Let us think step by step. Provide your Rationale and the final answer. "
        "The final answer should be the option's letter from the given choices."
    )


def test_cot_prompt_without_choices_speaks_of_no_letter():
    text = render_prompt("student_cot", question="How many?", choices=())
    assert "letter" not in text
    assert "Choices" not in text
    assert "Let us think step by step." in text


def test_missing_value_and_unknown_name_are_errors():
    with pytest.raises(UndefinedError):
        render_prompt("student_cot", choices=())
    with pytest.raises(PromptMissing, match="student_brief"):
        render_prompt("nothing_of_the_kind")
    with pytest.raises(PromptMissing):
        render_prompt("../README")


def test_digest_is_of_the_content():
    assert {"student_brief", "student_cot"} <= set(list_prompts())
    assert prompt_digest("student_brief") != prompt_digest("student_cot")
    assert len(prompt_digest("student_cot")) == 16


def test_no_prompt_lies_unused():
    house = FOLDER.parent
    files = [*house.glob("agent/**/*.py"), *house.glob("tools/**/*.py"), *house.glob("runs/configs/*.yaml")]
    text = "\n".join(path.read_text(encoding="utf-8") for path in files)
    assert [name for name in list_prompts() if not re.search(rf"(\"|prompt: ){name}\b", text)] == []
