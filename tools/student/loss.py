"""The loss of the answers: words are computed from the states of the answers' positions only.

A vocabulary of 150,000 words makes a full table of logits the largest tensor of a training: for 730 tokens a sample of
which 60 are the answer, twelve times what is needed. Long tables are computed in pieces, forward and backward.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.utils.checkpoint import checkpoint

from errata.tools.student.encode import IGNORED

PIECE = 2048
"""Answer tokens whose logits are held at the same time."""


def answer_loss(model: Any, batch: dict[str, Any], labels: torch.Tensor) -> torch.Tensor:
    """Summed cross entropy of the answers' tokens, float32. `labels` has shape (rows, tokens), unshifted.

    `model` is a transformers model for conditional generation: states from `model.model`, words from `model.lm_head`.
    """
    states = model.model(**batch, use_cache=False).last_hidden_state[:, :-1]
    wanted = labels[:, 1:]
    picked = wanted != IGNORED
    states, targets = states[picked], wanted[picked]
    if len(targets) <= PIECE:
        return _piece_loss(model, states, targets)
    total: torch.Tensor = states.new_zeros((), dtype=torch.float32)
    for start in range(0, len(targets), PIECE):
        piece = slice(start, start + PIECE)
        part = checkpoint(_piece_loss, model, states[piece], targets[piece], use_reentrant=False)
        total = total + part
    return total


def _piece_loss(model: Any, states: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    logits = model.lm_head(states).float()
    cap = getattr(model.config.get_text_config(), "final_logit_softcapping", None)
    if cap is not None:
        logits = torch.tanh(logits / cap) * cap
    loss: torch.Tensor = torch.nn.functional.cross_entropy(logits, targets, reduction="sum")
    return loss


def whole_loss(model: Any, batch: dict[str, Any], labels: torch.Tensor) -> torch.Tensor:
    """The same from the model's own table of all logits, to hold `answer_loss` against."""
    logits = model(**batch, use_cache=False).logits[:, :-1]
    picked = labels[:, 1:] != IGNORED
    loss: torch.Tensor = torch.nn.functional.cross_entropy(
        logits[picked].float(), labels[:, 1:][picked], reduction="sum"
    )
    return loss
