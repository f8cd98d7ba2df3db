"""Parser, splitter and diagnosis on other people's traces (folder in ERRATA_DATA; skipped when it is absent).

12,723 chain-of-thought outputs of three models on ScienceQA, marked right or wrong: share parsed, agreement of the
parsed answer with the mark, steps per trace. BIG-Bench-Mistake: how far our splitter agrees with its given steps, and
step location with the local teacher, which proves the plumbing alone: its words are those of the embedded world.
"""

from __future__ import annotations

import gzip
import json
import os
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import mean, median
from typing import Any

from benchmarks.tables import parse_arguments, write_table
from errata.tools.evaluate.answers import parse_answer
from errata.tools.locate.answer_switch import SwitchOptions, locate_mistakes
from errata.tools.locate.metrics import location_scores
from errata.tools.locate.rivals import random_step
from errata.tools.records import Attempt, Problem, digest
from errata.tools.steps import split_steps
from errata.tools.teacher.local import SHIPPED, LocalTeacher

VARIABLE = "ERRATA_DATA"
COLUMNS = (
    *("model", "outputs", "parsed", "agreement", "empty", "agreement, not empty", "rationale first"),
    *("steps, mean", "steps, median"),
)


def read_jsonl(path: Path) -> Iterator[dict[str, Any]]:
    """Rows of a JSONL file, gzipped or not."""
    content = path.read_bytes()
    text = (gzip.decompress(content) if path.suffix == ".gz" else content).decode("utf-8")
    yield from (json.loads(line) for line in text.split("\n") if line)


def read_choices(folder: Path) -> dict[str, int]:
    """How many choices each ScienceQA test question has, by id."""
    return {row["id"]: len(row["choices"]) for row in read_jsonl(folder / "scienceqa" / "test.jsonl")}


def judge_traces(folder: Path, *, limit: int | None) -> dict[str, dict[str, Any]]:
    """Per model: parsed share, agreement with the mark over all outputs, steps per trace."""
    choices = read_choices(folder)
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    steps: dict[str, list[int]] = defaultdict(list)
    for number, row in enumerate(read_jsonl(folder / "scienceqa" / "model_cot_traces_test.jsonl.gz")):
        if limit is not None and number >= limit:
            break
        model, letters = row["model"], [chr(ord("A") + i) for i in range(choices[row["qid"]])]
        parsed = parse_answer(row["output"], letters=letters)
        right = parsed.answer == chr(ord("A") + row["gold"])
        rationale = row["output"] if parsed.start is None else row["output"][: parsed.start]
        after = row["output"] if parsed.start is None else row["output"][parsed.start :]
        steps[model].append(len(split_steps(rationale if rationale.strip() else after)))
        counts[model].update(
            total=1,
            parsed=parsed.answer is not None,
            agree=right == row["correct"],
            before=bool(rationale.strip()),
            empty=not row["output"].strip(),
            agree_said=bool(row["output"].strip()) and right == row["correct"],
        )
    return {model: _summary(counts[model], steps[model]) for model in sorted(counts)} | {
        "all": _summary(sum(counts.values(), Counter()), [n for s in steps.values() for n in s])
    }


def _summary(count: Counter[str], steps: Sequence[int]) -> dict[str, Any]:
    total = count["total"]
    return {
        "outputs": total,
        "parsed": count["parsed"] / total,
        "agreement": count["agree"] / total,
        "empty": count["empty"],
        "agreement_not_empty": count["agree_said"] / (total - count["empty"]),
        "rationale_first": count["before"] / total,
        "steps_mean": mean(steps),
        "steps_median": median(steps),
    }


def read_mistakes(folder: Path) -> tuple[list[Attempt], dict[str, Problem], dict[str, int], int]:
    """Traces with a wrong answer and a marked step as attempts, problems and gold steps by id, and how many were left
    out."""
    attempts, problems, gold, left_out = [], {}, {}, 0
    for row in read_jsonl(folder / "mistakes" / "bigbench_mistake.jsonl"):
        if row["answer_correct"] or row["first_error_index"] is None or row["gold_answer"] == row["model_answer"]:
            left_out += 1
            continue
        name = row["id"]
        problems[name] = Problem(id=name, question=row["question"], target=str(row["gold_answer"]), scoring="exact")
        attempts.append(
            Attempt(
                id=name,
                problem=name,
                checkpoint="given",
                response="",
                steps=tuple(f"{step}\n" for step in row["steps"]),
                answer=str(row["model_answer"]),
                correct=False,
                score=0.0,
                format_error=False,
            )
        )
        gold[name] = row["first_error_index"]
    return attempts, problems, gold, left_out


def split_agreement(attempts: Sequence[Attempt]) -> dict[str, float]:
    """Shares of traces that our splitter, given the steps as lines, takes apart into as many steps, more, or fewer."""
    sizes = [(len(split_steps("".join(a.steps))), len(a.steps)) for a in attempts]
    alike, more = sum(x == y for x, y in sizes) / len(sizes), sum(x > y for x, y in sizes) / len(sizes)
    return {"alike": alike, "more": more, "fewer": 1 - alike - more}


def locate_in(
    attempts: Sequence[Attempt], *, problems: dict[str, Problem], gold: dict[str, int]
) -> dict[str, dict[str, Any]]:
    """The local teacher's diagnosis beside a random step; nothing where the language model was not trained."""
    if not (SHIPPED / "config.json").is_file():
        return {}
    located: dict[str, dict[str, Any]] = {}
    for name, method in (("answer_switch", locate_mistakes), ("random_step", random_step)):
        found = method(attempts, problems=problems, teacher=LocalTeacher(), iteration=1, options=SwitchOptions())
        scores = location_scores(found, gold=gold)
        located[name] = {
            "accuracy": scores.accuracy.model_dump(),
            "recall3": scores.recall3_paper.value,
            "statuses": scores.statuses,
        }
    return located


def measure(folder: Path, *, quick: bool) -> dict[str, Any]:
    """The object that docs/tables/traces.json holds."""
    judged = judge_traces(folder, limit=1000 if quick else None)
    attempts, problems, gold, left_out = read_mistakes(folder)
    chosen = sorted(attempts, key=lambda a: digest("trace", a.id))[: 100 if quick else 1000]
    located = locate_in(chosen, problems=problems, gold=gold)
    return {
        "traces": judged,
        "mistakes": {
            "used": len(attempts),
            "left_out": left_out,
            "located": len(chosen) if located else 0,
            "steps_mean": mean(len(a.steps) for a in attempts),
            "split": split_agreement(attempts),
            "methods": located,
        },
    }


def tell(result: dict[str, Any]) -> list[str]:
    """The lines below the table."""
    mistakes = result["mistakes"]
    split = ", ".join(f"{name} {share:.1%}" for name, share in mistakes["split"].items())
    return [
        "Agreement: parsed answer right or wrong as marked, over all outputs; what was not parsed counts as wrong. "
        "Steps: of the rationale before the answer, or of the whole output where the answer comes first.",
        "An empty output cannot be parsed; the marks of some of these are right, by another program's default.",
        f"BIG-Bench-Mistake: {mistakes['used']} wrong traces with a marked step ({mistakes['left_out']} without one, "
        f"or with a right answer, left out). Our splitter makes {split} steps as given: a given step may be several "
        "sentences, and one of under three letters joins another.",
        f"Diagnosis of {mistakes['located']} of them by the local teacher: {json.dumps(mistakes['methods'])}. It "
        "reads almost every word of these as unknown; this shows that attempts, curves and statuses come through, "
        "and nothing about how well answer switch locates mistakes in such text. That takes a language model.",
    ]


def main() -> None:
    """Measure and write the table, or say why not."""
    arguments = parse_arguments(__doc__ or "")
    given = os.environ.get(VARIABLE)
    if not given or not (Path(given) / "mistakes").is_dir():
        print(f"skipped: {VARIABLE} does not name a folder with mistakes/ and scienceqa/")
        return
    result = measure(Path(given), quick=arguments.quick)
    write_table(
        "traces",
        title="Parser and splitter on other models' traces",
        columns=COLUMNS,
        rows=[[model, *summary.values()] for model, summary in result["traces"].items()],
        result=result,
        notes=tell(result),
        quick=arguments.quick,
    )


if __name__ == "__main__":
    main()
