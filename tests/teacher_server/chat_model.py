"""A chat model small enough to train in minutes on one core, in a form that vLLM serves on a CPU.

A Llama of half a million parameters with heads 32 wide, embeddings tied, a byte-level tokenizer that takes any text,
and a chat template with tools. It is trained on `lessons`: it follows a letter that the steps or the prior name,
names a skill of the world in the asked-for form, and calls the tools in their usual order. It knows no language, sees
no picture, and what it says of other text is noise in a sound form.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from errata.tools.records import digest, seed_of
from tests.teacher_server.lessons import DRILL, LESSONS, Course, Lesson

FOLDER = Path(__file__).parent
CONTEXT = 4096
VOCABULARY, CORPUS = 2048, 1200
HIDDEN, HEAD, LAYERS, INNER = 96, 32, 3, 256
STEPS, DRILLS, RATE = 400, 400, 2e-3
LEARNED = 0.005
"""Loss of a drill, in nats a token, at which a letter is repeated."""
PROMPT_WEIGHT = 0.3
"""Of the words of a prompt in the drills: they too can be foretold by looking back."""


def build_tokenizer(texts: Sequence[str]) -> Any:
    """Byte-level BPE: every text is some tokens, and the tokens give it back."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=["<|pad|>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(texts, trainer)
    backend.add_tokens([AddedToken(mark, normalized=False) for mark in ("<tool_call>", "</tool_call>")])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="<|pad|>", eos_token="<|im_end|>", model_max_length=CONTEXT
    )
    tokenizer.chat_template = (FOLDER / "chat_template.jinja").read_text(encoding="utf-8")
    return tokenizer


def build_model(tokenizer: Any) -> Any:
    """A fresh Llama; heads are 32 wide, the least that vLLM's attention on a CPU takes."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    size = len(tokenizer)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=size,
            hidden_size=HIDDEN,
            intermediate_size=INNER,
            num_hidden_layers=LAYERS,
            num_attention_heads=HIDDEN // HEAD,
            num_key_value_heads=HIDDEN // HEAD,
            head_dim=HEAD,
            max_position_embeddings=CONTEXT,
            tie_word_embeddings=True,
            initializer_range=0.6 / HIDDEN**0.5,
            pad_token_id=tokenizer.pad_token_id,
            bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id,
        )
    )
    torch.nn.init.normal_(model.get_input_embeddings().weight, std=0.3)
    return model


def render(tokenizer: Any, lesson: Lesson) -> tuple[str, str, str]:
    """The system's part, the rest of the prompt, and the reply with its end."""
    messages = lesson.messages
    tools = list(lesson.tools) or None
    text = tokenizer.apply_chat_template(list(messages), tools=tools, tokenize=False, add_generation_prompt=True)
    cut = text.index("<|im_start|>user")
    return text[:cut], text[cut:], lesson.reply + tokenizer.eos_token


def train(out: Path, *, steps: int = STEPS, drills: int = DRILLS, seed: int = 0) -> None:
    """Train on lessons, letters and one other kind a step, with AdamW and a cosine; saves model and tokenizer."""
    import torch

    torch.manual_seed(seed)
    rng = random.Random(seed_of("served teacher", seed))
    names, shares = list(LESSONS), [course.share for course in LESSONS.values()]
    kinds = rng.choices(names, k=CORPUS)
    bare = build_tokenizer(["a"])
    tokenizer = build_tokenizer(["".join(render(bare, LESSONS[kind].draw(rng))) for kind in kinds])
    model = build_model(tokenizer)
    practise_letters(model, tokenizer=tokenizer, rng=rng, steps=drills)
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=0.01, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=RATE, total_steps=steps, pct_start=0.05)
    started, latest = time.monotonic(), dict[str, float]()
    for step in range(1, steps + 1):
        # Letters in every step: alternating with the other kinds, what one step taught the next one undid.
        for kind in ("letter", rng.choices(names, shares)[0]):
            batch = draw_batch(LESSONS[kind], tokenizer=tokenizer, rng=rng)
            latest[kind] = round(learn(model, batch, tokenizer=tokenizer), 4)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        if step % 50 == 0 or step == steps:
            print(json.dumps({"step": step, **latest, "seconds": round(time.monotonic() - started)}), flush=True)
    save(model, tokenizer, out)


def draw_batch(course: Course, *, tokenizer: Any, rng: random.Random) -> list[tuple[str, str, str]]:
    """So many rendered lessons of one kind."""
    return [render(tokenizer, course.draw(rng)) for _ in range(course.batch)]


def practise_letters(model: Any, *, tokenizer: Any, rng: random.Random, steps: int) -> None:
    """Learn to repeat a letter of the prompt before anything else; ends when it is learned.

    Without this phase it depended on chance whether 10,000 rationales taught it.
    """
    import torch

    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=0.01, betas=(0.9, 0.98))
    started = time.monotonic()
    for step in range(1, steps + 1):
        for group in optimizer.param_groups:
            group["lr"] = RATE * min(1.0, step / 50)
        batch = draw_batch(DRILL, tokenizer=tokenizer, rng=rng)
        loss = learn(model, batch, tokenizer=tokenizer, prompt_weight=PROMPT_WEIGHT)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        if step % 50 == 0 or loss < LEARNED:
            line = {"drill": step, "loss": round(loss, 4), "seconds": round(time.monotonic() - started)}
            print(json.dumps(line), flush=True)
        if loss < LEARNED:
            return


def save(model: Any, tokenizer: Any, out: Path) -> None:
    """Both in one folder; the name of the folder appears when all is there."""
    partial = out.with_name(out.name + ".partial")
    model.save_pretrained(partial)
    tokenizer.save_pretrained(partial)
    partial.replace(out)


def learn(
    model: Any, shown: Sequence[tuple[str, str, str]], *, tokenizer: Any, prompt_weight: float = 0.0
) -> float:
    """Gradients of one batch; the mean loss of the replies, in nats a token.

    The system part, the same in all, is read once and without gradients. `prompt_weight`: of the mean loss of the
    other words of a prompt, beside 1 for each token of the reply.
    """
    import torch
    from torch.nn.functional import cross_entropy
    from transformers import DynamicCache

    def encode(text: str) -> list[int]:
        return list(tokenizer(text, add_special_tokens=False)["input_ids"])

    head = encode(shown[0][0])
    rows = [(encode(prompt), encode(reply)) for _, prompt, reply in shown]
    width = max(len(prompt) + len(reply) for prompt, reply in rows)
    ids = torch.full((len(rows), width), tokenizer.pad_token_id)
    weights = torch.zeros(len(rows), width)
    for row, (prompt, reply) in enumerate(rows):
        end = len(prompt) + len(reply)
        ids[row, :end] = torch.tensor([*prompt, *reply])
        weights[row, : len(prompt)], weights[row, len(prompt) : end] = prompt_weight / len(prompt), 1.0
    cache = DynamicCache(config=model.config)
    if head:
        with torch.no_grad():
            model.model(input_ids=torch.tensor([head]), past_key_values=cache, use_cache=True)
        cache.batch_repeat_interleave(len(rows))
    positions = torch.arange(len(head), len(head) + width)[None]
    # Padding stands behind everything and its own output is not judged: causal order alone keeps it unseen.
    hidden = model.model(
        input_ids=ids, past_key_values=cache, position_ids=positions, use_cache=True
    ).last_hidden_state[:, :-1]
    told, weight = ids[:, 1:], weights[:, 1:]
    judged = weight > 0
    each = cross_entropy(model.lm_head(hidden[judged]), told[judged], reduction="none")
    loss = (each * weight[judged]).sum() / len(rows)
    torch.autograd.backward(loss)
    replies = weight[judged] == 1.0
    return float(each[replies].mean().detach())


def model_name() -> str:
    """Changes with everything that the model is made of."""
    sources = [path.read_text(encoding="utf-8") for path in sorted(FOLDER.glob("*")) if path.stem in SOURCES]
    prompts = [path.read_text(encoding="utf-8") for path in sorted((FOLDER.parent.parent / "prompts").glob("*.md"))]
    return f"model-{digest(sources, prompts)}"


SOURCES = ("chat_model", "chat_template", "lessons")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, help="folder for model and tokenizer")
    parser.add_argument("--steps", type=int, default=STEPS)
    arguments = parser.parse_args()
    train(arguments.out, steps=arguments.steps)


if __name__ == "__main__":
    main()
