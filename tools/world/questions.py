"""Sampling questions: a family, a scene in which it is well posed, options that do not leak, and the gold rationale.

The gold answer is drawn first and uniformly, and its one rival differs from it in one attribute in a way that could as
well be the other way round: who sees only the candidates guesses.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from errata.tools.records import digest
from errata.tools.world.programs import FAMILIES, LOOKS, SLOTS, Family, Program, Slots
from errata.tools.world.scene import CELLS, COLOURS, SHAPES, Cell, Scene, line_cells, random_scene
from errata.tools.world.skills import PRIMARIES, SKILLS, YES_NO

TRIES = 4000


@dataclass(frozen=True)
class Question:
    """A question about a scene with its gold answer; `options` is empty for the free-form."""

    family: Family
    scene: Scene
    text: str
    program: Program
    results: tuple[str, ...]
    options: tuple[str, ...]

    @property
    def answer(self) -> str:
        """The gold answer in words."""
        return self.program.read_answer(list(self.results))

    @property
    def rationale(self) -> str:
        """The gold chain of thought: one sentence a call and, with options, one that links the value to its letter."""
        return self.explain(list(self.results))

    def explain(self, results: list[str]) -> str:
        """The rationale for these results of the calls."""
        answer, sentences = self.program.read_answer(results), self.program.explain(results)
        link = [f"So {answer} {'ABCDEFGH'[self.options.index(answer)]}."] if self.options else []
        return " ".join([*sentences, *link])

    @property
    def skills(self) -> tuple[str, ...]:
        """Required skills, the one in focus first."""
        return tuple(dict.fromkeys([self.family.focus, *(c.skill for c in self.program.calls)]))

    @property
    def key(self) -> str:
        """Digest of the words and the options in any order: what may not be shared between splits."""
        return question_key(self.text, self.options)


def question_key(text: str, options: Sequence[str]) -> str:
    """See `Question.key`."""
    return digest("question", text, sorted(options))


def _anything(_key: str) -> bool:
    return True


def sample_question(
    family: Family,
    rng: random.Random,
    *,
    free_form: bool = False,
    allowed: Callable[[str], bool] = _anything,
) -> Question:
    """Draw one well-posed question of a family whose key is allowed; raises RuntimeError where none can be found."""
    for _ in range(TRIES):
        gold = rng.choice(family.answers)
        slots = _draw_slots(family, rng)
        program = family.build(slots)
        scene = _prepare(family, random_scene(rng), slots, gold, rng)
        results = program.run(scene)
        if results is None or program.read_answer(results) != gold:
            continue
        options = () if free_form else _draw_options(family, scene, slots, results, gold, rng)
        question = Question(family, scene, family.ask(slots), program, tuple(results), options)
        if allowed(question.key):
            return question
    raise RuntimeError(f"no allowed question of family {family.name} in {TRIES} tries")


def _draw_slots(family: Family, rng: random.Random) -> dict[str, str]:
    slots = {name: rng.choice(values) for name, values in SLOTS.items() if "{" + name + "}" in family.template}
    for second, first in (("other", "cell"), ("look2", "look"), ("colour2", "colour")):
        if second in slots:
            slots[second] = rng.choice([v for v in SLOTS[second] if v != slots[first]])
    if "line" in slots and "cell" in slots:
        slots["cell"] = rng.choice([c for c in CELLS if c not in line_cells(slots["line"])])
    return slots


def _put(scene: Scene, changes: dict[str, Cell]) -> Scene:
    return Scene(tuple(changes.get(name, cell) for name, cell in zip(CELLS, scene.cells, strict=True)))


def _paint(scene: Scene, names: Sequence[str], colours: Sequence[str]) -> Scene:
    return _put(scene, {n: replace(scene.at(n), colour=c) for n, c in zip(names, colours, strict=True)})


def _mould(scene: Scene, names: Sequence[str], shapes: Sequence[str]) -> Scene:
    return _put(scene, {n: replace(scene.at(n), shape=s) for n, s in zip(names, shapes, strict=True)})


def _make_unique(scene: Scene, words: str, keep: str, rng: random.Random) -> Scene:
    """Change shapes so that `keep` alone matches two words of which the second is a shape."""
    first, shape = words.split()
    home = scene.at(keep)
    home = replace(home, shape=shape, **({"colour": first} if first in COLOURS else {"size": first}))
    others = [s for s in SHAPES if s != shape]
    changes = {n: replace(scene.at(n), shape=rng.choice(others)) for n in scene.find(words) if n != keep}
    return _put(scene, {**changes, keep: home})


def _prepare(family: Family, scene: Scene, slots: Slots, gold: str, rng: random.Random) -> Scene:
    """Change a random scene so that the question is well posed and, where rare by chance, has this answer."""
    if "line" in slots:
        return _prepare_line(family, scene, slots, gold, rng)
    if family.name == "place_of":
        return _make_unique(scene, f"{scene.at(slots['cell']).colour} {slots['shape']}", gold, rng)
    if family.name == "count_colour":
        same, colour = scene.at(slots["cell"]), scene.at(slots["cell"]).colour
        rest = [c for c in CELLS if scene.at(c) is not same]
        chosen = set(rng.sample(rest, int(gold) - 1)) | {slots["cell"]}
        others = [c for c in COLOURS if c != colour]
        return _paint(scene, CELLS, [colour if n in chosen else rng.choice(others) for n in CELLS])
    if family.name == "mix_cells":
        return _paint(scene, [slots["cell"], slots["other"]], rng.sample(PRIMARIES, 2))
    homes = _draw_homes(family, scene, gold, rng)
    for slot, home in zip(("look", "look2"), homes, strict=True):
        if slot in slots:
            scene = _make_unique(scene, slots[slot], home, rng)
    return scene


def _draw_homes(family: Family, scene: Scene, gold: str, rng: random.Random) -> list[str]:
    """Two cells; for a yes-or-no relation such as have this answer (`no` is likelier by chance)."""
    while True:
        homes = rng.sample(CELLS, 2)
        if gold not in YES_NO or SKILLS[family.focus].evaluate(scene, (homes[0], homes[1])) == gold:
            return homes


def _prepare_line(family: Family, scene: Scene, slots: Slots, gold: str, rng: random.Random) -> Scene:
    cells = line_cells(slots["line"])
    if family.name == "progression":
        return _mould(scene, cells, [SHAPES[(SHAPES.index(gold) - 4 + i) % len(SHAPES)] for i in range(4)])
    if family.name == "alternation":
        other = rng.choice([c for c in COLOURS if c != gold])
        return _paint(scene, cells, [gold, other, gold, other])
    if family.name in ("odd_colour", "odd_shape", "poles_odd"):
        by_shape = family.name == "odd_shape"
        common, single = rng.sample(SHAPES if by_shape else COLOURS, 2)
        odd = cells.index(gold) if gold in cells else rng.randrange(4)
        values = [single if i == odd else common for i in range(4)]
        return _mould(scene, cells, values) if by_shape else _paint(scene, cells, values)
    common = rng.choice(PRIMARIES) if family.name == "mix_majority" else gold
    rest = [c for c in COLOURS if c != common]
    values = [common] * 3 + [rng.choice(rest)] if rng.random() < 0.5 else [common] * 2 + rng.sample(rest, 2)
    rng.shuffle(values)
    scene = _paint(scene, cells, values)
    if "cell" in slots:
        scene = _paint(scene, [slots["cell"]], [rng.choice([p for p in PRIMARIES if p != common])])
    return scene


def _draw_options(
    family: Family, scene: Scene, slots: Slots, results: Sequence[str], gold: str, rng: random.Random
) -> tuple[str, ...]:
    """Gold and one other answer, in random order; the other differs from gold in one attribute."""
    answers = family.answers
    if " and " in gold:
        others = [a for a in answers if a != gold and a.split(" and ")[0] == gold.split(" and ")[0]]
    elif family.name in ("odd_colour", "odd_shape"):
        others = [c for c in line_cells(slots["line"]) if c != gold]
    elif family.focus == "count":
        place = answers.index(gold) + rng.choice((-1, 1))
        others = [answers[place % len(answers)]]
    else:
        near = _near_miss(family, scene, slots, results)
        others = [near] if near and near != gold and near in answers else [a for a in answers if a != gold]
    options = [gold, rng.choice(others)]
    rng.shuffle(options)
    return tuple(options)


def _near_miss(family: Family, scene: Scene, slots: Slots, results: Sequence[str]) -> str | None:
    """The answer that a typical slip gives; it is drawn independently of which option is gold."""
    if family.name == "alternation":
        return results[1]
    if family.name == "mirror_shape":
        return scene.at(slots["cell"]).shape
    if family.name == "mirror_colour":
        return scene.at(slots["cell"]).colour
    return None


def families_needing(skill: str) -> list[Family]:
    """Families whose programs call a skill, those about it first."""
    plain = {name: "a1" for name in SLOTS} | {
        "line": "row 1",
        "look": LOOKS[0],
        "look2": LOOKS[1],
        "shape": SHAPES[0],
    }
    needing = [f for f in FAMILIES.values() if skill in {c.skill for c in f.build(plain).calls}]
    return sorted(needing, key=lambda f: f.focus != skill)
