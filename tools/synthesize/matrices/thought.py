"""The chain of thought of a matrix by templates: attributes, then rules, then conclusion (P3).

A prefix says which kind of puzzle it is, so that one model can tell regular matrices from collected irregular ones.
"""

from __future__ import annotations

import random

from errata.tools.records import seed_of
from errata.tools.synthesize.matrices.generate import Governed, Matrix
from errata.tools.synthesize.matrices.layout import TYPES, Attribute
from errata.tools.synthesize.matrices.settings import Prefix
from errata.tools.synthesize.matrices.solve import value_of
from errata.tools.synthesize.matrices.wordings import AGREEING, CONCLUSION, NOISE, RULES, SEEN
from errata.tools.synthesize.matrices.words import join_words, list_values, name_attribute, name_change, name_full

PREFIXES: dict[Prefix, str] = {
    "regular": "This is a regular puzzle.",
    "irregular": "This is an irregular puzzle.",
    "none": "",
}


def add_prefix(text: str, prefix: Prefix) -> str:
    """The text with a prefix in front; one that it had is replaced."""
    found = read_prefix(text)
    rest = text.lstrip()[len(PREFIXES[found]) :].lstrip() if found != "none" else text
    return f"{PREFIXES[prefix]} {rest}".strip()


def read_prefix(text: str) -> Prefix:
    """Which prefix a text begins with: what a student took the puzzle for."""
    start = text.lstrip()
    return next((name for name, words in PREFIXES.items() if words and start.startswith(words)), "none")


def explain_matrix(matrix: Matrix, *, prefix: Prefix) -> str:
    """The rationale without its answer sentence."""
    rng = random.Random(seed_of("thought", matrix.seed))
    seen = [_see(governed, matrix, rng) for governed in matrix.rules]
    noise = [_pass_over(number, attribute, matrix, rng) for number, attribute in matrix.noise]
    rules = [_state_rule(governed, matrix, rng) for governed in matrix.rules]
    if any(governed.attribute == "type" and governed.rule.kind == "progression" for governed in matrix.rules):
        rules.insert(0, f"The order of shapes is {join_words(TYPES)}.")
    text = " ".join([*seen, *noise, *rules, _conclude(matrix, rng), *_compare(matrix)])
    return add_prefix(text, prefix)


def _see(governed: Governed, matrix: Matrix, rng: random.Random) -> str:
    component = matrix.configuration.components[governed.component]
    what = name_attribute(governed.attribute, component)
    rows = (*governed.rows[:-1], governed.rows[-1][:-1])
    texts = [list_values(governed.attribute, row, component) for row in rows]
    return _fill(rng.choice(SEEN), what=what, first=texts[0], second=texts[1], last=texts[2])


def _pass_over(number: int, attribute: Attribute, matrix: Matrix, rng: random.Random) -> str:
    return _fill(rng.choice(NOISE), what=name_attribute(attribute, matrix.configuration.components[number]))


def _state_rule(governed: Governed, matrix: Matrix, rng: random.Random) -> str:
    return word_rule(governed, matrix, wording=rng.randrange(len(RULES[governed.rule.kind])))


def word_rule(governed: Governed, matrix: Matrix, *, wording: int) -> str:
    """One of the wordings of a rule, about this matrix."""
    component, attribute = matrix.configuration.components[governed.component], governed.attribute
    last = governed.rows[-1]
    return _fill(
        RULES[governed.rule.kind][wording],
        what=name_attribute(attribute, component),
        change=name_change(governed.rule, attribute, matrix.columns),
        seen=list_values(attribute, last[:-1], component),
        value=name_full(attribute, last[-1], component),
        all=list_values(attribute, sorted(set(last)), component),
    )


def _conclude(matrix: Matrix, rng: random.Random) -> str:
    parts = []
    for governed in matrix.rules:
        component = matrix.configuration.components[governed.component]
        value = name_full(governed.attribute, governed.rows[-1][-1], component)
        parts.append(f"{value} ({component.name})" if component.name else value)
    return _fill(rng.choice(CONCLUSION), everything=join_words(parts))


def _compare(matrix: Matrix) -> list[str]:
    """For each attribute in which candidates differ, those that have the right value; they share one letter."""
    sentences = []
    for number, attribute in matrix.changed:
        component = matrix.configuration.components[number]
        governed = next(g for g in matrix.rules if (g.component, g.attribute) == (number, attribute))
        right = governed.rows[-1][-1]
        letters = [
            chr(ord("A") + i)
            for i, panel in enumerate(matrix.candidates)
            if value_of(panel[number], attribute) == right
        ]
        what = name_attribute(attribute, component)
        sentences.append(_fill(AGREEING, what=what, candidates=join_words(letters)))
    return sentences


def _fill(template: str, **words: str) -> str:
    """Fill a template; a key with a capital gets the word with a capital."""
    capitals = {key.capitalize(): word[:1].upper() + word[1:] for key, word in words.items()}
    return template.format(**words, **capitals)
