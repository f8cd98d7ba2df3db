"""Chat templates as models have them: what is asked, what is learned, and what is refused."""

import pytest
import torch

from errata.tools.errors import OperatorError
from errata.tools.student.checks import check_mask, check_prompt
from errata.tools.student.encode import IGNORED, encode_sample, render_text
from errata.tools.student.load import open_student
from tests.families import build_family
from tests.tiny_student import build_problems, shared_folder

HOW = {"prompt": "student_brief", "image_first": True}
PARTS = "{% for p in m['content'] %}{{ '<image>' if p['type'] == 'image' else p['text'] }}{% endfor %}"
LLAVA_15 = (
    "{% for m in messages %}{% if m['role'] != 'system' %}{{ m['role'].upper() + ': ' }}{% endif %}"
    "{% for c in m['content'] | selectattr('type', 'equalto', 'image') %}{{ '<image>\n' }}{% endfor %}"
    "{% if m['role'] != 'assistant' %}{% for c in m['content'] | selectattr('type', 'equalto', 'text') %}"
    "{{ c['text'] + ' ' }}{% endfor %}{% else %}{% for c in m['content'] | selectattr('type', 'equalto', 'text') %}"
    "{% generation %}{{ c['text'] + ' ' }}{% endgeneration %}{% endfor %}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
)
PLAIN_REPLY = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{% if m['role'] == 'assistant' %}{{ m['content'] }}{% else %}"
    + PARTS + "{% endif %}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)  # fmt: skip
THINKING = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n" + PARTS + "<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n<think>\n{% endif %}"
)
EMPTY_THOUGHT = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n"
    "{% if m['role'] == 'assistant' %}<think>\n\n</think>\n\n{% endif %}"
    + PARTS + "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)  # fmt: skip


@pytest.fixture(scope="module")
def student(tmp_path_factory):
    torch.set_num_threads(1)
    return open_student(str(build_family("llava", tmp_path_factory.mktemp("llava"))), adapter=None, device="cpu")


@pytest.fixture(scope="module")
def problem():
    return build_problems(shared_folder() / "templates", 1, seed=1)[0]


@pytest.mark.parametrize(
    ("template", "opens", "lead"),
    [
        (LLAVA_15, "ASSISTANT:", " "),
        (PLAIN_REPLY, "assistant\n", ""),
        (THINKING, "<think>\n", ""),
        (EMPTY_THOUGHT, "assistant\n", ""),
    ],
    ids=["llava-1.5", "plain-reply", "thinking", "empty-thought"],
)
def test_the_answer_follows_the_prompt_that_is_asked_and_ends(student, problem, template, opens, lead):
    student.processor.chat_template = template
    frame = render_text(problem, student=student, **HOW)
    assert frame.before.endswith(opens)
    assert frame.lead == lead
    sample = encode_sample(problem, student=student, **HOW)
    check_prompt(sample, problem, student=student, **HOW)
    check_mask(sample, problem, student=student)
    learned = student.tokenizer.decode(sample.labels[sample.labels != IGNORED])
    assert learned == f"{lead}{problem.rationale} The answer is {problem.target}.<|im_end|>"


def test_a_template_that_loses_or_changes_the_answer_is_refused_with_the_row(student, problem):
    student.processor.chat_template = (
        "{% for m in messages %}{% if m['role'] == 'user' %}" + PARTS + "{% endif %}{% endfor %}"
    )
    with pytest.raises(OperatorError, match=r"problem p0000: the chat template leaves out what the assistant said"):
        encode_sample(problem, student=student, **HOW)
    student.processor.chat_template = (
        "{% for m in messages %}" + PARTS + "{% if m['role'] == 'assistant' %}!!{% endif %}{% endfor %}"
    )
    with pytest.raises(OperatorError, match=r"the labels are not the answer.*!!"):
        check_mask(encode_sample(problem, student=student, **HOW), problem, student=student)
    student.processor.chat_template = "{{ messages[0]['content'] + 1 }}"
    with pytest.raises(OperatorError, match=r"problem p0000: the chat template fails"):
        encode_sample(problem, student=student, **HOW)
