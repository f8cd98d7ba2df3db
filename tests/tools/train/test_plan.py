import math

import pytest

from errata.tools.train.plan import learning_rate_at, plan_epoch


def test_every_sample_once_and_the_order_follows_seed_and_epoch():
    lengths = [40 + (i * 37) % 90 for i in range(101)]
    plan = plan_epoch(lengths, batch_size=8, seed=4, epoch=2)
    assert sorted(i for batch in plan for i in batch) == list(range(101))
    assert all(len(batch) <= 8 for batch in plan)
    assert plan == plan_epoch(lengths, batch_size=8, seed=4, epoch=2)
    assert plan != plan_epoch(lengths, batch_size=8, seed=4, epoch=3)


def test_sorting_within_stretches_saves_padding():
    lengths = [40 + (i * 37) % 90 for i in range(512)]

    def padded(plan: list[list[int]]) -> int:
        return sum(max(lengths[i] for i in batch) * len(batch) for batch in plan)

    plain = [list(range(i, i + 32)) for i in range(0, 512, 32)]
    assert padded(plan_epoch(lengths, batch_size=32, seed=0, epoch=0)) < 0.85 * padded(plain)


@pytest.mark.parametrize("schedule", ["cosine", "linear", "constant"])
def test_schedule_warms_up_to_one_and_falls(schedule: str):
    factors = [learning_rate_at(i, steps=100, warmup=0.1, schedule=schedule) for i in range(100)]
    assert factors[:10] == pytest.approx([(i + 1) / 10 for i in range(10)])
    assert factors[10] == 1.0
    assert factors[10:] == sorted(factors[10:], reverse=True)
    assert schedule == "constant" or factors[-1] < 0.02
    assert all(math.isfinite(f) and f > 0 for f in factors)
