"""Nouns for attributes, values and places, the same in questions, rationales and answers."""

from __future__ import annotations

from collections.abc import Sequence

from errata.tools.synthesize.matrices.layout import TYPES, Attribute, Component, scale_of
from errata.tools.synthesize.matrices.rules import Rule

NOUNS: dict[Attribute, str] = {
    "number": "number of objects",
    "position": "set of filled places",
    "type": "shape",
    "size": "size",
    "colour": "colour",
}
_ROWS = {2: ("upper", "lower"), 3: ("upper", "middle", "lower")}
_COLUMNS = {2: ("left", "right"), 3: ("left", "middle", "right")}
_SIDES = {4: 2, 9: 3}


def join_words(words: Sequence[object], *, last: str = "and") -> str:
    """`a`, `a and b`, `a, b and c`."""
    texts = [str(word) for word in words]
    return texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])} {last} {texts[-1]}"


def name_place(slot: int, slots: int) -> str:
    """`upper left`; the middle of nine is `centre`."""
    side = _SIDES[slots]
    row, column = _ROWS[side][slot // side], _COLUMNS[side][slot % side]
    return "centre" if row == column == "middle" else f"{row} {column}"


def name_objects(component: Component) -> str:
    """`the left object`, `the inner objects`."""
    noun = "objects" if len(component.slots) > 1 else "object"
    return f"the {component.name} {noun}" if component.name else f"the {noun}"


def name_attribute(attribute: Attribute, component: Component) -> str:
    """`the size of the left object`, `the number of inner objects`."""
    if attribute == "number":
        return f"the number of {component.name + ' ' if component.name else ''}objects"
    if attribute == "position":
        return f"the set of filled {component.name + ' ' if component.name else ''}places"
    return f"the {NOUNS[attribute]} of {name_objects(component)}"


def name_value(attribute: Attribute, value: int, component: Component) -> str:
    """`triangle`, `3`, or `upper left and centre`: bare, for lists of values."""
    if attribute == "type":
        return TYPES[value - 1]
    if attribute == "position":
        slots = len(component.slots)
        return join_words([name_place(slot, slots) for slot in range(slots) if value >> slot & 1])
    return str(value)


def list_values(attribute: Attribute, values: Sequence[int], component: Component) -> str:
    """`1, 2`; for positions `(upper left; upper right and centre)`, since they hold commas themselves."""
    texts = [name_value(attribute, value, component) for value in values]
    return f"({'; '.join(texts)})" if attribute == "position" else ", ".join(texts)


def name_full(attribute: Attribute, value: int, component: Component) -> str:
    """`size 3`, `a triangle`, `2 objects`: as the end of a sentence about the missing panel."""
    bare = name_value(attribute, value, component)
    if attribute == "number":
        return f"{bare} {'object' if value == 1 else 'objects'}"
    if attribute == "position":
        return f"the places {bare}" if value.bit_count() > 1 else f"the place {bare}"
    return bare if attribute == "type" else f"{attribute} {bare}"


def name_change(rule: Rule, attribute: Attribute, columns: int) -> str:
    """What happens along a row, as a clause whose subject is the attribute."""
    if rule.kind == "constant":
        return "stays the same"
    if rule.kind == "distribute":
        return f"takes the same {columns} values in every row, each once"
    if rule.kind == "progression":
        step = abs(rule.step)
        if attribute == "position":
            way = "on" if rule.step > 0 else "back"
            return f"moves {way} by {step} {'place' if step == 1 else 'places'} from panel to panel"
        if attribute == "type":
            return f"moves {'on' if rule.step > 0 else 'back'} by {step} in the order of shapes from panel to panel"
        return f"goes {'up' if rule.step > 0 else 'down'} by {step} from panel to panel"
    if attribute == "position":
        others = "the other panels together" if rule.step > 0 else "the first panel less those of the other panels"
        return f"is, in the last panel, that of {others}"
    others = "the sum of the others" if rule.step > 0 else "the first less the others"
    return f"is, in the last panel, {others}"


def name_skill(rule: Rule, attribute: Attribute) -> str:
    """The skill that a matrix with this rule needs."""
    noun = NOUNS[attribute]
    return {
        "constant": f"notice that the {noun} stays the same along the rows of a matrix",
        "progression": f"find the step by which the {noun} changes along the rows of a matrix",
        "arithmetic": f"add or subtract the {noun} along the rows of a matrix",
        "distribute": f"find which value of the {noun} is missing from the last row of a matrix",
    }[rule.kind]


def name_scales(levels: int) -> str:
    """What the numbers mean, for questions."""
    sizes, colours = (scale_of(name, slots=1, levels=levels) for name in ("size", "colour"))
    return (
        f"Sizes run from {sizes.low} (smallest) to {sizes.high}, "
        f"colours from {colours.low} (white) to {colours.high} (black)."
    )
