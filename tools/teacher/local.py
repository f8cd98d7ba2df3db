"""A teacher that is a small causal language model on this machine (transformers, no server).

It reads the text of `local_text` and answers through the probabilities of single tokens: a letter, right or
wrong, the place of a step. The prefixes of one rationale that are asked for in one call share one forward pass: the
trunk once, an asker behind every prefix, and a mask that lets each see its own prefix alone. `packed=False` reads every
prefix by a pass of its own, which is what the packed pass is held against.

The model that is shipped was trained on the embedded world's words (`local_train`). Any folder with a causal language
model whose tokenizer has the same special tokens does. Words it does not know read `<unk>`: about other text it can say
nothing, and its replies there show that the plumbing holds and no more.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from errata.tools.errors import OperatorError
from errata.tools.records import Record
from errata.tools.teacher.annotations import AnnotationsTeacher
from errata.tools.teacher.local_text import LETTERS, PLACES, Packed, head_text, pack, stack
from errata.tools.teacher.protocol import (
    JudgeReply,
    JudgeRequest,
    MissingSkillRequest,
    Operation,
    OptionReply,
    OptionRequest,
    ProposeReply,
    ProposeRequest,
    RationaleReply,
    RationaleRequest,
    RequiredSkillsRequest,
    SkillReply,
    StepCheckReply,
    StepCheckRequest,
    StepIndexReply,
    StepIndexRequest,
)

SHIPPED = Path(__file__).parent / "local_model"
LONG = 256
"""Tokens from which a sequence is read at once, without waiting for a batch: masks grow with the square."""


class LocalTeacherOptions(Record):
    """Where the model lies and how it is read."""

    folder: str | None = None
    """Folder of a causal language model; None is the shipped one."""
    packed: bool = True
    """All prefixes of a rationale in one pass."""
    batch: int = Field(default=32, ge=1)
    """Rationales a pass."""
    longest: int = Field(default=96, ge=1)
    """Tokens of a written rationale."""


class LocalTeacher:
    """Satisfies `Teacher` and `ReadsSteps`; skills are the dataset's own, judging and proposing it cannot."""

    name = "local"

    def __init__(self, options: LocalTeacherOptions | None = None) -> None:
        self.options = options or LocalTeacherOptions()
        self._folder = Path(self.options.folder) if self.options.folder else SHIPPED
        if not (self._folder / "config.json").is_file():
            remedy = "train it with `python -m tools.teacher.local_train FOLDER` and set teacher.local.folder"
            raise OperatorError(
                "there is no language model in this folder",
                where="teacher.local.folder",
                value=str(self._folder),
                remedy=remedy,
            )
        names: set[Operation] = {"option_probabilities", "check_step", "name_step", "write_rationale"}
        if self.options.packed:
            names.add("packed_prefixes")
        self._labels = AnnotationsTeacher()
        self.operations: frozenset[Operation] = self._labels.operations | names

    def option_probabilities(self, requests: Sequence[OptionRequest]) -> list[OptionReply]:
        """Letters after `<answer>`, renormalised over the options; the mass is what all letters asked for got."""
        heads = [head_text(r.question, options=r.options, prior=r.prior) for r in requests]
        spreads = self._ask([(h, r.steps, "<answer>") for h, r in zip(heads, requests, strict=True)])
        replies = []
        for request, spread in zip(requests, spreads, strict=True):
            shares = spread[self._ids(LETTERS[: len(request.options)])]
            mass = float(shares.sum())
            if not mass:
                shares, mass = np.ones_like(shares), 0.0
            shares = shares / shares.sum()
            replies.append(OptionReply(probabilities=tuple(shares.tolist()), mass=min(mass, 1.0)))
        return replies

    def check_step(self, requests: Sequence[StepCheckRequest]) -> list[StepCheckReply]:
        """Whether `<right>` is likelier than `<wrong>` after `<check>`."""
        asked = [(head_text(r.question, options=r.options, prior=()), r.steps, "<check>") for r in requests]
        right, wrong = self._ids(("<right>", "<wrong>"))
        return [
            StepCheckReply(correct=bool(spread[right] >= spread[wrong]) if spread.any() else None)
            for spread in self._ask(asked)
        ]

    def name_step(self, requests: Sequence[StepIndexRequest]) -> list[StepIndexReply]:
        """The likeliest place after `<index>`; beside a reference the first step that differs in a word."""
        outright = [i for i, r in enumerate(requests) if not r.reference]
        asked = [
            (self._told_head(r.question, options=r.options, gold=r.gold), r.steps, "<index>")
            for r in (requests[i] for i in outright)
        ]
        said = {
            i: self._place(s, steps=len(requests[i].steps)) for i, s in zip(outright, self._ask(asked), strict=True)
        }
        return [
            StepIndexReply(step=said[i] if i in said else _first_difference(request.steps, request.reference))
            for i, request in enumerate(requests)
        ]

    def write_rationale(self, requests: Sequence[RationaleRequest]) -> list[RationaleReply]:
        """Greedy decoding after `<write>`; the prompt holds the gold answer. It reads no picture."""
        from errata.tools.steps import split_steps

        replies = []
        for request in requests:
            problem = request.problem
            options = problem.choices or (problem.target,)
            text = self._write(self._told_head(problem.question, options=options, gold=problem.target_text))
            replies.append(RationaleReply(steps=tuple(step.text for step in split_steps(text))))
        return replies

    def missing_skill(self, requests: Sequence[MissingSkillRequest]) -> list[SkillReply]:
        """It names no skills of its own: those that the dataset is labelled with."""
        return self._labels.missing_skill(requests)

    def required_skills(self, requests: Sequence[RequiredSkillsRequest]) -> list[SkillReply]:
        """As the dataset is labelled."""
        return self._labels.required_skills(requests)

    def judge(self, requests: Sequence[JudgeRequest]) -> list[JudgeReply]:
        """It cannot see: raises OperatorError."""
        del requests
        _refuse("judge")

    def propose(self, requests: Sequence[ProposeRequest]) -> list[ProposeReply]:
        """It makes no samples: raises OperatorError."""
        del requests
        _refuse("propose")

    @cached_property
    def _tokenizer(self) -> Any:
        from transformers import AutoTokenizer

        return AutoTokenizer.from_pretrained(self._folder)

    @cached_property
    def _model(self) -> Any:
        import torch
        from transformers import AutoModelForCausalLM

        return AutoModelForCausalLM.from_pretrained(self._folder, dtype=torch.float32).eval()

    def _ids(self, tokens: Iterable[str]) -> list[int]:
        return [self._tokenizer.convert_tokens_to_ids(token) for token in tokens]

    def _encode(self, texts: Sequence[str]) -> list[list[int]]:
        ids: list[list[int]] = self._tokenizer(list(texts), add_special_tokens=False)["input_ids"]
        return ids

    def _told_head(self, question: str, *, options: Sequence[str], gold: str) -> str:
        return head_text(question, options=options, prior=[float(option == gold) for option in options])

    def _place(self, spread: NDArray[np.float32], *, steps: int) -> int | None:
        if not spread.any():
            return None
        allowed = [*range(min(steps, len(PLACES) - 1)), len(PLACES) - 1]
        best = allowed[int(np.argmax(spread[self._ids(PLACES[i] for i in allowed)]))]
        return -1 if best == len(PLACES) - 1 else best

    def _ask(self, asked: Sequence[tuple[str, Sequence[str], str]]) -> list[NDArray[np.float32]]:
        """Probabilities over the vocabulary for each (head, steps, asker), in order.

        One beyond the model's length has zeros: no mass, unscored.

        Neighbours that read prefixes of one rationale are packed into one sequence.
        """
        groups: list[list[int]] = []
        for _, members in groupby(range(len(asked)), key=lambda i: asked[i][0] if self.options.packed else i):
            group: list[int] = []
            for i in members:
                if group and not _extends(asked[i][1], asked[group[-1]][1]):
                    groups.append(group)
                    group = []
                group.append(i)
            groups.append(group)
        found: dict[int, NDArray[np.float32]] = {}
        batch: list[tuple[list[int], Packed]] = []
        for group in groups:
            kept, packed = self._pack(asked, group)
            batch += [(kept, packed)] if kept else []
            if len(batch) >= (self.options.batch if self.options.packed else 1) or len(packed.ids) > LONG:
                self._take(batch, found)
        self._take(batch, found)
        nothing = np.zeros(len(self._tokenizer), dtype=np.float32)
        return [found.get(i, nothing) for i in range(len(asked))]

    def _take(self, batch: list[tuple[list[int], Packed]], found: dict[int, NDArray[np.float32]]) -> None:
        """Read a batch into `found` and empty it."""
        if batch:
            spreads = self._read([(packed, len(kept)) for kept, packed in batch])
            for (kept, _), rows in zip(batch, spreads, strict=True):
                found.update(zip(kept, rows, strict=True))
            batch.clear()

    def _pack(self, asked: Sequence[tuple[str, Sequence[str], str]], group: Sequence[int]) -> tuple[list[int], Packed]:
        """One group as a sequence, and the places of those whose prefix the model is long enough for."""
        head, longest = asked[group[0]][0], max((asked[i][1] for i in group), key=len)
        parts = self._encode([f"{head} <steps>", *longest])
        ends = np.cumsum([len(part) for part in parts]).tolist()
        kept = [i for i in group if ends[len(asked[i][1])] < self._tokenizer.model_max_length]
        askers = [(ends[len(asked[i][1])], self._ids([asked[i][2]])[0]) for i in kept]
        trunk = [token for part in parts for token in part][: max((end for end, _ in askers), default=0)]
        return kept, pack(trunk, askers)

    def _read(self, packs: Sequence[tuple[Packed, int]]) -> list[NDArray[np.float32]]:
        """One forward pass; per sequence float32 [askers, vocabulary], probabilities."""
        import torch

        ids, positions, seen = stack([p for p, _ in packs], pad=self._tokenizer.pad_token_id)
        with torch.inference_mode():
            hidden = self._model.model(
                input_ids=torch.from_numpy(ids),
                attention_mask=torch.from_numpy(seen)[:, None],
                position_ids=torch.from_numpy(positions),
                use_cache=False,
            ).last_hidden_state
            rows = [hidden[row, len(p.ids) - count : len(p.ids)] for row, (p, count) in enumerate(packs)]
            shares = self._model.lm_head(torch.cat(rows)).float().softmax(-1).numpy()
        ends = np.cumsum([count for _, count in packs])[:-1]
        return list(np.split(shares, ends))

    def _write(self, head: str) -> str:
        """Greedy decoding of one text; words are joined by spaces, none before punctuation."""
        import torch

        (ids,) = self._encode([f"{head} <write>"])
        with torch.inference_mode():
            out = self._model.generate(
                input_ids=torch.tensor([ids]),
                attention_mask=torch.ones(1, len(ids), dtype=torch.long),
                max_new_tokens=self.options.longest,
                do_sample=False,
            )
        words = [w for w in self._tokenizer.convert_ids_to_tokens(out[0, len(ids) :]) if w not in ("<end>", "<pad>")]
        return "".join(word if word in ".,?!" else f" {word}" for word in words).strip()


def _extends(steps: Sequence[str], before: Sequence[str]) -> bool:
    """Whether one is the beginning of the other."""
    size = min(len(steps), len(before))
    return tuple(steps[:size]) == tuple(before[:size])


def _first_difference(steps: Sequence[str], reference: Sequence[str]) -> int:
    """The first step whose words differ from those of the reference at its place; -1 for none."""
    for i, step in enumerate(steps):
        if i >= len(reference) or step.split() != reference[i].split():
            return i
    return -1


def _refuse(operation: Operation) -> NoReturn:
    what = f"the local teacher reads and does not write freely; it cannot do {operation}"
    remedy = "choose the teacher world or chat, or leave out the tool that asks"
    raise OperatorError(what, where="teacher", value="local", remedy=remedy)
