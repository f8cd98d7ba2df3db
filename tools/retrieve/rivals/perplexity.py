"""Perplexity of answers under a small language model (GPT-2 or any other that `AutoModelForCausalLM` loads).

Two texts per answer: the question and then the answer, and the answer alone behind the token that begins a
text. Without that token the first word of an answer would have no probability, and an answer of one token no
perplexity. Both means are over the same tokens: an answer is cut at its end where it has no room beside its
question, and then cut to the same length alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from errata.tools.errors import OperatorError
from errata.tools.retrieve.model_files import check_model, longest_input, name_model, open_model, plan_batches
from errata.tools.retrieve.rivals.request import Exchange, Perplexity

if TYPE_CHECKING:
    from errata.tools.retrieve.model_files import Opened

MAX_TOKENS = 1024
BATCH_TOKENS = 2048


class Text(NamedTuple):
    """Token ids, and how many of them at the end are the answer's."""

    ids: list[int]
    answer: int


class FolderPerplexity:
    """Satisfies `MeasurePerplexity`. The model is loaded with the first exchange."""

    def __init__(self, folder: Path, *, max_tokens: int = MAX_TOKENS, device: str = "auto") -> None:
        """Raises OperatorError for a folder without a model."""
        check_model(folder, where="rivals.language_model")
        self._folder, self._device, self._max_tokens = folder, device, max_tokens
        self._opened: Opened | None = None
        self.name = f"{name_model(folder)}-{max_tokens}"

    def __call__(self, exchanges: Sequence[Exchange]) -> list[Perplexity | None]:
        """See `MeasurePerplexity`. Raises OperatorError for a model that cannot be used."""
        if self._opened is None:
            self._opened = open_model(self._folder, kind="language", device=self._device)
        longest = longest_input(self._opened.model, self._max_tokens)
        pairs = [encode_pair(exchange, opened=self._opened, longest=longest) for exchange in exchanges]
        texts = [text for pair in pairs if pair for text in pair]
        measured = iter(_measure(texts, opened=self._opened))
        return [
            Perplexity(next(measured), next(measured), pair[0].answer) if pair is not None else None for pair in pairs
        ]


def encode_pair(exchange: Exchange, *, opened: Opened, longest: int) -> tuple[Text, Text] | None:
    """The answer behind its question, and alone; None where the question leaves no room, or nothing is said.

    A question is put as the tokenizer's chat template says, where it has one, and else ends in a new line.
    """
    tokenizer = opened.tokenizer
    start = next((i for i in (tokenizer.bos_token_id, tokenizer.eos_token_id) if i is not None), None)
    if start is None:
        remedy = "choose a language model with a token for the beginning or the end of a text"
        raise OperatorError("the tokenizer has no such token", where=str(tokenizer.name_or_path), remedy=remedy)
    head = tokenizer(_put_question(exchange.question, opened), add_special_tokens=False)["input_ids"]
    head = head if head[:1] == [start] else [start, *head]
    answer = tokenizer(exchange.answer, add_special_tokens=False)["input_ids"][: max(0, longest - len(head))]
    return (Text([*head, *answer], len(answer)), Text([start, *answer], len(answer))) if answer else None


def _put_question(question: str, opened: Opened) -> str:
    from jinja2 import TemplateError

    tokenizer = opened.tokenizer
    if not tokenizer.chat_template:
        return f"{question}\n"
    content: Any = [{"type": "text", "text": question}] if opened.sighted else question
    turn = [{"role": "user", "content": content}]
    try:
        return str(tokenizer.apply_chat_template(turn, add_generation_prompt=True, tokenize=False))
    except (TemplateError, ValueError) as error:
        remedy = "mend the template, or choose another language model"
        what = f"the chat template fails: {error}"
        raise OperatorError(what, where=str(tokenizer.name_or_path), remedy=remedy) from error


def _measure(texts: Sequence[Text], *, opened: Opened) -> list[float]:
    """exp of the mean negative log probability of each answer's tokens, in order; padded at the right."""
    import torch

    values = [0.0] * len(texts)
    with torch.inference_mode():
        for batch in plan_batches([len(text.ids) for text in texts], tokens=BATCH_TOKENS):
            widest = max(len(texts[i].ids) for i in batch)
            ids = torch.zeros((len(batch), widest), dtype=torch.long)
            mask, asked = torch.zeros_like(ids), torch.zeros_like(ids, dtype=torch.bool)
            for row, i in enumerate(batch):
                size = len(texts[i].ids)
                ids[row, :size] = torch.tensor(texts[i].ids)
                mask[row, :size] = 1
                asked[row, size - texts[i].answer : size] = True
            ids, mask, asked = (tensor.to(opened.device) for tensor in (ids, mask, asked))
            logits = opened.model(input_ids=ids, attention_mask=mask).logits[:, :-1]
            wanted = asked[:, 1:]
            losses = torch.nn.functional.cross_entropy(logits[wanted].float(), ids[:, 1:][wanted], reduction="none")
            parts = torch.split(losses.double(), [texts[i].answer for i in batch])
            for i, part in zip(batch, parts, strict=True):
                values[i] = float(part.mean().exp())
    return values
