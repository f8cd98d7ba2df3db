"""What locating one mistake costs: full scan, skip scan, the same on vLLM, and one packed forward pass.

Calls and prompt tokens per error are counted on the errors of benchmarks/locate.py, some of which are also asked of a
vLLM that reports what it had cached, where `make teacher-test` has installed one. The packed pass is timed against
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
from benchmarks.served import NOT_RUN, measure_served
from benchmarks.tables import parse_arguments, write_table
from errata.tools.locate.answer_switch import SwitchOptions, locate_mistakes
from errata.tools.locate.cost import ScanCost, choose_scan
from errata.tools.locate.noise import CALIBRATED, simulate
from errata.tools.records import Attempt, Mistake, Problem
from errata.tools.teacher.local import SHIPPED, LocalTeacher, LocalTeacherOptions
from errata.tools.teacher.local_train import train
from errata.tools.teacher.protocol import OptionRequest
from errata.tools.world.programs import FAMILIES
from errata.tools.world.questions import sample_question

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


def choose_scans(errors: Sequence[Attempt], problems: Mapping[str, Problem]) -> dict[str, str]:
    """What the cost model takes, by price."""
    prices = {
        "a price per token": (ScanCost(), False),
        "a prefix cache at a tenth": (ScanCost(cached_price=0.1), False),
        "the same, a round worth 50 tokens": (ScanCost(cached_price=0.1, round_tokens=50), False),
        "one packed pass": (ScanCost(), True),
    }
    steps, heads = [e.steps for e in errors], [problems[e.problem].question for e in errors]
    return {
        name: choose_scan(steps, heads=heads, window=12, strict=False, cost=cost, packed=packed)
        for name, (cost, packed) in prices.items()
    }


def count_scans(errors: list[Attempt], problems: Mapping[str, Problem]) -> dict[str, Any]:
    """Calls and words of full scan, skip scan and packed pass, per error."""
    full, of_full = count_scan("full", errors=errors, problems=problems)
    skip, of_skip = count_scan("skip", errors=errors, problems=problems)
    packed_words = sum(prompt_words_of_longest(e, problems[e.problem]) + len(e.steps) + 1 for e in errors)
    n = len(errors)
    return {
        "errors": n,
        "full_calls": of_full.calls / n,
        "skip_calls": of_skip.calls / n,
        "skip_share": of_skip.calls / of_full.calls,
        "same_answers": sum((a.step, a.status) == (b.step, b.status) for a, b in zip(full, skip, strict=True)),
        "full_tokens": of_full.words / n,
        "skip_tokens": of_skip.words / n,
        "packed_tokens": packed_words / n,
        "full_cacheable": cacheable_share(of_full.requests),
        "skip_cacheable": cacheable_share(of_skip.requests),
    }


def time_shipped(*, rationales: int) -> dict[str, float]:
    """`time_packed` of the shipped model, or of an untrained one of its size where there is none."""
    if (SHIPPED / "config.json").is_file():
        return time_packed(SHIPPED, rationales=rationales)
    with tempfile.TemporaryDirectory() as scratch:
        train(Path(scratch), steps=1, lookups=1, batch=8, seed=0)
        return time_packed(Path(scratch), rationales=rationales)


def main() -> None:
    """Count, time, ask the server, and write the table."""
    arguments = parse_arguments(__doc__ or "")
    quick = arguments.quick
    errors, problems = collect_errors(arguments.runs_dir, questions=400 if quick else 2800)
    served = measure_served(errors, problems=problems, count=12 if quick else 100)
    timed = time_shipped(rationales=5 if quick else 20)
    result = {
        **count_scans(errors, problems),
        "cached_share": served["full"]["cached_share"] if served else None,
        "cached_share_reason": f"of the full scan; {describe_served(served)}",
        "served": served,
        "packed_speedup": timed["speedup"],
        "packed_difference": timed["difference"],
        "packed_seconds": timed["packed_seconds"],
        "naive_seconds": timed["naive_seconds"],
        "scan_chosen": choose_scans(errors, problems),
    }
    write_table(
        "calls",
        title="Calls and prompt tokens per error",
        columns=["scan", "calls", "prompt tokens", "of these in an earlier prompt"],
        rows=table_rows(result),
        result=result,
        quick=quick,
        notes=table_notes(result),
    )


def table_rows(result: dict[str, Any]) -> list[list[object]]:
    """One row a scan; those on vLLM carry the server's own counts."""
    rows: list[list[object]] = [
        [scan, result[f"{scan}_calls"], result[f"{scan}_tokens"], result[f"{scan}_cacheable"]]
        for scan in ("full", "skip")
    ]
    rows.append(["packed pass", 1, result["packed_tokens"], 0.0])
    for scan in ("full", "skip") if result["served"] else ():
        summary = result["served"][scan]
        rows.append([f"{scan}, on vLLM, as it counts", summary["calls"], summary["tokens"], summary["cached_share"]])
    return rows


def table_notes(result: dict[str, Any]) -> list[str]:
    """What the figures are."""
    n, naive, packed = result["errors"], result["naive_seconds"], result["packed_seconds"]
    chosen = "; ".join(f"with {name} the {scan} scan" for name, scan in result["scan_chosen"].items())
    return [
        f"{n} errors, symbolic teacher at calibrated noise; tokens are words of question, options and steps. Skip scan "
        f"asks {result['skip_share']:.0%} of the calls and names the same step for {result['same_answers']} of {n}.",
        f"Packed pass at T = {STEPS}: {result['packed_speedup']:.1f} times faster than one pass per prefix "
        f"({naive * 1000:.1f} against {packed * 1000:.1f} ms a rationale, median of {ROUNDS} rounds A B A B), largest "
        f"difference of a probability {result['packed_difference']:.1e}.",
        f"The cost model takes: {chosen}.",
        f"On vLLM: {describe_served(result['served'])}.",
    ]


def describe_served(served: dict[str, Any] | None) -> str:
    """What was asked of vLLM, or why nothing was."""
    if served is None:
        return NOT_RUN
    new = {scan: served[scan]["new_tokens"] for scan in ("full", "skip")}
    return (
        f"{served['errors']} of these errors through the chat teacher, one request at a time, blocks of "
        f"{served['block']} tokens, from an empty cache; tokens of the whole prompt, of which instruction and "
        f"demonstrations are the same for all errors ({served['full']['first_prompt_share']:.0%} of an error's first "
        f"prompt were cached for that reason alone). Not cached were {new['full']:.0f} tokens an error in the full "
        f"scan and {new['skip']:.0f} in the skip scan; both named the same step for {served['same']} of "
        f"{served['errors']}"
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
