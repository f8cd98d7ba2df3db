"""Train the local teacher's language model: `python -m tools.teacher.local_train OUT --steps 1000`.

A Llama of about 0.2 million parameters reads the world's text without the picture. Its rationales are true ones in
which each call's result is replaced with some probability, so that what it learns for `<answer>` is how far a stated
step and a stated prior can be believed: the posterior of the true answer, after every prefix at once (packed).
`<check>` and `<index>` are supervised by the replaced calls, `<write>` by the true rationale. It never sees a student's
answer. All questions come from the pool's side of the split by digest.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from errata.tools.records import seed_of
from errata.tools.steps import split_steps
from errata.tools.teacher.local_text import LETTERS, MAX_STEPS, Packed, build_tokenizer, head_text, pack, stack
from errata.tools.world.generate import split_of_question
from errata.tools.world.programs import FAMILIES
from errata.tools.world.questions import Question, sample_question
from errata.tools.world.skills import SKILLS

HIDDEN, HEADS, LAYERS, INNER = 64, 4, 3, 192
PERCEPTION_SLIP, RULE_SLIP = 0.06, 0.12
WRITE_SHARE = 0.1
BARE_SHARE = 0.5
"""Rationales without the sentence that links the value to its letter: the letter has to be found among the options."""
FIRST_DRILL_SHARE, DRILL_SHARE, FIRST = 0.6, 0.15, 0.4
"""Drills are rationales of which the last claim alone is left; in the first part of the training they are most."""
TEXT_WEIGHT = 0.3
"""Weight of the next-word loss on the steps beside the loss on what is asked."""
IGNORED = -100
LOOKUP_BATCH, LEARNED = 64, 0.02
SINGLE_ANSWERS = sorted({a for f in FAMILIES.values() for a in f.answers if " " not in a})


class Sample(NamedTuple):
    """One packed training sequence; `labels` int64 [L + B], at the place whose output is judged."""

    packed: Packed
    labels: np.ndarray[Any, Any]
    asked: np.ndarray[Any, Any]


def slip(question: Question, rng: random.Random) -> tuple[list[str], set[int]]:
    """Results of a fallible student and the calls that it got wrong, such that the answer is one of the options."""
    while True:
        given: dict[int, str] = {}
        for index, call in enumerate(question.program.calls):
            skill = SKILLS[call.skill]
            if rng.random() < (PERCEPTION_SLIP if skill.perception else RULE_SLIP):
                given[index] = rng.choice(skill.domain)
        results = question.program.run(question.scene, given)
        if results is not None and question.program.read_answer(results) in question.options:
            return results, _wrong_calls(question, results, given)


def _wrong_calls(question: Question, results: list[str], given: dict[int, str]) -> set[int]:
    """Of the replaced results, those which are not by chance the true ones."""
    wrong = set()
    for index, value in given.items():
        call = question.program.calls[index]
        truth = SKILLS[call.skill].evaluate(question.scene, question.program.inputs(index, results))
        wrong |= {index} if truth != value else set()
    return wrong


def draw_prior(question: Question, rng: random.Random) -> tuple[float, ...]:
    """None in a third of the cases; else p on one option, which is gold with probability p."""
    if rng.random() < 1 / 3:
        return ()
    share = rng.choice((0.6, 0.6, 0.6, 1.0, rng.randrange(3, 20) / 20))
    gold = question.options.index(question.answer)
    place = gold if rng.random() < share else rng.choice([i for i in range(len(question.options)) if i != gold])
    return tuple(share if i == place else 0.0 for i in range(len(question.options)))


def make_sample(rng: random.Random, *, tokenizer: Any, drill: bool = False) -> Sample:
    """One question with a rationale; every prefix asked for its letter, its last step and, at the end, the index."""
    family = rng.choice(list(FAMILIES.values()))
    question = sample_question(family, rng, allowed=lambda key: split_of_question(key) == "pool")
    writes = not drill and rng.random() < WRITE_SHARE
    results, wrong = (list(question.results), set()) if writes else slip(question, rng)
    head = head_text(question.text, options=question.options, prior=draw_prior(question, rng))
    steps = [s.text for s in split_steps(question.explain(results))]
    if not writes and (drill or rng.random() < BARE_SHARE):
        steps.pop()
    if drill:
        steps, wrong = steps[-1:], {0} if len(steps) - 1 in wrong else set()
    encoded = tokenizer([f"{head} {'<write>' if writes else '<steps>'}", *steps], add_special_tokens=False)["input_ids"]
    return label_sample(
        encoded, tokenizer=tokenizer, wrong=wrong, gold=question.options.index(question.answer), writes=writes
    )


def label_sample(encoded: Sequence[list[int]], *, tokenizer: Any, wrong: set[int], gold: int, writes: bool) -> Sample:
    """Ids of head and steps to a packed sequence; call i is stated by step i."""
    token = tokenizer.convert_tokens_to_ids
    ends = np.cumsum([len(part) for part in encoded]).tolist()
    trunk = [i for part in encoded for i in part] + ([tokenizer.eos_token_id] if writes else [])
    asks: list[tuple[int, int, int]] = []
    if not writes:
        asks = [(end, token("<answer>"), token(LETTERS[gold])) for end in ends]
        asks += [
            (end, token("<check>"), token("<wrong>" if i in wrong else "<right>")) for i, end in enumerate(ends[1:])
        ]
        first = f"<s{min(wrong)}>" if wrong and min(wrong) < MAX_STEPS else "<none>"
        asks.append((ends[-1], token("<index>"), token(first)))
    packed = pack(trunk, [(place, asker) for place, asker, _ in asks])
    labels = np.full(len(packed.ids), IGNORED, dtype=np.int64)
    labels[ends[0] - 1 : len(trunk) - 1] = trunk[ends[0] :]
    labels[len(trunk) :] = [answer for _, _, answer in asks]
    asked = np.zeros(len(packed.ids), dtype=np.bool_)
    asked[len(trunk) :] = True
    return Sample(packed, labels, asked | writes)


def build_model(tokenizer: Any) -> Any:
    """A fresh Llama of this size; embeddings are wide (0.3), without which look-up is not learned."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=HIDDEN,
            intermediate_size=INNER,
            num_hidden_layers=LAYERS,
            num_attention_heads=HEADS,
            num_key_value_heads=HEADS,
            max_position_embeddings=2048,
            tie_word_embeddings=True,
            initializer_range=0.6 / HIDDEN**0.5,
            pad_token_id=tokenizer.pad_token_id,
            bos_token_id=tokenizer.eos_token_id,
            eos_token_id=tokenizer.eos_token_id,
        )
    )
    torch.nn.init.normal_(model.get_input_embeddings().weight, std=0.3)
    return model


def sample_lookup(rng: random.Random, *, tokenizer: Any) -> Sample:
    """Options with their letters, then some of them named again, each asked for its letter."""
    token = tokenizer.convert_tokens_to_ids
    options = rng.sample(SINGLE_ANSWERS, rng.randrange(2, 5))
    trunk = [token(w) for option, letter in zip(options, LETTERS, strict=False) for w in (letter, option)]
    trunk.append(token("<steps>"))
    asks = []
    for place in (rng.randrange(len(options)) for _ in range(4)):
        trunk += [token(options[place]), token(".")]
        asks.append((len(trunk), token("<answer>"), token(LETTERS[place])))
    packed = pack(trunk, [(place, asker) for place, asker, _ in asks])
    labels = np.full(len(packed.ids), IGNORED, dtype=np.int64)
    labels[len(trunk) :] = [answer for _, _, answer in asks]
    return Sample(packed, labels, labels != IGNORED)


def practise_lookup(model: Any, *, tokenizer: Any, steps: int, seed: int, rate: float = 2e-3) -> None:
    """Learn to find a letter by its option's words, before anything else; stops when it is learned.

    Without this phase 100,000 rationales did not teach it: the model read the letter off the last sentence alone.
    """
    import torch

    rng = random.Random(seed_of("local teacher lookup", seed))
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.01, betas=(0.9, 0.98))
    for step in range(1, steps + 1):
        for group in optimizer.param_groups:
            group["lr"] = rate * min(1.0, step / 50)
        samples = [sample_lookup(rng, tokenizer=tokenizer) for _ in range(LOOKUP_BATCH)]
        loss = _learn(model, samples, pad=tokenizer.pad_token_id)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        if step % 100 == 0 or loss < LEARNED:
            print(json.dumps({"lookup": step, "loss": round(loss, 4)}), flush=True)
        if loss < LEARNED:
            return


def train(out: Path, *, steps: int, lookups: int, batch: int, seed: int, rate: float = 3e-3) -> None:
    """Look-up practice, then a number of steps with AdamW and a cosine; saves model and tokenizer."""
    import torch

    torch.manual_seed(seed)
    tokenizer = build_tokenizer()
    model = build_model(tokenizer)
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.01, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=rate, total_steps=steps, pct_start=0.05)
    rng, started = random.Random(seed_of("local teacher", seed)), time.monotonic()
    practise_lookup(model, tokenizer=tokenizer, steps=lookups, seed=seed)
    for step in range(1, steps + 1):
        share = FIRST_DRILL_SHARE if step < FIRST * steps else DRILL_SHARE
        drawn = [make_sample(rng, tokenizer=tokenizer, drill=rng.random() < share) for _ in range(batch)]
        samples = sorted(drawn, key=lambda s: len(s.labels))
        losses = [_learn(model, samples[half], pad=tokenizer.pad_token_id) for half in _halves(batch)]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        if step % 50 == 0 or step == steps:
            asked = float(np.mean(losses))
            line = {"step": step, "loss": round(asked, 4), "seconds": round(time.monotonic() - started)}
            print(json.dumps(line), flush=True)
        if step % 300 == 0 or step == steps:
            model.save_pretrained(out)
            tokenizer.save_pretrained(out)


def _halves(batch: int) -> list[slice]:
    return [slice(0, batch // 2), slice(batch // 2, batch)]


def _learn(model: Any, samples: Sequence[Sample], *, pad: int) -> float:
    """Gradients of one part of a batch; the mean loss over what is asked, in nats."""
    import torch
    from torch.nn.functional import cross_entropy

    ids, positions, seen = stack([s.packed for s in samples], pad=pad)
    labels = np.full(ids.shape, IGNORED, dtype=np.int64)
    asked = np.zeros(ids.shape, dtype=np.bool_)
    for row, sample in enumerate(samples):
        labels[row, : len(sample.labels)], asked[row, : len(sample.asked)] = sample.labels, sample.asked
    hidden = model.model(
        input_ids=torch.from_numpy(ids),
        attention_mask=torch.from_numpy(seen)[:, None],
        position_ids=torch.from_numpy(positions),
        use_cache=False,
    ).last_hidden_state
    summary, weight = torch.from_numpy(labels), torch.from_numpy(asked)
    judged = summary != IGNORED
    each = cross_entropy(model.lm_head(hidden[judged]).float(), summary[judged], reduction="none")
    mine = weight[judged]
    loss = each[mine].mean() + (TEXT_WEIGHT * each[~mine].mean() if bool((~mine).any()) else 0.0)
    torch.autograd.backward(loss / 2)
    return float(each[mine].mean().detach())


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, help="folder for model and tokenizer")
    parser.add_argument("--steps", type=int, default=1000, help="optimizer steps (default: 1000)")
    parser.add_argument("--lookups", type=int, default=1500, help="most steps of look-up practice (default: 1500)")
    parser.add_argument("--batch", type=int, default=48, help="rationales a step (default: 48)")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    train(arguments.out, steps=arguments.steps, lookups=arguments.lookups, batch=arguments.batch, seed=arguments.seed)


if __name__ == "__main__":
    main()
