"""An endpoint that fails three times in ten, in every way an endpoint can: the diagnosis comes out the same or stops.

Errors of the embedded world (falsified rationales) are diagnosed over a real socket by the chat teacher; the server's
answers are computed by the embedded teacher. A first run has no faults. Then, seed by seed, 30 % of all requests meet
one of all kinds of fault; a cap in calls, tokens or money stops each of these runs once, with up to 64 in flight;
after every stop it is resumed. Last, a run is killed ten times, and the server's own record says what was asked twice.
"""

from __future__ import annotations

import json
import multiprocessing
import random
import shutil
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.fault_diagnosis import HANG, diagnose
from benchmarks.tables import parse_arguments, write_table
from errata.tools.records import seed_of
from errata.tools.teacher.chat_options import PaidCaps
from errata.tools.teacher.paid_store import PaidStore
from tests.chat_server import ChatServer, messages_digest
from tests.world_answers import WorldAnswers

SHARE = 0.3
OFTEN = ("429", "429_after", "500", "503", "drop", "half", "half_json", "html", "truncated", "schema", "empty")
OFTEN += ("no_choices", "no_logprobs", "refusal", "filter", "filter_400", "tool", "rubbish", "blank")
SELDOM = ("timeout", "drip", "429_long", "too_long", "bad_request", "key", "quota", "quota_429", "model")
"""Kinds that take time, and kinds that end a stage at once: drawn less often than the others."""
WEIGHTS = [1.0] * len(OFTEN) + [0.06] * len(SELDOM)
SCHEMA_ONLY = {"truncated", "schema"}
"""Where no schema is asked for they are no fault, but another answer; half a body stands in for them."""
STOPS = 60
CAPS = (PaidCaps(calls=260), PaidCaps(tokens=120_000), PaidCaps(money=0.07))
"""In turn by seed."""
KILLS = 10
LATENCY = 0.1
"""Seconds of an answer, so that 64 requests are in flight at a time."""


class Measured(NamedTuple):
    """One seed, from its first start to its end."""

    seed: int
    same: bool
    stops: list[str]
    tracebacks: int
    over_cap: bool
    requests: int
    faults: int
    most_at_once: int


def draw_fault(seed: int) -> Callable[[int, dict[str, Any]], str | None]:
    """What goes wrong with the n-th request; the same in every run of this seed."""

    def fault(number: int, body: dict[str, Any]) -> str | None:
        rng = random.Random(seed_of("fault", seed, number))
        if rng.random() >= SHARE:
            return None
        kind = rng.choices((*OFTEN, *SELDOM), WEIGHTS)[0]
        asks_schema = "response_format" in body or "tools" in body
        kind = "half_json" if kind in SCHEMA_ONLY and not asks_schema else kind
        return "drop" if kind == "no_logprobs" and asks_schema else kind

    return fault


def run_seed(seed: int, *, errors: int, folder: Path, expected: str) -> Measured:
    """First against the caps with 64 in flight, then to the end, resumed after every stop."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    stops, tracebacks = [], 0
    server = ChatServer(
        WorldAnswers(), fault=draw_fault(seed), hang_seconds=HANG * 1.2, latency=LATENCY, keep_bodies=False
    )
    with server:
        over = False
        caps: PaidCaps | None = CAPS[seed % len(CAPS)]
        for _ in range(STOPS):
            try:
                outcome = diagnose(folder, url=server.url, errors=errors, concurrency=64 if caps else 24, caps=caps)
            except Exception:  # noqa: BLE001 - what is looked for
                traceback.print_exc()
                tracebacks += 1
                break
            if outcome.end == "done":
                break
            stops.append(outcome.line if outcome.end == "stop" else "cap")
            if outcome.end == "cap" and caps is not None:
                over, caps = over or exceeds(caps, server=server, folder=folder), None
        result = folder / "results.jsonl"
        same = result.exists() and result.read_text(encoding="utf-8") == expected
        faults = sum(bool(seen.fault) for seen in server.seen)
        return Measured(
            seed, same, stops, tracebacks, over, len(server.seen), faults, server.most_at_once
        )


def exceeds(caps: PaidCaps, *, server: ChatServer, folder: Path) -> bool:
    """Whether more was asked of the server than the caps allow: calls and tokens by its own record."""
    store = PaidStore(folder / "paid.sqlite")
    money = sum(line.money or 0.0 for line in store.lines("faults"))
    store.close()
    pairs = ((len(server.seen), caps.calls), (server.billed_tokens, caps.tokens), (money, caps.money))
    return any(limit is not None and used > limit for used, limit in pairs)


class Killed(NamedTuple):
    """The run that was killed again and again."""

    kills: int
    repaid: int
    tracebacks: int
    same: bool
    stored: list[int]
    """Replies on disk at each kill."""


def kill_run(*, errors: int, folder: Path, expected: str, kills: int) -> Killed:
    """Kill at random moments; count requests that reach the server although their reply was on disk."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    rng, context = random.Random(5), multiprocessing.get_context("forkserver")
    known: set[str] = set()
    repaid, stored, ends = 0, [], Counter[str]()
    server = ChatServer(WorldAnswers(), fault=draw_fault(100), hang_seconds=HANG * 1.2, latency=LATENCY)
    with server:
        while ends["done"] == 0 and sum(ends.values()) < STOPS:
            first = len(server.seen)
            process = context.Process(target=work, args=(folder, server.url, errors))
            process.start()
            while len(stored) < kills and process.is_alive() and len(server.seen) == first:
                time.sleep(0.01)
            process.join(rng.uniform(0.2, 1.5) if len(stored) < kills else None)
            if process.is_alive():
                process.kill()
                process.join()
                time.sleep(HANG)  # what was in flight arrives
            repaid += sum(seen.asked in known for seen in server.seen[first:])
            known = stored_requests(folder / "paid.sqlite")
            if process.exitcode == -9:
                stored.append(len(known))
            ends[{0: "done", 2: "stop", -9: "killed"}.get(process.exitcode or 0, "traceback")] += 1
    result = folder / "results.jsonl"
    same = result.exists() and result.read_text(encoding="utf-8") == expected
    return Killed(len(stored), repaid, ends["traceback"], same, stored)


def work(folder: Path, url: str, errors: int) -> None:
    """The process that is killed."""
    sys.exit({"done": 0}.get(diagnose(folder, url=url, errors=errors).end, 2))


def stored_requests(path: Path) -> set[str]:
    """Digests of the conversations that have a reply on disk."""
    store = PaidStore(path)
    found = {messages_digest(json.loads(text)["messages"]) for text in store.requests()}
    store.close()
    return found


def main() -> None:
    """Run everything and write the table."""
    arguments = parse_arguments(__doc__ or "")
    errors, seeds, kills = (60, range(3), 4) if arguments.quick else (500, range(10), KILLS)
    root, began = arguments.runs_dir / "faults", time.monotonic()
    shutil.rmtree(root, ignore_errors=True)
    (root / "calm").mkdir(parents=True)
    with ChatServer(WorldAnswers(), keep_bodies=False) as server:
        calm = diagnose(root / "calm", url=server.url, errors=errors)
        asked = len(server.seen)
    assert calm.end == "done", calm.line
    expected = (root / "calm" / "results.jsonl").read_text(encoding="utf-8")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["benchmarks.fault_diagnosis", "tests.world_answers", "langchain_openai"])
    with ProcessPoolExecutor(3, mp_context=context) as pool:
        waiting = [
            pool.submit(run_seed, seed, errors=errors, folder=root / f"seed-{seed}", expected=expected)
            for seed in seeds
        ]
        killed = kill_run(errors=errors, folder=root / "killed", expected=expected, kills=kills)
        runs = [future.result() for future in waiting]
    report(runs, killed, errors=errors, asked=asked, seconds=time.monotonic() - began, quick=arguments.quick)


def report(
    runs: list[Measured], killed: Killed, *, errors: int, asked: int, seconds: float, quick: bool
) -> None:
    """Write docs/tables/faults.*."""
    result = {
        "errors": errors,
        "runs": len(runs),
        "same_result": sum(run.same for run in runs),
        "clean_stops": sum(len(run.stops) for run in runs),
        "tracebacks": sum(run.tracebacks for run in runs) + killed.tracebacks,
        "over_cap": sum(run.over_cap for run in runs),
        "cap_stops": sum(run.stops.count("cap") for run in runs),
        "requests": sum(run.requests for run in runs),
        "fault_share": sum(run.faults for run in runs) / sum(run.requests for run in runs),
        "requests_without_faults": asked,
        "kills": killed.kills,
        "repaid": killed.repaid,
        "same_after_kills": killed.same,
        "seconds": round(seconds, 1),
    }
    rows = [
        [r.seed, "yes" if r.same else "NO", r.requests, r.faults, len(r.stops), r.most_at_once, r.tracebacks]
        for r in runs
    ]
    kinds = Counter(line.split(":")[1].split(" from ")[0].strip() for r in runs for line in r.stops if line != "cap")
    write_table(
        "faults",
        title="An endpoint that fails three times in ten",
        columns=["seed", "same result", "requests", "faults", "clean stops", "most in flight", "tracebacks"],
        rows=rows,
        result=result,
        quick=quick,
        notes=[
            f"{errors} errors of the embedded world, located and tagged by the chat teacher over a socket; {asked} "
            "requests where nothing fails. Each stop is one line, after which the run was resumed until it was done.",
            f"Stops by kind, the cap of each run left out: {', '.join(f'{k} {n}' for k, n in sorted(kinds.items()))}.",
            f"Killed {killed.kills} times with {', '.join(map(str, killed.stored))} replies on disk: {killed.repaid} "
            f"requests with a stored reply were sent again; the result was {'' if killed.same else 'NOT '}the same.",
        ],
    )


if __name__ == "__main__":
    main()
