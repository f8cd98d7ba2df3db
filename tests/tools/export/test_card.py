"""The model card: metadata that the hub takes, tables that stay tables, and what is left out is counted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from errata.tools.disk_space import check_space, free_bytes, say_bytes
from errata.tools.errors import OperatorError
from errata.tools.export.base import BaseModel, describe_base
from errata.tools.export.card import (
    SHOWN,
    Count,
    Figure,
    Lineage,
    ModelCard,
    flatten_values,
    front_matter,
    render_card,
    top_counts,
)
from errata.tools.export.merged import check_merge
from errata.tools.records import Interval

COMMIT = "0123456789abcdef0123456789abcdef01234567"


Fields = dict[str, Any]


def make_card(*, base: Fields | None = None, lineage: Fields | None = None, **changes: Any) -> ModelCard:
    """A card with as little as there can be."""
    known: dict[str, Any] = {"folder": "/m", "name": "o/m", "hub": "o/m", "revision": None, "family": "llava"}
    known |= {"config_sha256": "f" * 64, "licence": None, "weight_bytes": 8}
    counts: dict[str, Any] = {"lessons": 2, "traced": 2, "replay": None, "datasets": ()}
    counts |= {key: () for key in ("routes", "skills", "iterations", "sources", "licences", "skipped")}
    fields: dict[str, Any] = {"title": "t", "run": "r-1", "checkpoint": "1-a", "control": "none", "gate": "G."}
    fields |= {"sentences": (), "figures": (), "controls": (), "by_skill": (), "skill_split": "gate", "recipe": ()}
    fields |= {"training": (), "parity": None, "prompt": "p", "example": "q?", "image_first": True, "made_with": ()}
    fields |= {"base": BaseModel(**known | (base or {})), "lineage": Lineage(**counts | (lineage or {}))}
    return ModelCard(**fields | changes)


def licences(*counts: tuple[str, int]) -> dict[str, Any]:
    return {"licences": tuple(Count(name=name, count=count) for name, count in counts)}


@pytest.mark.parametrize(
    ("base", "data", "expected"),
    [
        ("Apache-2.0", [("apache-2.0", 3)], "apache-2.0"),
        ("apache-2.0", [("MIT", 3)], "other"),
        ("apache-2.0", [("apache-2.0", 3), ("not stated", 1)], "other"),
        (None, [("not stated", 1)], "other"),
        ("my own", [("my own", 3)], "other"),
    ],
)
def test_one_licence_only_where_base_and_all_data_share_it(base: str | None, data: list[Any], expected: str) -> None:
    card = make_card(base={"licence": base}, lineage=licences(*data))
    assert yaml.safe_load(front_matter(card, form="adapter"))["license"] == expected


def test_metadata_name_base_and_datasets_of_the_hub_only() -> None:
    card = make_card(lineage={"datasets": ("derek/pool",)})
    front = yaml.safe_load(front_matter(card, form="merged"))
    assert (front["base_model"], front["base_model_relation"]) == ("o/m", "finetune")
    assert (front["datasets"], front["library_name"]) == (["derek/pool"], "transformers")
    front = yaml.safe_load(front_matter(make_card(base={"hub": None, "name": "/m"}), form="adapter"))
    assert "base_model" not in front
    assert "datasets" not in front


def test_a_card_without_figures_says_so() -> None:
    text = render_card(make_card(), form="adapter", place="/x")
    assert "this checkpoint answered no questions" in text
    assert "general data against forgetting, whose number is not known any more" in text
    assert "Not made: it was not checked" in text
    assert '"content": [picture, text]' in text
    text = render_card(make_card(image_first=False), form="adapter", place="/x")
    assert '"content": [text, picture]' in text


def test_a_control_and_lost_records_are_said() -> None:
    text = render_card(make_card(control="random", lineage={"traced": 1}), form="merged", place="/x")
    assert "**by the control `random`, without a diagnosis**" in text
    assert "The records of the run hold 1 of the 2; the tables count these." in text
    assert "The records of the run hold" not in render_card(make_card(), form="merged", place="/x")


def test_figures_are_in_percent_and_points() -> None:
    known = {"split": "gate", "before": (0.5, 0.4, 0.6), "after": (0.75, 0.7, 0.8), "gain": (0.25, -0.01, 0.5)}
    parts = {k: Interval(value=v[0], low=v[1], high=v[2]) for k, v in known.items() if isinstance(v, tuple)}
    figure = Figure(split="gate", total=8, **parts)
    text = render_card(make_card(figures=(figure,)), form="adapter", place="/x")
    assert "| gate | 50.0 % (40.0 to 60.0) | 75.0 % (70.0 to 80.0) | +25.0 (-1.0 to +50.0) | 8 |" in text
    text = render_card(make_card(figures=(figure.model_copy(update={"gain": None}),)), form="adapter", place="/x")
    assert "| not compared | 8 |" in text


def test_text_of_others_stays_in_its_cell() -> None:
    counts = (Count(name="a | b\n# <b>title", count=3),)
    text = render_card(make_card(lineage={"skills": counts}), form="adapter", place="/x")
    assert "| a \\| b # &lt;b>title | 3 |\n" in text


def test_long_tables_end_with_the_sum_of_the_rest() -> None:
    counts = tuple(Count(name=str(n), count=2) for n in range(SHOWN + 3))
    shown = top_counts(counts)
    assert len(shown) == SHOWN + 1
    assert shown[-1] == Count(name="3 others", count=6)
    assert top_counts(counts[:SHOWN]) == counts[:SHOWN]


def test_values_are_flat_and_none_is_lost() -> None:
    nested = {"a": {"b": 1, "c": {"d": 0.125}}, "e": None, "f": ["x", 2], "g": [], "h": {}, "i": True}
    pairs = dict(flatten_values(nested))
    assert pairs == {"a.b": "1", "a.c.d": "0.125", "e": "none", "f": "x, 2", "g": "none", "h": "{}", "i": "yes"}


def test_a_folder_of_the_cache_tells_the_name_and_the_commit(tmp_path: Path) -> None:
    folder = tmp_path / "models--llava-hf--llava-1.5-7b-hf" / "snapshots" / COMMIT
    folder.mkdir(parents=True)
    (folder / "config.json").write_text('{"model_type": "llava", "_name_or_path": "some/other"}')
    found = describe_base(str(folder))
    assert (found.hub, found.revision, found.family) == ("llava-hf/llava-1.5-7b-hf", COMMIT, "llava")
    assert describe_base(str(folder), name="me/tuned").revision is None, "the commit is of another repository"
    (folder / "README.md").write_text("---\nlicense: llama2\n---\n# Model\n")
    assert describe_base(str(folder)).licence == "llama2"


UNSTATED = ("# no front matter\n---\nlicense: mit\n---\n", "---\n: [\n---\n", "---\ntags: [a]\n---\n", "--")


@pytest.mark.parametrize("card", UNSTATED)
def test_a_base_without_a_stated_licence(card: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "README.md").write_text(card)
    assert describe_base(str(tmp_path)).licence is None
    assert describe_base(str(tmp_path)).hub is None


def test_room_is_asked_for_before_weights_are_written(tmp_path: Path) -> None:
    (tmp_path / "adapter_model.safetensors").write_bytes(b"x")
    large = make_card(base={"weight_bytes": free_bytes(tmp_path)}).base
    with pytest.raises(OperatorError, match=r"the merged model with its adapter needs [\d.]+ [kMGT]B and"):
        check_merge(tmp_path, to=tmp_path / "new" / "out", base=large)
    check_merge(tmp_path, to=tmp_path / "new" / "out", base=make_card().base)
    with pytest.raises(OperatorError, match="no safetensors weights"):
        check_merge(tmp_path, to=tmp_path, base=make_card(base={"weight_bytes": 0}).base)
    check_space(tmp_path, need=1, what="a file")


def test_bytes_as_text() -> None:
    shown = {0: "0 B", 999: "999 B", 1000: "1.0 kB", 1_000_000: "1.0 MB", 14_100_000_000: "14.1 GB"}
    shown |= {2 * 10**12: "2.0 TB", 3 * 10**15: "3000.0 TB"}
    assert {n: say_bytes(n) for n in shown} == shown
