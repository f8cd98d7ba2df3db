"""A thousand damaged rows of each format: none may end in a traceback, none may vanish.

Each case is a file of three rows, the middle one damaged, and goes through the command line (`errata data
check --json`). It is accounted for when every row is accepted or reported; a file that breaks off or that is
refused as a whole says so, and the rows behind the break are counted apart. What is accepted is read back as a
record and written as training data.
"""

from __future__ import annotations

import copy
import io
import json
import random
import shutil
import tempfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.row_mutations import MAKERS, TEXTS, VALUES, Row, prepare_folder, to_cells, to_json
from benchmarks.tables import need, parse_arguments, write_table
from errata.agent.cli.main import main as errata_main
from errata.tools.data.read import SourceOptions, scan_rows
from errata.tools.data.write import write_problems
from errata.tools.records import Problem, from_jsonl, seed_of, to_jsonl

SEED = 20_241_121
MAP: dict[str, str | tuple[str, ...]] = {
    "id": "uid",
    "question": "ask",
    "choices": ("one", "two"),
    "target": "gold",
    "images": "picture",
    "skills": "tags",
}
FIELDS = [f"--field={key}={column if isinstance(column, str) else ','.join(column)}" for key, column in MAP.items()]
NAMES = ("good-1", "bad", "good-2")


class Case(NamedTuple):
    """One file with one damaged row."""

    format: str
    kind: str
    """What was done to the row."""
    file: Path
    options: tuple[str, ...]


class Account(NamedTuple):
    """What became of a case."""

    accepted: int
    reported: int
    behind: int
    """Rows behind a break that was reported, or in a file that was refused."""
    missing: int
    """Rows of which nothing was said."""
    traceback: str
    damaged_accepted: bool


def make_case(name: str, number: int, *, folder: Path) -> Case:
    """Case `number` of a format; the same for ever."""
    rng = random.Random(seed_of(SEED, name, number))
    rows = [MAKERS[name](row, rng) for row in NAMES]
    ending = _ending(name, number)
    columns = list(rows[0])
    by_text = rng.random() < 0.35 and ending != ".parquet"
    kinds = [rng.choice(VALUES) for _ in range(0 if by_text else rng.choice((1, 1, 2)))]
    for mutate in kinds:
        if rows[1]:
            mutate(rows[1], rng)
    file = folder / f"case{ending}"
    options = (f"--format={name}", *(FIELDS if name == "table" else ()))
    if ending == ".parquet":
        _write_parquet(rows, file, rng=rng)
        return Case(name, "+".join(kind.__name__ for kind in kinds), file, options)
    delimiter = {".csv": ",", ".tsv": "\t"}.get(ending)
    if delimiter:
        texts = [to_cells(row, columns=columns, delimiter=delimiter) for row in rows]
    else:
        texts = [to_json(row) for row in rows]
    data = [text.encode("utf-8", "surrogatepass") for text in texts]
    if by_text:
        mutate_text = rng.choice(TEXTS)
        data[1] = mutate_text(texts[1], rng)
        kinds = [mutate_text]  # type: ignore[list-item]
    file.write_bytes(_join(data, name=name, ending=ending, columns=columns, delimiter=delimiter))
    return Case(name, "+".join(kind.__name__ for kind in kinds), file, options)


def _ending(name: str, number: int) -> str:
    if name == "table":
        return (".csv", ".jsonl", ".parquet", ".tsv")[number % 4]
    return {"mmbench": ".tsv", "messages": ".jsonl", "errata": ".jsonl"}.get(name, ".json")


def _join(data: list[bytes], *, name: str, ending: str, columns: list[str], delimiter: str | None) -> bytes:
    if delimiter:
        return b"\n".join([delimiter.join(columns).encode(), *data]) + b"\n"
    if ending == ".jsonl":
        return b"\n".join(data) + b"\n"
    if name == "scienceqa_json":
        return b"{" + b",\n".join(b'"%s": %s' % (key.encode(), d) for key, d in zip(NAMES, data, strict=True)) + b"}"
    return b"[" + b",\n".join(data) + b"]\n"


def _write_parquet(rows: list[Row], file: Path, *, rng: random.Random) -> None:
    """Columns have one type: where the damaged value has another, all of the column become texts."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns: dict[str, Any] = {}
    for column in rows[0]:
        values = [row.get(column) for row in rows]
        if any(value is not None and not isinstance(value, str) for value in values):
            values = [v if v is None or isinstance(v, str) else json.dumps(v) for v in values]
        columns[column] = [v.encode("utf-8", "replace").decode() if isinstance(v, str) else v for v in values]
    pq.write_table(pa.table(columns), file)
    if rng.random() < 0.2:
        data = file.read_bytes()
        file.write_bytes(data[: rng.randrange(len(data))])


def judge(case: Case) -> Account:
    """Run the command line on a case, and look for every row."""
    out, err = io.StringIO(), io.StringIO()
    with ThreadPoolExecutor(1) as pool, redirect_stdout(out), redirect_stderr(err):
        future = pool.submit(errata_main, ["data", "check", str(case.file), "--json", *case.options])
        fault = future.exception()
    if fault is not None:
        return Account(0, 0, 0, 0, repr(fault), False)
    if future.result() == 2 and not out.getvalue():
        one_error = err.getvalue().count("\n") == 1 and json.loads(err.getvalue())["exit_code"] == 2
        return Account(0, 0, 3 if one_error else 0, 0 if one_error else 3, "", False)
    report = json.loads(out.getvalue())
    with ThreadPoolExecutor(1) as pool:
        after = pool.submit(use_accepted, case)
        fault = after.exception()
    if fault is not None:
        return Account(0, 0, 0, 0, repr(fault), False)
    accepted, broken = after.result()
    reported = len(report["findings"]) + sum(report["skipped"].values())
    missing = 0 if broken else max(0, 3 - report["accepted"] - reported)
    if not broken:
        named = {finding["id"] for finding in report["findings"]} | accepted
        missing = max(missing, sum(name not in named for name in ("good-1", "good-2")))
    if report["rows"] != report["accepted"] + reported:
        missing = max(1, missing)
    behind = max(0, 3 - report["accepted"] - reported) if broken else 0
    return Account(report["accepted"], reported, behind, missing, "", not report["findings"] and not report["skipped"])


def use_accepted(case: Case) -> tuple[set[str], bool]:
    """Ids of the rows that were accepted, after a way through records and training data and back; whether the
    file breaks off.
    """
    options = SourceOptions(fields=MAP if case.format == "table" else {})
    verdicts = list(scan_rows(case.file, format=case.format, options=options, pictures=case.file.parent / "kept"))
    problems = [problem for verdict in verdicts for problem in verdict.problems]
    assert list(from_jsonl(to_jsonl(problems), Problem)) == problems
    out = case.file.parent / "out.json"
    write_problems(problems, file=out, format="llava")
    back = [p for verdict in scan_rows(out, format="llava") for p in verdict.problems]
    assert [p.question for p in back] == [p.question for p in problems], "the written rows say something else"
    names = {str(p.metadata.get("conversation", p.id)) for p in problems}
    return names, any(verdict.fatal for verdict in verdicts)


def main() -> None:
    """All formats; docs/tables/rows.*"""
    arguments = parse_arguments(__doc__ or "")
    need("pyarrow", extra="scale")
    count = 60 if arguments.quick else 1000
    rows: list[list[object]] = []
    formats: dict[str, dict[str, object]] = {}
    kinds: Counter[str] = Counter()
    with tempfile.TemporaryDirectory(prefix="errata-rows-") as temporary:
        folder = Path(temporary)
        prepare_folder(folder)
        for name in MAKERS:
            total: Counter[str] = Counter()
            for number in range(count):
                case = make_case(name, number, folder=folder)
                account = judge(case)
                for key, value in account._asdict().items():
                    total[key] += int(bool(value) if isinstance(value, str) else value)
                if account.damaged_accepted:
                    kinds[case.kind] += 1
                if account.traceback or account.missing:
                    print(f"{name} {number} {case.kind}: {account}")
                    shutil.copy(case.file, Path(tempfile.gettempdir()) / f"rows-{name}-{number}{case.file.suffix}")
                case.file.unlink()
            formats[name] = {
                "mutated": count,
                "rows": 3 * count,
                "accepted": total["accepted"],
                "reported": total["reported"],
                "behind_a_reported_break": total["behind"],
                "damage_that_is_sound": total["damaged_accepted"],
                "unreported": total["missing"],
                "tracebacks": total["traceback"],
            }
            rows.append([name, *formats[name].values()])
    write_result(rows, formats, kinds, quick=arguments.quick)


def write_result(
    rows: list[list[object]], formats: dict[str, dict[str, object]], kinds: Counter[str], *, quick: bool
) -> None:
    """The table and its object."""
    result = {
        key: sum(int(str(found[key])) for found in formats.values()) for key in ("mutated", "unreported", "tracebacks")
    }
    columns = ("format", *(key.replace("_", " ") for key in next(iter(formats.values()))))
    write_table(
        "rows",
        title="Damaged rows",
        columns=columns,
        rows=rows,
        result={**result, "seed": SEED, "formats": copy.deepcopy(formats), "sound_by_kind": dict(kinds.most_common())},
        notes=[
            "Each case is a file of three rows whose middle one was damaged; `table` takes CSV, TSV, lines of JSON and",
            "Parquet in turn. A damaged row may hold more than one row afterwards (a line break in its middle), so",
            "accepted and reported can exceed the rows. `damage that is sound`: what was changed is still a good row",
            "(another word in a question), so all three were accepted.",
        ],
        quick=quick,
    )


if __name__ == "__main__":
    main()
