import pytest

from errata.tools.errors import OperatorError
from errata.tools.records import Problem
from errata.tools.train.mixture import mix_samples
from errata.tools.train.recipe import Recipe
from tests.tiny_student import teach


def pool(prefix: str, count: int) -> list[Problem]:
    return [Problem(id=f"{prefix}{i:03}", question="q", target="x") for i in range(count)]


def test_replay_is_the_stated_share_of_the_whole_without_doubles():
    mixture = mix_samples(teach(pool("a", 90)), replay=pool("r", 500), share=0.1, seed=3)
    assert (mixture.lessons, mixture.replayed) == (90, 10)
    assert len({p.id for p in mixture.problems}) == 100


def test_order_of_the_input_does_not_matter_and_the_seed_does():
    lessons, replay = teach(pool("a", 40)), pool("r", 300)
    first = mix_samples(lessons, replay=replay, share=0.2, seed=1)
    assert mix_samples(lessons[::-1], replay=replay[::-1], share=0.2, seed=1) == first
    assert mix_samples(lessons, replay=replay, share=0.2, seed=2) != first


def test_a_lesson_is_never_replayed_and_a_short_supply_is_taken_whole():
    problems = pool("a", 30)
    mixture = mix_samples(teach(problems), replay=[*problems, *pool("r", 2)], share=0.5, seed=0)
    assert mixture.replayed == 2
    assert len(mixture.problems) == 32


def test_no_lessons_and_evaluation_samples_are_refused():
    with pytest.raises(OperatorError, match="no lessons"):
        mix_samples([], replay=pool("r", 5), share=0.1, seed=0)
    stray = pool("t", 1)[0].model_copy(update={"split": "test"})
    with pytest.raises(OperatorError, match=r"t000.*test"):
        mix_samples(teach(pool("a", 2)), replay=[stray], share=0.1, seed=0)


def test_diagnosis_questions_are_taught_only_as_the_control_that_says_so():
    own = [p.model_copy(update={"split": "diagnosis"}) for p in pool("v", 2)]
    lessons = teach(own)
    with pytest.raises(OperatorError, match=r"v000.*diagnosis"):
        mix_samples(lessons, replay=[], share=0.1, seed=0)
    said = [lesson.model_copy(update={"route": "validation"}) for lesson in lessons]
    assert mix_samples(said, replay=pool("r", 9), share=0.5, seed=0).lessons == 2
    gate = [lesson.model_copy(update={"problem": own[0].model_copy(update={"split": "gate"})}) for lesson in said]
    with pytest.raises(OperatorError, match=r"v000.*gate"):
        mix_samples(gate, replay=[], share=0.1, seed=0)


def test_recipe_defaults_are_the_papers_and_equal_recipes_have_equal_digests():
    recipe = Recipe()
    assert (recipe.learning_rate, recipe.batch_size, recipe.lora_rank, recipe.lora_alpha) == (
        2e-4,
        128,
        128,
        256,
    )
    assert (recipe.epochs, recipe.warmup, recipe.schedule) == (1, 0.03, "cosine")
    assert Recipe().digest == recipe.digest
    assert Recipe(seed=1).digest != recipe.digest
    assert Recipe(loader_workers=3).digest == recipe.digest


def test_a_recipe_of_an_older_run_folder_keeps_its_digest():
    """Digests as they stand in run folders that were written before the later settings existed."""
    assert Recipe().digest == "994fa8200bf7d601"
    assert Recipe(epochs=7, processes=2).digest == "7682580e597f6db4"
    changed = [{"method": "dora"}, {"packing": "on"}, {"checkpointing": "on"}, {"deterministic": True}]
    assert len({Recipe(**change).digest for change in changed} - {Recipe().digest}) == len(changed)
