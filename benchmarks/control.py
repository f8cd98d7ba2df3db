"""Is the diagnosis worth anything? Targeted, random and uniform runs at equal budget, three seeds.

Each run is `errata run runs/configs/demo.yaml`; a seed changes the world, the training and the draw. Gains are on the
test split, read once per run. The interval of the ratio is a bootstrap over seeds and, within a seed, over problems.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.tables import ROOT, errata, last_object, parse_arguments, write_table
from errata.agent.loop.evaluate import attempts_file
from errata.agent.run.folder import RunFolder
from errata.tools.records import Attempt

CONFIG = ROOT / "runs" / "configs" / "demo.yaml"
DRAWS = 4000
TARGETED = "targeted"
LEAST = 1e-3
"""A gain of random samples below one of the 1,000 test questions counts as one, so that the ratio stays finite."""


class Measured(NamedTuple):
    """One run: the printed object and per-problem differences (after minus before) on the test split."""

    result: dict[str, object]
    differences: NDArray[np.float64]


def run_once(control: str, seed: int, *, runs: Path) -> Measured:
    """Run the loop once, `control` as TARGETED or a value of --control; raises RuntimeError when it fails."""
    name = f"{control}-{seed}"
    if (runs / f"{name}-1").exists():  # begun by an earlier call of this script
        done = errata("resume", f"{name}-1", "--runs-dir", runs, "--json")
    else:
        control_words = () if control == TARGETED else ("--control", control)
        words = ("run", CONFIG, f"data.world.seed={seed}", "--seed", seed, *control_words, "--name", name)
        done = errata(*words, "--runs-dir", runs, "--json")
    if done.returncode:
        raise RuntimeError(f"{name}: {done.stderr.strip().splitlines()[-1:]}")
    result = last_object(done.stdout)
    folder = RunFolder(runs / str(result["run"]))
    final = folder.read_json("result.json")
    before, after = (
        {a.problem: a.correct for a in folder.read_records(attempts_file(final[k], "test"), Attempt)}
        for k in ("base", "best")
    )
    return Measured(result, np.array([float(after[p]) - float(before[p]) for p in sorted(before)]))


def bootstrap_ratio(targeted: list[Measured], random: list[Measured]) -> tuple[float, float]:
    """Ratio of mean gains and the lower end of its 95 % interval; pairs of runs are resampled by seed."""
    rng = np.random.default_rng(0)
    ratio = mean_gain(targeted) / max(mean_gain(random), LEAST)
    draws = []
    for _ in range(DRAWS):
        seeds = rng.integers(len(targeted), size=len(targeted))
        tops, bottoms = [], []
        for seed in seeds:
            size = len(targeted[seed].differences)
            picked = rng.integers(size, size=size)
            tops.append(targeted[seed].differences[picked].mean())
            bottoms.append(random[seed].differences[picked].mean())
        draws.append(np.mean(tops) / max(float(np.mean(bottoms)), LEAST))
    return ratio, float(np.quantile(draws, 0.025))


def mean_gain(runs: list[Measured]) -> float:
    """Mean gain over runs, in fractions."""
    return float(np.mean([run.differences.mean() for run in runs]))


def main() -> None:
    """Run everything and write the table."""
    arguments = parse_arguments(__doc__ or "")
    seeds = [0] if arguments.quick else [0, 1, 2]
    controls = (TARGETED, "random") if arguments.quick else (TARGETED, "random", "uniform")
    runs = {c: [run_once(c, seed, runs=arguments.runs_dir) for seed in seeds] for c in controls}
    ratio, low = bootstrap_ratio(runs[TARGETED], runs["random"])
    rows = [
        [
            control,
            seed,
            *(
                run.result[k]
                for k in ("samples", "gate_before", "gate_after", "test_before", "test_after", "accepted", "seconds")
            ),
        ]
        for control, measured in runs.items()
        for seed, run in zip(seeds, measured, strict=True)
    ]
    result = {
        "ratio": ratio,
        "ratio_low": low,
        "seeds": seeds,
        **{f"gain_{c}": mean_gain(m) for c, m in runs.items()},
    }
    write_table(
        "control",
        title="Targeted against random and uniform samples at equal budget",
        columns=[
            "samples by",
            "seed",
            "samples",
            "gate before",
            "gate after",
            "test before",
            "test after",
            "accepted",
            "seconds",
        ],
        rows=rows,
        result=result,
        quick=arguments.quick,
        notes=[
            f"Ratio of mean test gains, targeted to random: {ratio:.2f} (95 % interval from {low:.2f}).",
            "`uniform` is the paper's top-K for every error; it uses the same diagnosis without a decision.",
        ],
    )


if __name__ == "__main__":
    main()
