"""A guesser that sees the eight candidates of a matrix and nothing of the matrix itself.

If it does better than one in eight, the candidates give the answer away. It is a set transformer over the values of
each candidate, with the share of all candidates that have each value, or over its pixels. (Without these shares it
may stay for many epochs at even scores, where the answer, being the most ordinary candidate, is never the highest.)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from errata.tools.synthesize.matrices.draw import draw_matrix, lay_out
from errata.tools.synthesize.matrices.generate import CANDIDATES, Matrix, Panel
from errata.tools.synthesize.matrices.layout import CONFIGURATIONS, scale_of
from errata.tools.synthesize.matrices.settings import MatrixSettings

SIDE = 32
"""Pixels of a candidate that the guesser sees."""
WIDTH, HEADS, BATCH = 64, 4, 128
EPOCHS, PATIENCE = 40, 8
EPOCHS_OF_PIXELS = 12
"""Pixels take ten times as long."""


class Guess(NamedTuple):
    """Share of right guesses on matrices that were not trained on, with its 95 % interval."""

    right: float
    low: float
    high: float
    epochs: int


def describe(panel: Panel, name: str, *, levels: int) -> list[float]:
    """One candidate as values: places, and how often each type, size and colour occurs, for two components."""
    found: list[float] = [float(name == other) for other in CONFIGURATIONS]
    for number in range(2):
        state = panel[number] if number < len(panel) else None
        found += [float(state.mask >> slot & 1) if state else 0.0 for slot in range(9)]
        for at, attribute in enumerate(("type", "size", "colour")):
            scale = scale_of(attribute, slots=1, levels=levels)
            values = [looks[at] for _, looks in state.objects] if state else []
            count = max(len(values), 1)
            found += [values.count(v) / count for v in range(scale.low, scale.high + 1)]
    return found


def as_values(matrices: Sequence[Matrix], settings: MatrixSettings) -> Tensor:
    """float32 [matrices, candidates, features]."""
    rows = [
        [describe(c, m.configuration.name, levels=settings.levels) for c in m.candidates] for m in matrices
    ]
    return torch.tensor(rows, dtype=torch.float32)


def as_pixels(matrices: Sequence[Matrix], settings: MatrixSettings) -> Tensor:
    """float32 [matrices, candidates, 1, SIDE, SIDE], cut out of the pictures."""
    from PIL import Image

    at = lay_out(settings.pixels, settings.columns)
    found = np.empty((len(matrices), CANDIDATES, SIDE, SIDE), dtype=np.uint8)
    for row, matrix in enumerate(matrices):
        picture = draw_matrix(matrix, settings=settings)
        for i, (x, y) in enumerate(at.candidates):
            cut = picture.crop((x, y, x + at.panel, y + at.panel))
            found[row, i] = np.asarray(cut.resize((SIDE, SIDE), Image.Resampling.BOX))
    return torch.from_numpy(found).float().div_(255).sub_(0.9).unsqueeze(2)


class Guesser(nn.Module):
    """[matrices, candidates, ...] to scores [matrices, candidates]; the order of the candidates does not matter."""

    def __init__(self, features: int | None) -> None:
        super().__init__()
        self.look: nn.Module
        if features is None:
            self.look = nn.Sequential(
                nn.Conv2d(1, 16, 5, stride=2, padding=2),
                nn.GELU(),
                nn.Conv2d(16, 32, 3, stride=2, padding=1),
                nn.GELU(),
                nn.Conv2d(32, 32, 3, stride=2, padding=1),
                nn.GELU(),
                nn.Flatten(),
                nn.Linear(32 * (SIDE // 8) ** 2, WIDTH),
            )
        else:
            self.look = nn.Sequential(nn.Linear(2 * features, WIDTH), nn.GELU(), nn.Linear(WIDTH, WIDTH))
        layer = nn.TransformerEncoderLayer(WIDTH, HEADS, 2 * WIDTH, dropout=0.1, batch_first=True, norm_first=True)
        self.compare = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.score = nn.Linear(WIDTH, 1)

    def forward(self, candidates: Tensor) -> Tensor:
        """Scores before softmax."""
        if candidates.dim() == 3:
            shared = candidates * candidates.mean(dim=1, keepdim=True)
            candidates = torch.cat([candidates, shared], dim=-1)
        seen = self.look(candidates.flatten(0, 1)).unflatten(0, candidates.shape[:2])
        scores: Tensor = self.score(self.compare(seen)).squeeze(-1)
        return scores


def train_guesser(seen: Tensor, answers: Tensor, *, train: int, seed: int) -> Guess:
    """Train on the first `train` matrices, a tenth of them held out to choose the epoch, and ask the rest."""
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    model = Guesser(None if seen.dim() == 5 else seen.shape[-1])
    kept = train * 9 // 10
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.01)
    best, state, waited, epoch = -1.0, model.state_dict(), 0, 0
    epochs = EPOCHS_OF_PIXELS if seen.dim() == 5 else EPOCHS
    while waited < PATIENCE and epoch < epochs:
        epoch += 1
        model.train()
        for batch in torch.randperm(kept).split(BATCH):
            optimiser.zero_grad()
            nn.functional.cross_entropy(model(seen[batch]), answers[batch]).backward()
            optimiser.step()
        held_out = count_right(model, seen[kept:train], answers[kept:train])
        if held_out > best:
            best, waited = held_out, 0
            state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        else:
            waited += 1
    model.load_state_dict(state)
    right = count_right(model, seen[train:], answers[train:])
    half = 1.96 * math.sqrt(right * (1 - right) / (len(seen) - train))
    return Guess(right, right - half, right + half, epoch)


@torch.no_grad()
def count_right(model: Guesser, seen: Tensor, answers: Tensor) -> float:
    """Share of right guesses."""
    model.eval()
    guessed = torch.cat([model(part).argmax(dim=1) for part in seen.split(500)])
    return float((guessed == answers).float().mean())
