"""The words that the local teacher reads, and how many prefixes are packed into one sequence; needs no torch.

A request reads: question, `A option B option`, the stated prior (`<p60> B`), `<steps>`, then the steps. A letter
stands directly before its option, where a small model finds it by the option's words. What is asked is one token after
them: `<answer>` (which letter), `<check>` (is the last step right), `<index>` (which step is the first wrong one). In a
packed sequence these askers stand behind the trunk, each at the position that it would have had directly after its
prefix, and see that prefix and themselves alone: a tree of depth one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

LETTERS = "ABCDEFGH"
MAX_STEPS = 32
PRIORS = tuple(f"<p{percent}>" for percent in range(5, 101, 5))
SPECIALS = ("<pad>", "<unk>", "<end>", "<steps>", "<write>", "<answer>", "<check>", "<index>", "<right>", "<wrong>")
PLACES = (*(f"<s{i}>" for i in range(MAX_STEPS)), "<none>")
"""Answers to `<index>`."""


class Packed(NamedTuple):
    """One trunk with its askers: `ids` and `positions` int64 [L + B], `seen` bool [L + B, L + B] (row sees column)."""

    ids: NDArray[np.int64]
    positions: NDArray[np.int64]
    seen: NDArray[np.bool_]


def build_tokenizer() -> Any:
    """A word-level tokenizer over the words of the world; unknown words read `<unk>`."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    from errata.tools.world.student_files import collect_words

    entries = dict.fromkeys([*SPECIALS, *PRIORS, *PLACES, *LETTERS, *collect_words()])
    backend = Tokenizer(models.WordLevel({w: i for i, w in enumerate(entries)}, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token="<pad>",
        unk_token="<unk>",
        eos_token="<end>",
        additional_special_tokens=[*SPECIALS[3:], *PRIORS, *PLACES],
        model_max_length=2048,
    )


def head_text(question: str, *, options: Sequence[str], prior: Sequence[float]) -> str:
    """What stands before the steps: byte-identical for all prefixes of one rationale; 0 in `prior` is not stated."""
    shown = " ".join(f"{letter} {option}" for letter, option in zip(LETTERS, options, strict=False))
    stated = " ".join(f"{prior_token(p)} {LETTERS[i]}" for i, p in enumerate(prior) if p > 0)
    return f"{question} {shown} {stated}".rstrip()


def prior_token(share: float) -> str:
    """The nearest of 5 %, 10 %, ..., 100 %."""
    return PRIORS[min(max(round(share * 20), 1), 20) - 1]


def words_of(text: str) -> int:
    """Tokens of a text, counted as the tokenizer would split it."""
    return len(re.findall(r"<\w+>|\w+|[^\w\s]+", text))


def pack(trunk: Sequence[int], askers: Sequence[tuple[int, int]]) -> Packed:
    """The trunk causal; each asker (tokens of the trunk that it follows, token id) sees those and itself."""
    length, total = len(trunk), len(trunk) + len(askers)
    ids = np.array([*trunk, *(token for _, token in askers)], dtype=np.int64)
    after = np.array([place for place, _ in askers], dtype=np.int64)
    positions = np.concatenate([np.arange(length), after])
    seen = np.zeros((total, total), dtype=np.bool_)
    seen[:length, :length] = np.tri(length, dtype=np.bool_)
    seen[length:, :length] = np.arange(length)[None, :] < after[:, None]
    seen[np.arange(total), np.arange(total)] = True
    return Packed(ids, positions, seen)


def stack(packs: Sequence[Packed], *, pad: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """Pad on the right to [N, T], [N, T], [N, T, T]; padding sees itself alone."""
    width = max(len(p.ids) for p in packs)
    ids = np.full((len(packs), width), pad, dtype=np.int64)
    positions = np.zeros((len(packs), width), dtype=np.int64)
    seen = np.broadcast_to(np.eye(width, dtype=np.bool_), (len(packs), width, width)).copy()
    for row, packed in enumerate(packs):
        size = len(packed.ids)
        ids[row, :size], positions[row, :size] = packed.ids, packed.positions
        seen[row, :size, :size] = packed.seen
    return ids, positions, seen
