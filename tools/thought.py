"""Tell the thought of a reasoning model from what it says after it.

Each family has marks of its own: tags (`<think>`), brackets (`[THINK]`), channels (gpt-oss), sentences (Granite). Many
chat templates open the thought in the prompt, so that a reply holds the closing mark alone. Servers that part them
themselves (vLLM, SGLang, llama.cpp with a reasoning parser) hand the thought over in a field of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

_TAGS = (
    "think|thinking|thought|thoughts|reasoning|reason|analysis|rationale|seed:think|longcat_think|scratchpad|cot"
    "|mm:think|inner_thinking"
)
_PAIRS = (
    (r"\[THINK\]", r"\[/THINK\]"),  # Magistral
    ("◁think▷", "◁/think▷"),  # Kimi-VL
    (r"<\|begin_of_thought\|>", r"<\|end_of_thought\|>"),  # OpenThinker, Sky-T1
    (r"<\|START_THINKING\|>", r"<\|END_THINKING\|>"),  # Command A Reasoning
    (r"<\|channel>(?:thought)?", r"<channel\|>"),  # Gemma 4
    ("<unused94>(?:thought)?", "<unused95>"),  # MedGemma
    (r"(?:\A\s*)Here(?: is|'s) my (?:thought|thinking) process:", r"Here(?: is|'s) my response:"),  # Granite 3
)
_OPEN = "|".join([rf"<(?P<tag>{_TAGS})>", *(f"(?P<p{i}>{begin})" for i, (begin, _) in enumerate(_PAIRS))])
_CLOSE = "|".join([rf"</(?P<endtag>{_TAGS})>", *(f"(?P<q{i}>{end})" for i, (_, end) in enumerate(_PAIRS))])
_MARK = re.compile(f"{_OPEN}|{_CLOSE}", re.IGNORECASE)
_CHANNEL = re.compile(r"(?:<\|start\|>assistant)?<\|channel\|>(?P<name>\w+)[^<]*(?:<\|constrain\|>[^<]*)?<\|message\|>")
_CHANNEL_END = re.compile(r"<\|(?:end|return|call)\|>|<\|start\|>assistant")
_BARE_CHANNEL = re.compile(r"\A\s*(?:assistant)?analysis(?=[A-Z\"'“*\d])(?P<thought>.*)\Z", re.DOTALL)
"""gpt-oss's channels when the decoder dropped its special tokens: `analysisWe look ...assistantfinalB`."""
_BARE_FINAL = re.compile(r"\s*assistant\s*final(?:\s|:)*")
_ANSWERED = re.compile(
    r"<(?P<tag>answer|final_answer|conclusion|response)>(?P<said>(?:(?!<(?:answer|final_answer|conclusion|response)>).)+?)"
    r"</(?P=tag)>\s*(?:<[|/]\w[^>]*>\s*)*\Z",
    re.DOTALL | re.IGNORECASE,
)
OPENING_MARKS = (
    *(f"<{tag}>" for tag in _TAGS.split("|")),
    *("[THINK]", "◁think▷", "<|begin_of_thought|>", "<|START_THINKING|>", "<|channel>thought", "<unused94>thought"),
)
"""What the prompt of a template that opens the thought itself may end with."""


class Response(NamedTuple):
    """A response in its two parts."""

    thought: str
    """Without its marks; empty where the model did not think, or not aloud."""
    said_from: int
    """Offset in the response from which on it is said; its length where it was cut inside the thought."""
    finished: bool
    """False for a response that was cut inside its thought."""


def part_thought(response: str) -> Response:
    """The thought, and where what is said begins."""
    if "<|channel|>" in response:
        return _part_channels(response)
    bare = _BARE_CHANNEL.match(response)
    if bare is not None:
        ends = list(_BARE_FINAL.finditer(response, bare.start("thought")))
        if not ends:
            return Response(bare["thought"].strip(), len(response), finished=False)
        return Response(response[bare.start("thought") : ends[-1].start()].strip(), ends[-1].end(), finished=True)
    return _part_marks(response)


def _part_marks(response: str) -> Response:
    """By opening and closing marks; one that closes what nobody opened was opened by the prompt."""
    thoughts: list[str] = []
    opened, kind, said_from = 0, "", 0
    for mark in _MARK.finditer(response):
        name = next(group for group, text in mark.groupdict().items() if text is not None)
        closes = name == "endtag" or name.startswith("q")
        this = str(mark[name]).lower() if name in ("tag", "endtag") else name[1:]
        if not closes and not kind:
            if response[said_from : mark.start()].strip() and not response[mark.end() :].strip():
                break
            opened, kind = mark.end(), this
        elif closes and kind in ("", this):
            begin = opened if kind else said_from
            thoughts.append(response[begin : mark.start()].strip())
            kind, said_from = "", mark.end()
    if not kind:
        return Response("\n".join(filter(None, thoughts)), said_from, finished=True)
    answered = _ANSWERED.search(response, opened)
    if answered is None:
        return Response("\n".join(filter(None, [*thoughts, response[opened:].strip()])), len(response), finished=False)
    thoughts.append(response[opened : answered.start()].strip())
    return Response("\n".join(filter(None, thoughts)), answered.start(), finished=True)


def _part_channels(response: str) -> Response:
    """gpt-oss: what is in the channel `final` is said, all others are thought."""
    thoughts, said_from = [], len(response)
    for head in _CHANNEL.finditer(response):
        end = _CHANNEL_END.search(response, head.end())
        if head["name"] == "final":
            said_from = head.end()
        else:
            thoughts.append(response[head.end() : end.start() if end else len(response)].strip())
    return Response("\n".join(filter(None, thoughts)), said_from, finished=said_from < len(response))


def opened_thought(prompt: str) -> str:
    """The opening mark with which a prompt ends, or nothing: the response that follows lacks it."""
    end = prompt.rstrip()
    return next((mark for mark in OPENING_MARKS if end.endswith(mark)), "")


def holds_thought_mark(tokens: Iterable[str]) -> bool:
    """Whether one of these tokens is a mark: a decoder that drops special tokens would drop it."""
    return any(_MARK.fullmatch(token) or token == "<|channel|>" for token in tokens)
