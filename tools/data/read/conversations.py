"""Rows that are conversations: LLaVA, ShareGPT (as LlamaFactory reads it) and Hugging Face `messages`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from errata.tools.data.chat import (
    CARRIED,
    Turn,
    make_fields,
    pair_turns,
    place_pictures,
    read_carried,
)
from errata.tools.data.check import RowError
from errata.tools.data.marks import MARK, read_tagged
from errata.tools.data.read.layout import Fields, RowContext, SkipRow

Role = Literal["system", "user", "assistant"]
ROLES: dict[str, Role] = {
    "system": "system",
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "assistant": "assistant",
    "model": "assistant",
}
TOOL_ROLES = ("function", "function_call", "observation", "tool", "tool_call", "tool_response")
UNREAD_MEDIA = ("video", "videos", "audio", "audios")


def parse_llava(row: dict[str, Any], context: RowContext) -> list[Fields]:
    """`id`, `image` (a path, or a list of paths), `conversations` of {from, value} with `<image>` marks."""
    turns = read_turns(row, "conversations")
    pictures = column_pictures(row, "image", "images")
    return _make_problems(row, place_pictures(turns, pictures, field="image"), context, field="conversations")


def parse_sharegpt(row: dict[str, Any], context: RowContext) -> list[Fields]:
    """`messages` or `conversations`, `images`, and optionally `system`; `<image>` marks in the texts."""
    field = "messages" if row.get("messages") is not None else "conversations"
    turns = read_turns(row, field)
    system = row.get("system")
    if system is not None and not isinstance(system, str):
        raise RowError("system", "is no text", value=system, remedy="write it as a text")
    if system and turns and turns[0].role != "system":
        turns.insert(0, Turn("system", system))
    pictures = column_pictures(row, "images", "image")
    return _make_problems(row, place_pictures(turns, pictures, field="images"), context, field=field)


def parse_messages(row: dict[str, Any], context: RowContext) -> list[Fields]:
    """`messages` whose content is a text or typed parts; pictures in the parts, in `images`, or in both.

    Pictures of the column that no part and no mark asks for belong to the first question (as TRL does it).
    """
    told = turns_of_texts(row) if row.get("messages") is None else None
    turns = read_turns(row if told is None else {**row, "messages": told}, "messages")
    pictures = column_pictures(row, "images", "image")
    marked = any(picture is None for turn in turns for picture in turn.pictures)
    first = next((i for i, turn in enumerate(turns) if turn.role == "user"), None)
    if pictures and not marked and first is not None:
        turn = turns[first]
        text = f"{MARK}\n" * len(pictures) + turn.text
        turns[first] = turn._replace(text=text, pictures=(None,) * len(pictures) + turn.pictures)
    return _make_problems(row, place_pictures(turns, pictures, field="images"), context, field="messages")


def turns_of_texts(row: Mapping[str, Any]) -> list[dict[str, str]] | None:
    """The turns of a row of The Cauldron (`texts`: a list of user and assistant); None for other rows."""
    texts = row.get("texts")
    if not isinstance(texts, list) or not texts:
        return None
    if not all(isinstance(one, Mapping) and {"user", "assistant"} <= one.keys() for one in texts):
        return None
    turns = []
    for one in texts:
        turns.append({"role": "user", "content": str(one["user"]).replace(MARK, "").strip()})
        turns.append({"role": "assistant", "content": str(one["assistant"]).strip()})
    return turns


def read_turns(row: dict[str, Any], field: str) -> list[Turn]:
    """The turns of a row; raises RowError, and SkipRow for tool calls and moving pictures."""
    for medium in UNREAD_MEDIA:
        if row.get(medium):
            raise SkipRow(f"holds {medium}")
    found = row.get(field)
    if not isinstance(found, list) or not found:
        raise RowError(field, "is missing or not a list of turns", value=found, remedy="see docs/data.md")
    return [_read_turn(turn, place=f"{field}.{i}") for i, turn in enumerate(found)]


def _read_turn(turn: object, *, place: str) -> Turn:
    if not isinstance(turn, dict):
        raise RowError(place, "a turn is no object", value=turn, remedy='write {"from": "human", "value": "..."}')
    named = [key for key in ("from", "role") if turn.get(key) is not None]
    said = [key for key in ("value", "content") if turn.get(key) is not None]
    if len(named) != 1 or len(said) != 1:
        remedy = "one of from and role, and one of value and content"
        raise RowError(place, "a turn without speaker or text", value=sorted(map(str, turn)), remedy=remedy)
    speaker = turn[named[0]]
    if speaker in TOOL_ROLES or turn.get("tool_calls"):
        raise SkipRow("holds tool calls")
    role = ROLES.get(speaker) if isinstance(speaker, str) else None
    if role is None:
        raise RowError(f"{place}.{named[0]}", "unknown role", value=speaker, remedy=f"use one of {', '.join(ROLES)}")
    text = turn[said[0]]
    if isinstance(text, str):
        return Turn(role, *read_tagged(text))
    if isinstance(text, list):
        return _read_parts(text, role=role, place=f"{place}.{said[0]}")
    raise RowError(f"{place}.{said[0]}", "is no text", value=text, remedy="write it as a text")


def _read_parts(parts: Sequence[object], *, role: Role, place: str) -> Turn:
    text, pictures = "", []
    for i, part in enumerate(parts):
        kind = part.get("type") if isinstance(part, dict) else None
        if isinstance(part, dict) and kind == "text":
            words = part.get("text")
            if not isinstance(words, str):
                raise RowError(f"{place}.{i}.text", "is no text", value=words, remedy="write it as a text")
            text += words.replace(MARK, "[image]")
        elif isinstance(part, dict) and kind in ("image", "image_url"):
            keys = ("bytes", "path", "url", "image", "image_url")
            pictures.append({**part} if any(part.get(key) is not None for key in keys) else None)
            text += f"{MARK}\n"
        elif kind in ("video", "audio", "input_audio"):
            raise SkipRow(f"holds {kind}")
        else:
            raise RowError(f"{place}.{i}", "neither text nor image", value=part, remedy='give it a "type"')
    return Turn(role, text, tuple(pictures))


def column_pictures(row: dict[str, Any], *columns: str) -> list[Any]:
    """The pictures that stand in a column of their own, one or several; raises RowError."""
    given = [column for column in columns if row.get(column) not in (None, [], "")]
    if len(given) > 1:
        remedy = f"keep {given[0]}"
        raise RowError(given[1], f"pictures in {given[0]} and in {given[1]}", value=row[given[1]], remedy=remedy)
    if not given:
        return []
    value = row[given[0]]
    return list(value) if isinstance(value, list) else [value]


def _make_problems(row: dict[str, Any], turns: Sequence[Turn], context: RowContext, *, field: str) -> list[Fields]:
    name = row_id(row, context)
    system, exchanges = pair_turns(turns, field=field)
    carried = read_carried(row, exchanges, name=name) if row.get(CARRIED) is not None else None
    if carried is not None:
        return [carried]
    several = len(exchanges) > 1
    problems = []
    for i, exchange in enumerate(exchanges, start=1):
        metadata: dict[str, Any] = {"system": system} if system else {}
        if several:
            metadata |= {"conversation": name, "turn": i}
        own = f"{name}#{i}" if several else name
        problems.append({**make_fields(exchange, name=own, field=field), "metadata": metadata})
    return problems


def row_id(row: dict[str, Any], context: RowContext) -> str:
    """The row's own id, a text or a whole number; else the one that the reader made."""
    value = row.get("id")
    if value is None:
        return context.name
    if isinstance(value, bool) or not isinstance(value, (str, int)) or not str(value).strip():
        raise RowError("id", "is neither text nor whole number", value=value, remedy="give it a text, or remove it")
    return str(value).strip()
