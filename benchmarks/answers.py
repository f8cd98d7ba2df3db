"""The parser of answers on responses of real models, before and after, and on responses in the manner of current ones.

12,723 outputs of three models on ScienceQA (folder in ERRATA_DATA) with their authors' mark right or wrong: agreement
with letters alone, as it was, and with the options' texts too. The set of tests/tools/evaluate/responses.jsonl: how
many are read right, by family.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.tables import ROOT, TABLES, parse_arguments, write_table
from benchmarks.traces import VARIABLE, read_jsonl
from errata.tools.evaluate.answers import PARSER_VERSION, parse_answer

SET = ROOT / "tests" / "tools" / "evaluate" / "responses.jsonl"
BEFORE = TABLES / "traces.json"
"""Has the agreement of the parser's version 1, until `benchmarks.traces` is run again."""


def letters_of(count: int) -> list[str]:
    """The first letters."""
    return [chr(ord("A") + i) for i in range(count)]


def judge_outputs(folder: Path, *, limit: int | None) -> dict[str, Any]:
    """Agreement with the marks, and how many readings the options' texts change."""
    choices = {row["id"]: row["choices"] for row in read_jsonl(folder / "scienceqa" / "test.jsonl")}
    count: Counter[str] = Counter()
    for number, row in enumerate(read_jsonl(folder / "scienceqa" / "model_cot_traces_test.jsonl.gz")):
        if limit is not None and number >= limit:
            break
        options = choices[row["qid"]]
        letters = letters_of(len(options))
        alone = parse_answer(row["output"], letters=letters).answer
        found = parse_answer(row["output"], letters=letters, choices=options).answer
        gold = letters[row["gold"]]
        count.update(
            outputs=1,
            agree=(found == gold) == row["correct"],
            agree_alone=(alone == gold) == row["correct"],
            changed=alone != found,
        )
    return {
        "outputs": count["outputs"],
        "agreement_before": round(json.loads(BEFORE.read_text(encoding="utf-8"))["traces"]["all"]["agreement"], 4),
        "agreement_letters": round(count["agree_alone"] / count["outputs"], 4),
        "agreement_after": round(count["agree"] / count["outputs"], 4),
        "changed_by_texts": count["changed"],
    }


def judge_set() -> tuple[list[Sequence[object]], dict[str, Any]]:
    """A row a family, and the sums."""
    total: Counter[str] = Counter()
    right: Counter[str] = Counter()
    for row in read_jsonl(SET):
        found = parse_answer(row["response"], letters=letters_of(len(row["choices"])), choices=row["choices"]).answer
        total[row["family"]] += 1
        right[row["family"]] += found == row["answer"]
    rows: list[Sequence[object]] = [[family, total[family], right[family]] for family in sorted(total)]
    return rows, {"set_size": total.total(), "set_right": right.total(), "families": len(total)}


def main() -> None:
    """Measure and write the table."""
    arguments = parse_arguments(__doc__ or "")
    given = os.environ.get(VARIABLE)
    if not given or not (Path(given) / "scienceqa").is_dir():
        print(f"skipped: {VARIABLE} does not name a folder with scienceqa/")
        return
    rows, sums = judge_set()
    result = {**judge_outputs(Path(given), limit=1000 if arguments.quick else None), **sums}
    write_table(
        "answers",
        title="Answers read out of responses",
        columns=["family", "responses", "read right"],
        rows=rows,
        result={**result, "parser": PARSER_VERSION},
        notes=[
            f"{result['outputs']} outputs of three real models on ScienceQA: agreement with their authors' marks",
            f"{result['agreement_before']} by the parser's version 1, {result['agreement_after']} by version",
            f"{PARSER_VERSION}; the options' own texts changed {result['changed_by_texts']} readings of them.",
            f"The set: {result['set_size']} responses of {result['families']} families, written by us in the forms",
            "that model cards and issue threads show; the parser was mended until it read them, so that the column",
            "says what is held and not how often it errs on others.",
        ],
        quick=arguments.quick,
    )


if __name__ == "__main__":
    main()
