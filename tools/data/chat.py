"""Conversations: the turns of LLaVA, ShareGPT and `messages` rows become questions with choices, and back.

Each pair of a user turn and the answer to it is one problem. Its pictures are those shown up to that turn.
`<image>` at the beginning or end of a turn is taken off; within a sentence it becomes `image 1`, `image 2`, so
that the sentence still says which one it means. Choices are read from the last lines of the turn ("A. red"), the
answer by the parser of `errata.tools.evaluate.answers`.

A row that Errata wrote carries the field `errata`: the problem itself. It is used when the conversation still
says the same, and is an error when somebody changed one of the two.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

from errata.prompts import render_prompt
from errata.tools.data.check import MAX_CHOICES, RowError, check_choices, check_text, resolve_target
from errata.tools.data.marks import MARK
from errata.tools.evaluate.answers import parse_answer, parse_free_answer
from errata.tools.records import Problem

CARRIED = "errata"
KEPT = ("question", "choices", "target", "rationale", "split", "skills", "scoring", "metadata")
"""Fields of a Problem that `errata` carries; id and pictures stand in the row itself."""
THOUGHT = re.compile(r"</think>|<think>|<answer>", re.IGNORECASE)
"""An answer that holds its reasoning in marks."""
_OPTION = re.compile(r"\s*\(?([A-Z])[.):]\)?\s+(\S.*)")
_INLINE = re.compile(r"(?:options?|choices?)\s*:\s*(?=\(A\))", re.IGNORECASE)
_INSTRUCTION = re.compile(r"(?=.{,120}$).*\b(answer|letter|option|choice|choose|select)", re.IGNORECASE)


class Turn(NamedTuple):
    """One turn; `pictures` has one entry per `<image>` of the text, None where the row's own list supplies it."""

    role: Literal["system", "user", "assistant"]
    text: str
    pictures: tuple[Any, ...] = ()


class Exchange(NamedTuple):
    """A question as it was asked, its answer, and all pictures shown so far."""

    question: str
    answer: str
    pictures: tuple[Any, ...]


def pair_turns(turns: Sequence[Turn], *, field: str) -> tuple[str, list[Exchange]]:
    """(system text, exchanges); raises RowError for roles out of order and empty turns."""
    system = ""
    rest = list(turns)
    if rest and rest[0].role == "system":
        system = rest.pop(0).text
    if not rest:
        raise RowError(field, "holds no turns", remedy="a question and its answer")
    exchanges: list[Exchange] = []
    shown: list[Any] = []
    for i, turn in enumerate(rest):
        check_text(turn.text, field=f"{field}.{i}")
        expected = "assistant" if i % 2 else "user"
        if turn.role != expected:
            what = f"roles out of order: turn {i + 1} is {turn.role}, not {expected}"
            raise RowError(field, what, value=turn.text[:60], remedy="user and assistant take turns")
        if not turn.text.replace(MARK, "").strip():
            raise RowError(field, f"turn {i + 1} is empty", value=turn.text, remedy="give it a text")
        if turn.role == "user":
            shown += turn.pictures
        elif turn.pictures:
            raise RowError(field, f"turn {i + 1}: {MARK} in an answer", value=turn.text[:60], remedy="remove it")
        else:
            exchanges.append(Exchange(rest[i - 1].text, turn.text, tuple(shown)))
    if len(rest) % 2:
        raise RowError(field, "the last question has no answer", value=rest[-1].text[:60], remedy="add the answer")
    return system, exchanges


def place_pictures(turns: Sequence[Turn], pictures: Sequence[Any], *, field: str) -> list[Turn]:
    """Hand the row's own pictures out to the marks, in order; raises RowError when the counts differ."""
    wanted = sum(picture is None for turn in turns for picture in turn.pictures)
    if wanted != len(pictures):
        what = f"{wanted} {MARK} for {len(pictures)} pictures"
        raise RowError(field, what, value=len(pictures), remedy=f"one {MARK} per picture")
    supply = iter(pictures)
    return [turn._replace(pictures=tuple(next(supply) if p is None else p for p in turn.pictures)) for turn in turns]


def make_fields(exchange: Exchange, *, name: str, field: str) -> dict[str, Any]:
    """Fields of a Problem from what was said; raises RowError for an answer that is not among the choices."""
    question, choices = split_choices(name_marks(exchange.question, count=len(exchange.pictures)))
    answer, rationale = exchange.answer.strip(), ""
    if choices:
        letters = [chr(ord("A") + i) for i in range(len(choices))]
        bare = answer.rstrip(".) ").lstrip("( ")
        if bare not in (*letters, *choices):
            found = parse_answer(answer, letters=letters, choices=choices)
            if found.answer is None or found.start is None:
                remedy = f"end it with: The answer is {letters[0]}."
                raise RowError(field, "answer is not among the choices", value=answer[-60:], remedy=remedy)
            rationale, bare = found.rationale(answer).strip(), found.answer
        answer = resolve_target(bare, choices, field=field)
    elif THOUGHT.search(answer):
        found = parse_free_answer(answer)
        if found.answer is None:
            remedy = "write the answer behind the thought"
            raise RowError(field, "a thought without an answer behind it", value=answer[-60:], remedy=remedy)
        rationale, answer = found.rationale(answer).strip(), found.answer
    return {
        "id": name,
        "question": question,
        "choices": choices,
        "target": answer,
        "rationale": rationale,
        "scoring": "choice" if choices else "exact",
        "images": list(exchange.pictures),
    }


def name_marks(text: str, *, count: int) -> str:
    """Marks at the ends go; one within a sentence becomes the number of its picture, of `count` shown so far."""
    begin = count - text.count(MARK)
    number = begin
    pieces: list[str] = []
    for i, piece in enumerate(text.split(MARK)):
        if i:
            number += 1
            pieces.append(f"image {number}" if any(p.strip() for p in pieces) and not _is_last(text, i) else "")
        pieces.append(piece)
    return "".join(pieces).strip()


def _is_last(text: str, place: int) -> bool:
    return not "".join(text.split(MARK)[place:]).strip()


def split_choices(text: str) -> tuple[str, tuple[str, ...]]:
    """The question without its options, and the options; none when no block of lettered lines ends the text."""
    inline = _INLINE.search(text)
    if inline:
        tail = re.split(r"\s*\(([A-Z])\)\s*", text[inline.end() :].split("\n")[0])
        if len(tail) >= 5 and tail[1::2] == [chr(ord("A") + i) for i in range(len(tail) // 2)]:
            return text[: inline.start()].strip(), check_choices([c.strip() for c in tail[2::2]])
    lines = text.split("\n")
    end = len(lines)
    while end > 1 and not _OPTION.fullmatch(lines[end - 1]) and len(lines) - end < 2:
        if lines[end - 1].strip() and not _INSTRUCTION.match(lines[end - 1]):
            return text, ()
        end -= 1
    start = end
    while start > 0 and _OPTION.fullmatch(lines[start - 1]):
        start -= 1
    found = [match for line in lines[start:end] if (match := _OPTION.fullmatch(line))]
    letters = [match.group(1) for match in found]
    if not 2 <= len(found) <= MAX_CHOICES or letters != [chr(ord("A") + i) for i in range(len(found))]:
        return text, ()
    question = lines[:start]
    if question and re.fullmatch(r"(?i)\s*(options?|choices?)\s*:\s*", question[-1]):
        question.pop()
    return "\n".join(question).strip(), check_choices([match.group(2) for match in found])


def render_turns(problem: Problem) -> tuple[str, str]:
    """What the user asks and what the assistant answers, without marks for pictures."""
    choices = tuple(zip(problem.letters, problem.choices, strict=True))
    question = render_prompt("chat_question", question=problem.question, choices=choices, rationale=problem.rationale)
    answer = render_prompt("chat_answer", rationale=problem.rationale, target=problem.target)
    return question.replace(MARK, "[image]"), answer.replace(MARK, "[image]")


def carry_problem(problem: Problem) -> str:
    """The field `errata`: what a conversation alone cannot say, as a JSON text (one type for every table)."""
    return json.dumps(problem.model_dump(mode="json", include=set(KEPT)), ensure_ascii=False)


def read_carried(row: Mapping[str, Any], exchanges: Sequence[Exchange], *, name: str) -> dict[str, Any] | None:
    """Fields of the problem that the row carries, None where it carries none; raises RowError when the
    conversation says something else.
    """
    text = row.get(CARRIED)
    if text is None:
        return None
    try:
        found = json.loads(text) if isinstance(text, str) else None
        if not isinstance(found, dict) or set(found) - set(KEPT):
            raise ValueError
        problem = Problem.model_validate({"id": name, **found})
        said = render_turns(problem)
    except (ValueError, IndexError, RecursionError):
        remedy = f"remove the field {CARRIED}"
        raise RowError(CARRIED, "is not what Errata wrote", value=text, remedy=remedy) from None
    heard = [(e.question.removeprefix(MARK).replace(f"{MARK}\n", "").strip(), e.answer) for e in exchanges]
    if heard != [said]:
        remedy = f"remove the field {CARRIED}, and the conversation counts"
        raise RowError(CARRIED, "does not say what the conversation says", value=said[0][:60], remedy=remedy)
    return {**found, "id": name, "images": list(exchanges[0].pictures)}
