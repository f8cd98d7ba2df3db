"""The world's questions are well posed, do not leak, and can be read back from their words."""

import random
from collections import Counter, defaultdict

import pytest

from errata.tools.data.read import read_problems
from errata.tools.errors import OperatorError
from errata.tools.records import Problem, from_jsonl
from errata.tools.world.check import find_gold_steps, read_problem
from errata.tools.world.draw import CELL_PIXELS, draw_scene, encode_png
from errata.tools.world.generate import WorldSizes, generate_world, split_of_question
from errata.tools.world.programs import FAMILIES, read_question
from errata.tools.world.questions import sample_question
from errata.tools.world.scene import CELLS, decode_scene, random_scene
from errata.tools.world.skills import SKILL_OF_WORDING, SKILLS, read_claim

SIZES = WorldSizes(pool=300, diagnosis=60, gate=40, test=60)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return generate_world(tmp_path_factory.mktemp("world") / "w", seed=7, sizes=SIZES).folder


def read_split(world, split):
    return list(from_jsonl((world / f"{split}.jsonl").read_text(), Problem))


@pytest.mark.parametrize("name", FAMILIES)
def test_a_family_is_well_posed_and_read_back_from_its_words(name):
    rng = random.Random(1)
    for free_form in (False, True):
        for _ in range(20):
            question = sample_question(FAMILIES[name], rng, free_form=free_form)
            family, program = read_question(question.text)
            assert (family.name, program) == (name, question.program)
            assert 2 <= len(program.calls) <= 8
            assert program.run(question.scene) == list(question.results)
            assert free_form != (question.answer in question.options)
            assert len(set(question.options)) == len(question.options)


def test_every_sentence_states_its_call():
    rng = random.Random(2)
    for family in FAMILIES.values():
        question = sample_question(family, rng)
        for call, result, sentence in zip(
            question.program.calls, question.results, question.program.explain(list(question.results)), strict=True
        ):
            claim = read_claim(sentence)
            assert (claim.skill, claim.result) == (call.skill, result)


def test_there_are_sixteen_skills_in_three_to_six_wordings():
    assert len(SKILLS) == 16
    assert all(3 <= len(s.wordings) <= 6 for s in SKILLS.values())
    assert len(SKILL_OF_WORDING) == sum(len(s.wordings) for s in SKILLS.values())


def test_a_guesser_that_sees_only_the_candidates_stays_near_chance():
    """It learns, per set of options, which is gold most often, and which place; tested on other questions."""
    rng = random.Random(3)
    for family in FAMILIES.values():
        questions = [sample_question(family, rng) for _ in range(500)]
        by_text, seen = Counter(), Counter()
        for q in questions[:300]:
            by_text[q.answer] += 1
            seen.update(q.options)
        right = sum(max(q.options, key=lambda o: by_text[o] / max(1, seen[o])) == q.answer for q in questions[300:])
        chance = 1 / len(questions[0].options)
        noise = 3.5 * (chance * (1 - chance) / 200) ** 0.5
        assert right / 200 < chance + noise, family.name


def test_options_differ_in_one_attribute_and_either_is_gold_as_often():
    rng = random.Random(4)
    for name in ("colours_at", "shapes_at", "sizes_at", "poles_at"):
        first = 0
        for _ in range(200):
            question = sample_question(FAMILIES[name], rng)
            pairs = [option.split(" and ") for option in question.options]
            assert sum(a != b for a, b in zip(*pairs, strict=True)) == 1
            first += question.options[0] == question.answer
        assert abs(first / 200 - 0.5) < 3.5 * (0.25 / 200) ** 0.5


def test_drawing_is_exact_and_tells_scenes_apart():
    rng = random.Random(5)
    scenes = [random_scene(rng) for _ in range(200)]
    assert len({encode_png(draw_scene(s)) for s in scenes}) == 200
    for scene in scenes[:20]:
        pixels = draw_scene(scene)
        assert pixels.shape == (4 * CELL_PIXELS, 4 * CELL_PIXELS, 3)
        assert decode_scene(scene.encode()) == scene
        for index, name in enumerate(CELLS):
            row, column = divmod(index, 4)
            bar = pixels[row * 16 + (0 if scene.at(name).pole == "north" else 15), column * 16 + 8]
            assert bar.max() < 60


def test_splits_share_no_scene_and_no_question(world):
    scenes, owners = Counter(), defaultdict(set)
    for split in ("pool", "diagnosis", "gate", "test"):
        problems = read_split(world, split)
        assert len(problems) == getattr(SIZES, split)
        for p in problems:
            scenes[p.metadata["scene"]] += 1
            owners[p.question, tuple(sorted(p.choices))].add(split)
    assert max(scenes.values()) == 1
    assert all(len(split) == 1 for split in owners.values())


def test_the_world_is_the_same_again_and_is_not_written_twice(world, tmp_path):
    again = generate_world(tmp_path / "again", seed=7, sizes=SIZES).folder
    for split in ("pool", "diagnosis", "gate", "test"):
        assert (again / f"{split}.jsonl").read_bytes() == (world / f"{split}.jsonl").read_bytes()
    before = (again / "pool.jsonl").stat().st_mtime_ns
    generate_world(again, seed=7, sizes=SIZES)
    assert (again / "pool.jsonl").stat().st_mtime_ns == before
    with pytest.raises(OperatorError, match="another world"):
        generate_world(again, seed=8, sizes=SIZES)


def test_every_family_has_questions_in_every_split():
    rng = random.Random(6)
    for family in FAMILIES.values():
        for free_form in (False, True):
            for split in ("pool", "diagnosis", "gate", "test"):
                question = sample_question(
                    family, rng, free_form=free_form, allowed=lambda key, split=split: split_of_question(key) == split
                )
                assert split_of_question(question.key) == split


def test_the_reader_takes_the_world_as_it_is(world):
    result = read_problems(world / "gate.jsonl", split="gate")
    assert len(result.problems) == SIZES.gate
    assert not result.skipped


def test_a_gold_rationale_has_no_mistake_and_each_falsified_one_has_it_where_it_was_made(world):
    rng = random.Random(8)
    checked = 0
    for problem in read_split(world, "diagnosis"):
        scene, program = read_problem(problem)
        truth = program.run(scene)
        steps = program.explain(truth)
        assert find_gold_steps(problem, steps) == (-1, -1)
        place = rng.randrange(len(program.calls))
        skill = SKILLS[program.calls[place].skill]
        wrong = rng.choice([r for r in skill.domain if r != truth[place]])
        results = program.run(scene, {place: wrong})
        if results is None:
            continue
        gold = find_gold_steps(problem, program.explain(results))
        assert gold.first_false == place
        if program.read_answer(results) != problem.target_text:
            assert gold.decisive == place
            checked += 1
    assert checked > 20


def test_two_false_claims_of_which_the_second_decides(world):
    problem = next(p for p in read_split(world, "pool") if p.metadata["family"] == "mix_majority")
    scene, program = read_problem(problem)
    truth = program.run(scene)
    minority = next(i for i in range(4) if truth[i] != truth[4])
    wrong_read = next(c for c in ("green", "purple", "orange") if c != truth[minority])
    wrong_mix = next(c for c in ("green", "purple", "orange") if c != truth[6])
    results = program.run(scene, {minority: wrong_read, 4: truth[4], 6: wrong_mix})
    assert find_gold_steps(problem, program.explain(results)) == (minority, 6)
