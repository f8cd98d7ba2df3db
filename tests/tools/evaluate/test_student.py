import os
import random
import signal
import subprocess
import sys

import pytest

from errata.tools.errors import OperatorError
from errata.tools.evaluate.student import GenerateOptions, evaluate_student, plan_batches
from errata.tools.records import ImageRef
from errata.tools.train.recipe import Recipe
from errata.tools.train.run import train_student
from tests.tiny_student import build_problems, shared_folder, shared_host, source, teach

OPTIONS = GenerateOptions(max_new_tokens=16, batch_size=8, device="cpu")


@pytest.fixture(scope="module")
def problems():
    pool = build_problems(shared_folder() / "evaluate", 30, seed=2)
    return [p.model_copy(update={"split": "gate"}) for p in pool]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A student that has learnt to end its answers, so that rows leave the batch at different times."""
    folder = tmp_path_factory.mktemp("trained") / "c1"
    recipe = Recipe(
        learning_rate=1e-2, batch_size=8, epochs=30, lora_rank=16, lora_alpha=32, replay=0.0, device="cpu"
    )
    train_student(
        teach(build_problems(shared_folder() / "train", 24, seed=1)), base=source(), recipe=recipe, folder=folder,
        checkpoint_id="c1", host=shared_host(),
    )  # fmt: skip
    return source(adapter=str(folder), checkpoint="c1")


@pytest.fixture(scope="module")
def attempts(problems, trained):
    return ask(problems, trained)


def ask(problems, model, **how):
    how = {"options": OPTIONS, "workers": 1, "host": shared_host()} | how
    return evaluate_student(problems, model=model, **how)


def test_answers_come_in_the_order_of_the_problems_and_are_parsed(problems, attempts):
    assert [a.problem for a in attempts] == [p.id for p in problems]
    assert {a.checkpoint for a in attempts} == {"c1"}
    assert sum(a.format_error for a in attempts) < len(attempts) / 2
    assert any("The answer is" in a.response for a in attempts)


def test_results_do_not_depend_on_workers_or_on_the_order_asked(problems, trained, attempts):
    assert ask(problems, trained, workers=3) == attempts
    shuffled = random.Random(0).sample(problems, len(problems))
    assert sorted(ask(shuffled, trained, workers=2), key=lambda a: a.problem) == attempts


def test_done_answers_are_not_asked_again(problems, trained, attempts):
    seen: list[tuple[int, int, int]] = []
    done = {a.problem: a for a in attempts[:25]}
    marked = done | {attempts[0].problem: attempts[0].model_copy(update={"response": "kept"})}
    again = ask(problems, trained, done=marked, on_answer=lambda *counts: seen.append(counts))
    assert again[0].response == "kept"
    assert again[1:] == attempts[1:]
    assert [counts[0] for counts in seen] == [26, 27, 28, 29, 30]
    assert seen[-1][1:] == (30, sum(a.correct for a in attempts))


def test_a_killed_evaluation_goes_on_from_its_store(problems, tmp_path):
    store = tmp_path / "answers.jsonl"

    def kill(done: int, _total: int, _correct: int) -> None:
        if done == 8:
            for pid in shared_host().running.values():
                os.kill(pid, signal.SIGKILL)

    long = OPTIONS.model_copy(update={"max_new_tokens": 100})
    with pytest.raises(OperatorError, match="SIGKILL"):
        ask(problems, source(), options=long, store=store, on_answer=kill)
    kept = len(store.read_text().splitlines())
    assert 8 <= kept < 30
    with store.open("a") as file:
        file.write('{"key": "torn')
    asked: list[int] = []
    resumed = ask(
        problems, source(), options=long, store=store, on_answer=lambda done, *_: asked.append(done)
    )
    assert asked == list(range(kept + 1, 31))
    assert resumed == ask(problems, source(), options=long)
    assert len(store.read_text().splitlines()) == 30


def test_a_store_of_another_checkpoint_is_not_used(problems, trained, tmp_path):
    store = tmp_path / "answers.jsonl"
    ask(problems[:8], source(), store=store)
    asked: list[int] = []
    ask(problems[:8], trained, store=store, on_answer=lambda done, *_: asked.append(done))
    assert len(asked) == 8


def test_batches_are_fixed_and_complete(problems):
    mixed = [*problems, *(p.model_copy(update={"id": f"t{p.id}", "images": ()}) for p in problems[:5])]
    batches = plan_batches(mixed, size=8)
    assert plan_batches(mixed[::-1], size=8) == batches
    assert sorted(p.id for b in batches for p in b) == sorted(p.id for p in mixed)
    assert all(len({bool(p.images) for p in b}) == 1 for b in batches)


def test_own_greedy_loop_equals_the_librarys(problems, trained):
    import torch

    from errata.tools.evaluate.generate import generate_by_library, generate_greedily
    from errata.tools.student.encode import encode_prompts
    from errata.tools.student.load import open_student

    torch.set_num_threads(1)
    student = open_student(trained.base, adapter=trained.adapter, device="cpu")
    student.model.eval()
    inputs = dict(encode_prompts(problems[:12], student=student, prompt=trained.prompt, image_first=False))
    with torch.inference_mode():
        own = generate_greedily(inputs, student=student, max_new_tokens=24)
        library = generate_by_library(inputs, student=student, max_new_tokens=24)
    assert own == library
    assert len({len(row) for row in own}) > 1


def test_what_a_person_has_to_mend_is_one_line(problems, trained, tmp_path):
    with pytest.raises(OperatorError, match=r"student base: no such folder"):
        ask(problems, source(base=str(tmp_path / "absent")))
    with pytest.raises(OperatorError, match=r"adapter_config\.json is missing"):
        ask(problems, source(adapter=str(tmp_path)))
    lost = problems[3].model_copy(update={"images": (ImageRef(path=str(tmp_path / "no.png"), sha256=""),)})
    with pytest.raises(OperatorError, match=rf"problem {lost.id}: unreadable picture"):
        ask([lost], trained)
    with pytest.raises(OperatorError, match="two problems have one id"):
        ask([problems[0], problems[0]], trained)
    with pytest.raises(OperatorError, match="workers"):
        ask(problems, trained, workers=0)


def test_an_adapter_of_another_base_is_refused(problems, trained, tmp_path):
    from tests.tiny_student import build_student

    wide = build_student(tmp_path / "wide", hidden=64)
    with pytest.raises(OperatorError, match="does not fit the base"):
        ask(problems[:2], trained.model_copy(update={"base": str(wide)}))


def test_importing_the_clients_imports_no_torch():
    code = (
        "import sys, tools.evaluate.student, tools.train.run, tools.train.recipe, tools.train.mixture, prompts;"
        "print(sorted({'torch', 'transformers', 'peft'} & set(sys.modules)))"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.strip() == "[]"
