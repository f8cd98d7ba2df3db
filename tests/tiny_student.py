"""A tiny random student on disk: a real Idefics3 with a word-level tokenizer and its processor.

Same class, same files and same loading path as the embedded student, but small enough for a test.
"""

from __future__ import annotations

import random
from functools import cache
from pathlib import Path
from typing import Any

from errata.tools.records import ImageRef, Lesson, Problem
from errata.tools.student.source import StudentSource
from errata.tools.train.host import StudentHost

COLOURS = ("red", "blue", "green", "yellow")
SHAPES = ("circle", "square", "triangle", "star")
WORDS = (
    *[
        "What",
        "colour",
        "shape",
        "is",
        "the",
        "in",
        "row",
        "column",
        "?",
        "The",
        "answer",
        "So",
        "look",
        "at",
        "it",
        "a",
        "and",
        "of",
        "how",
        "many",
        "are",
        "there",
    ],
    *COLOURS,
    *SHAPES,
    *["A)", "B)", "C)", "D)", "A", "B", "C", "D", "one", "two", "three", "four", ".", ",", ":"],
)
SPECIAL = (
    "<pad>",
    "<unk>",
    "<bos>",
    "<end_of_utterance>",
    "<image>",
    "<fake_token_around_image>",
    "<global-img>",
    "User",
    "Assistant",
)
TEMPLATE = (
    "{% for message in messages %}{{ 'User ' if message['role'] == 'user' else 'Assistant ' }}"
    "{% for part in message['content'] %}{{ '<image> ' if part['type'] == 'image' else part['text'] + ' ' }}"
    "{% endfor %}<end_of_utterance> {% endfor %}{% if add_generation_prompt %}Assistant {% endif %}"
)


def build_tokenizer() -> Any:
    """A word-level `PreTrainedTokenizerFast` over `WORDS`."""
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocabulary = {word: i for i, word in enumerate(dict.fromkeys((*SPECIAL, *WORDS)))}
    inner = Tokenizer(models.WordLevel(vocab=vocabulary, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.Split(Regex(r"[A-D]\)|\w+|[^\w\s]"), "removed", invert=True)
    return PreTrainedTokenizerFast(
        tokenizer_object=inner,
        unk_token="<unk>",
        pad_token="<pad>",
        bos_token="<bos>",
        eos_token="<end_of_utterance>",
        additional_special_tokens=["<image>", "<fake_token_around_image>", "<global-img>"],
    )


def build_student(folder: Path, *, hidden: int = 32, layers: int = 2, seed: int = 0) -> Path:
    """Write model and processor into `folder`; `hidden` is a multiple of 16. Returns the folder."""
    import torch
    from transformers import (
        Idefics3Config,
        Idefics3ForConditionalGeneration,
        Idefics3ImageProcessorPil,
        Idefics3Processor,
        LlamaConfig,
    )
    from transformers.models.idefics3.configuration_idefics3 import Idefics3VisionConfig

    torch.manual_seed(seed)
    tokenizer = build_tokenizer()
    heads = max(1, hidden // 32)
    text = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=hidden,
        intermediate_size=hidden * 3,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=heads,
        max_position_embeddings=256,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        tie_word_embeddings=True,
    )
    vision = Idefics3VisionConfig(
        hidden_size=hidden,
        intermediate_size=hidden * 2,
        num_hidden_layers=1,
        num_attention_heads=heads,
        image_size=64,
        patch_size=16,
    )
    config = Idefics3Config(
        vision_config=vision,
        text_config=text,
        scale_factor=1,
        tie_word_embeddings=True,
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        pad_token_id=tokenizer.pad_token_id,
    )
    model = Idefics3ForConditionalGeneration(config)
    torch.nn.init.normal_(model.model.text_model.embed_tokens.weight, std=0.6 / hidden**0.5)
    pictures = Idefics3ImageProcessorPil(
        do_image_splitting=False,
        size={"longest_edge": 64},
        max_image_size={"longest_edge": 64},
        image_mean=[0.5] * 3,
        image_std=[0.5] * 3,
    )
    processor = Idefics3Processor(pictures, tokenizer, image_seq_len=16, chat_template=TEMPLATE)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def build_problems(folder: Path, count: int, *, seed: int = 0) -> list[Problem]:
    """Questions about the one colour of a picture; pictures are drawn into `folder`."""
    import hashlib

    from PIL import Image

    folder.mkdir(parents=True, exist_ok=True)
    rng = random.Random(seed)
    paint = {"red": (255, 0, 0), "blue": (0, 0, 255), "green": (0, 255, 0), "yellow": (255, 255, 0)}
    problems = []
    for i in range(count):
        options = rng.sample(COLOURS, 4)
        colour = rng.choice(options)
        path = folder / f"{i:04}.png"
        Image.new("RGB", (64, 64), paint[colour]).save(path)
        extra = " ".join(["look at it ."] * rng.randrange(3))
        problems.append(
            Problem(
                id=f"p{i:04}",
                question=f"{extra} What colour is the {rng.choice(SHAPES)} ?".strip(),
                choices=tuple(options),
                target="ABCD"[options.index(colour)],
                rationale=f"So it is {colour} .",
                images=(ImageRef(path=str(path), sha256=hashlib.sha256(path.read_bytes()).hexdigest()),),
                skills=("read the colour",),
                metadata={"colour": colour},
            )
        )
    return problems


def teach(problems: list[Problem]) -> list[Lesson]:
    """One lesson per problem."""
    return [
        Lesson(
            id=f"l-{p.id}",
            problem=p,
            candidate="c",
            parents=("m",),
            route="bm25",
            skill="colour",
            iteration=1,
        )
        for p in problems
    ]


@cache
def shared_host() -> StudentHost:
    """One host for the whole test session, since its imports take seconds; it ends with the session."""
    return StudentHost()


@cache
def shared_folder() -> Path:
    """A folder with a student in `base` and pictures in `images`, for the whole session."""
    import atexit
    import shutil
    import tempfile

    folder = Path(tempfile.mkdtemp(prefix="tiny-student-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    build_student(folder / "base")
    return folder


def source(**changes: Any) -> StudentSource:
    """The shared base student."""
    fields: dict[str, Any] = {
        "base": str(shared_folder() / "base"),
        "checkpoint": "base",
        "prompt": "student_brief",
        "image_first": False,
    }
    return StudentSource(**fields | changes)
