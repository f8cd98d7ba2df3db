"""What `errata init` finds in a model, data, a pool and a teacher, and the settings file that it writes."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from errata.agent.settings.places import CONFIGS
from errata.tools.data.read import scan_rows
from errata.tools.data.read.detect import detect_format
from errata.tools.errors import OperatorError

LOOKED_AT = 2_000
"""Rows of a pool that are looked at; data are read whole."""
SHARES = {"diagnosis": 0.4, "gate": 0.3, "test": 0.3}
"""Parts of the data where a pool is given."""
SHARES_WITH_POOL = {"diagnosis": 0.3, "gate": 0.15, "test": 0.25, "pool": 0.3}
"""Parts of the data where there is no other pool."""
LEAST_QUESTIONS = 8
LARGE = 10**9
"""Bytes of weights above which a micro batch of 1 is proposed."""


class DataFound(NamedTuple):
    """What a file of questions holds."""

    path: Path
    format: str
    guessed: str
    """How the format was found."""
    questions: int
    text_only: int
    """Questions without a picture."""
    with_skills: int
    bad: int
    left_out: int
    whole: bool
    """Whether every row was looked at."""

    @property
    def text(self) -> str:
        """One line for a person."""
        rows = f"{self.questions:,} questions" if self.whole else f"{self.questions:,} questions in the first rows"
        rest = [f"{self.text_only:,} without a picture", f"{self.with_skills:,} with skills"]
        rest += [f"{self.bad:,} bad rows"] if self.bad else []
        rest += [f"{self.left_out:,} left out by the format"] if self.left_out else []
        return f"{self.path}: format {self.format} ({self.guessed}); {rows}, {', '.join(rest)}"


class ModelFound(NamedTuple):
    """What a model's folder holds."""

    path: Path
    family: str
    weights: int
    """Bytes of the safetensors files."""
    fits: str

    @property
    def text(self) -> str:
        """One line for a person."""
        size = f"{self.weights / 2**30:.1f} GiB" if self.weights > LARGE else f"{self.weights / 2**20:.0f} MiB"
        return f"{self.family}, {size} of weights; {self.fits}"

    @property
    def micro_batch(self) -> int:
        """Samples of one forward pass in training: few for a large model, so that they fit."""
        return 1 if self.weights > LARGE else 8


class TeacherFound(NamedTuple):
    """An endpoint and a model behind it."""

    url: str
    model: str
    key_env: str | None


class Part(NamedTuple):
    """One split's source in the settings file."""

    path: str
    format: str
    shuffle: bool
    offset: int
    limit: int | None
    why: str

    def placed_in(self, folder: Path) -> Part:
        """The same part; its path is written as seen from `folder`."""
        return self._replace(path=place_from(Path(self.path), folder))


def inspect_data(path: Path, *, whole: bool) -> DataFound:
    """Read the rows, all of them or the first `LOOKED_AT`. Raises OperatorError for a file that cannot be used."""
    format = detect_format(path).format
    verdicts = scan_rows(path, format=format, verify="decode" if whole else "exists")
    seen = list(verdicts if whole else islice(verdicts, LOOKED_AT))
    problems = [problem for verdict in seen for problem in verdict.problems]
    errors = [verdict.error for verdict in seen if verdict.error is not None]
    if not problems:
        first = f"; the first: {errors[0].what}" if errors else ""
        remedy = f"see what is wrong with: errata data check {path}"
        raise OperatorError(f"no usable question in {len(seen)} rows{first}", where=str(path), remedy=remedy)
    return DataFound(
        path=path,
        format=format,
        guessed="found from the columns of its first row",
        questions=len(problems),
        text_only=sum(not problem.images for problem in problems),
        with_skills=sum(bool(problem.skills) for problem in problems),
        bad=len(errors),
        left_out=sum(verdict.skip is not None for verdict in seen),
        whole=whole or len(seen) < LOOKED_AT,
    )


def inspect_model(folder: Path) -> ModelFound:
    """Family and size by the files alone; nothing is loaded. Raises OperatorError where there is no such model."""
    from errata.tools.student.source import check_base

    if not folder.is_dir():
        remedy = "download the model and name its folder"
        raise OperatorError("no such folder", where="--model", value=str(folder), remedy=remedy)
    check_base(str(folder))
    family = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("model_type", "unknown family")
    weights = sum(path.stat().st_size for path in folder.glob("*.safetensors"))
    if not weights:
        remedy = "save the model with safe_serialization=True"
        raise OperatorError("no safetensors file with weights", where=str(folder), remedy=remedy)
    return ModelFound(folder, str(family), weights, describe_room(weights))


def describe_room(weights: int) -> str:
    """Whether the weights fit the first GPU, or that there is none."""
    import torch

    if not torch.cuda.is_available():
        return "there is no GPU here, so that it runs on the processor"
    room = torch.cuda.get_device_properties(0).total_memory
    name = f"{torch.cuda.get_device_name(0)} of {room / 2**30:.0f} GiB"
    return f"they fit {name}" if weights < 0.9 * room else f"they do not fit {name}"


def propose_parts(data: DataFound, pool: DataFound | None) -> dict[str, Part]:
    """The four splits. Raises OperatorError where there are too few questions for them."""
    shares = SHARES if pool else SHARES_WITH_POOL
    if data.questions < LEAST_QUESTIONS:
        what = f"{data.questions} questions are too few for diagnosis, gate and test"
        remedy = f"give at least {LEAST_QUESTIONS}; some hundreds tell more"
        raise OperatorError(what, where=str(data.path), remedy=remedy)
    parts: dict[str, Part] = {}
    whys = {
        "diagnosis": "its errors are read",
        "gate": "decides whether a checkpoint is kept",
        "test": "read once, at the end",
        "pool": "training samples are taken from here; a pool of its own can be larger",
    }
    offset = 0
    for split, share in shares.items():
        last = split == list(shares)[-1]
        limit = None if last else max(2, round(share * data.questions))
        parts[split] = Part(str(data.path), data.format, True, offset, limit, whys[split])
        offset += limit or 0
    if pool is not None:
        parts["pool"] = Part(str(pool.path), pool.format, False, 0, None, "training samples are taken from here")
    return parts


def render_settings(
    *,
    data: DataFound | None,
    pool: DataFound | None,
    model: ModelFound | None,
    teacher: TeacherFound | None,
    folder: Path,
) -> str:
    """The commented settings file for this `folder`; without data, the settings of the embedded world."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    if data is None:
        return (CONFIGS / "demo.yaml").read_text(encoding="utf-8")
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template("errata.yaml.j2").render(
        data=data,
        parts={split: part.placed_in(folder) for split, part in propose_parts(data, pool).items()},
        model=model,
        model_path=place_from(model.path, folder) if model else "",
        micro_batch=model.micro_batch if model else 8,
        teacher=teacher,
    )


def place_from(path: Path, folder: Path) -> str:
    """The path as seen from `folder`: relative inside it, absolute elsewhere."""
    full, base = path.resolve(), folder.resolve()
    return str(full.relative_to(base)) if full.is_relative_to(base) else str(full)
