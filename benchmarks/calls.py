"""What locating one mistake costs: full scan, skip scan, and one packed forward pass.

Calls and prompt tokens per error are counted on the errors of benchmarks/locate.py. The packed pass is timed against
one pass per prefix on rationales of fifteen steps, A B A B on this CPU, and its probabilities are held against theirs.
"""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.counting import CountingTeacher, prompt_words
from benchmarks.errors import collect_errors
from benchmarks.tables import parse_arguments, write_table
from tools.locate.answer_switch import SwitchOptions, locate_mistakes
from tools.locate.cost import ScanCost, choose_scan
from tools.locate.noise import CALIBRATED, simulate
from tools.records import Attempt, Mistake, Problem
from tools.teacher.local import SHIPPED, LocalTeacher, LocalTeacherOptions
from tools.teacher.local_train import train
from tools.teacher.protocol import OptionRequest
from tools.world.programs import FAMILIES
from tools.world.questions import sample_question

STEPS = 15
ROUNDS = 5


def count_scan(
    scan: Any, *, errors: list[Attempt], problems: Mapping[str, Problem]
) -> tuple[list[Mistake], CountingTeacher]:
    """Locate all errors one after the other, as a server with a prefix cache would see them."""
    counted = CountingTeacher(simulate(CALIBRATED, problems=problems))
    found: list[Mistake] = []
    for error in errors:
        found += locate_mistakes(
            [error], problems=problems, teacher=counted, iteration=1, options=SwitchOptions(scan=scan)
        )
    return found, counted


def cacheable_share(requests: Sequence[Any]) -> float:
    """Share of prompt words that begin an earlier prompt of the same error: what a prefix cache could serve at most."""
    longest: dict[str, tuple[str, ...]] = {}
    kept = total = 0
    for request in requests:
        before = longest.get(request.problem)
        words = prompt_words(request)
        total += words
        if before is not None:
            shared = request.steps[: len(before)] == before[: len(request.steps)]
            shorter = request if len(request.steps) <= len(before) else request.model_copy(update={"steps": before})
            kept += prompt_words(shorter) if shared else 0
        if before is None or len(request.steps) > len(before):
            longest[request.problem] = request.steps
    return kept / total


def long_requests(count: int) -> list[list[OptionRequest]]:
    """Every prefix of rationales of fifteen steps, made of the world's own sentences."""
    rng, families = random.Random(0), list(FAMILIES.values())
    found = []
    for number in range(count):
        question = sample_question(rng.choice(families), rng)
        steps: list[str] = []
        while len(steps) < STEPS:
            other = sample_question(rng.choice(families), rng)
            steps += [sentence + " " for sentence in other.program.explain(list(other.results))]
        found.append(
            [
                OptionRequest(
                    problem=f"long-{number}",
                    question=question.text,
                    options=question.options,
                    prior=(0.6, 0.0),
                    steps=tuple(steps[:i]),
                )
                for i in range(STEPS + 1)
            ]
        )
    return found


def time_packed(folder: Path, *, rationales: int) -> dict[str, float]:
    """Median seconds per rationale both ways, each round one after the other, and the largest difference."""
    requests = long_requests(rationales)
    ways = {
        name: LocalTeacher(LocalTeacherOptions(folder=str(folder), packed=name == "packed"))
        for name in ("naive", "packed")
    }
    for teacher in ways.values():
        teacher.option_probabilities(requests[0])
    seconds: dict[str, list[float]] = {"naive": [], "packed": []}
    worst = 0.0
    for _ in range(ROUNDS):
        replies: dict[str, list[float]] = {}
        for name, teacher in ways.items():
            started = time.perf_counter()
            answers = [reply for asked in requests for reply in teacher.option_probabilities(asked)]
            seconds[name].append((time.perf_counter() - started) / len(requests))
            replies[name] = [p for reply in answers for p in reply.probabilities]
        worst = max(worst, *(abs(a - b) for a, b in zip(replies["naive"], replies["packed"], strict=True)))
    naive, packed = median(seconds["naive"]), median(seconds["packed"])
    return {"naive_seconds": naive, "packed_seconds": packed, "speedup": naive / packed, "difference": worst}


def main() -> None:
    """Count, time, and write the table."""
    arguments = parse_arguments(__doc__ or "")
    errors, problems = collect_errors(arguments.runs_dir, questions=400 if arguments.quick else 2800)
    full, of_full = count_scan("full", errors=errors, problems=problems)
    skip, of_skip = count_scan("skip", errors=errors, problems=problems)
    same = sum((a.step, a.status) == (b.step, b.status) for a, b in zip(full, skip, strict=True))
    with tempfile.TemporaryDirectory() as scratch:
        folder = SHIPPED
        if not (SHIPPED / "config.json").is_file():
            folder = Path(scratch)
            train(folder, steps=1, lookups=1, batch=8, seed=0)
        timed = time_packed(folder, rationales=5 if arguments.quick else 20)
    packed_words = sum(prompt_words_of_longest(e, problems[e.problem]) + len(e.steps) + 1 for e in errors)
    chosen = {
        name: choose_scan(
            [e.steps for e in errors],
            heads=[problems[e.problem].question for e in errors],
            window=12,
            strict=False,
            cost=cost,
            packed=packed,
        )
        for name, cost, packed in (
            ("a price per token", ScanCost(), False),
            ("a prefix cache at a tenth", ScanCost(cached_price=0.1), False),
            ("the same, a round worth 50 tokens", ScanCost(cached_price=0.1, round_tokens=50), False),
            ("one packed pass", ScanCost(), True),
        )
    }
    n = len(errors)
    result = {
        "errors": n,
        "full_calls": of_full.calls / n,
        "skip_calls": of_skip.calls / n,
        "skip_share": of_skip.calls / of_full.calls,
        "same_answers": same,
        "full_tokens": of_full.words / n,
        "skip_tokens": of_skip.words / n,
        "packed_tokens": packed_words / n,
        "full_cacheable": cacheable_share(of_full.requests),
        "skip_cacheable": cacheable_share(of_skip.requests),
        "cached_share": None,
        "cached_share_reason": "needs a server that reports cached tokens; vLLM was not run",
        "packed_speedup": timed["speedup"],
        "packed_difference": timed["difference"],
        "packed_seconds": timed["packed_seconds"],
        "naive_seconds": timed["naive_seconds"],
        "scan_chosen": chosen,
    }
    write_table(
        "calls",
        title="Calls and prompt tokens per error",
        columns=["scan", "calls", "prompt tokens", "of these in an earlier prompt"],
        rows=[
            ["full", result["full_calls"], result["full_tokens"], result["full_cacheable"]],
            ["skip", result["skip_calls"], result["skip_tokens"], result["skip_cacheable"]],
            ["packed pass", 1, result["packed_tokens"], 0.0],
        ],
        result=result,
        quick=arguments.quick,
        notes=[
            f"{n} errors, symbolic teacher at calibrated noise; tokens are words of question, options and steps. Skip "
            f"scan asks {result['skip_share']:.0%} of the calls and names the same step for {same} of {n}.",
            f"Packed pass at T = {STEPS}: {timed['speedup']:.1f} times faster than one pass per prefix "
            f"({timed['naive_seconds'] * 1000:.1f} against {timed['packed_seconds'] * 1000:.1f} ms a rationale, median "
            f"of {ROUNDS} rounds A B A B), largest difference of a probability {timed['difference']:.1e}.",
            "The cost model takes: " + "; ".join(f"with {name} the {scan} scan" for name, scan in chosen.items()) + ".",
            "Cached share as a server reports it: not measured, vLLM was not run.",
        ],
    )


def prompt_words_of_longest(error: Attempt, problem: Problem) -> int:
    """Words of the prompt that carries the whole rationale."""
    return prompt_words(
        OptionRequest(
            problem=problem.id,
            question=problem.question,
            options=problem.choices or (problem.target, error.answer or ""),
            prior=(),
            steps=error.steps,
        )
    )


if __name__ == "__main__":
    main()
