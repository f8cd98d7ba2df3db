"""Students of random weights, drawn pictures and samples, for the benchmarks of training and answering."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from errata.tools.records import ImageRef, Problem
from tests.families import CHAT, build_tokenizer

WORDS = "the scale of a map shows how far two towns lie from each other when a ruler lies between"


def build_llava(
    folder: Path,
    *,
    width: int,
    text_layers: int,
    side: int,
    vision_layers: int = 2,
    inner: int | None = None,
    heads: int | None = None,
    vocabulary: int | None = None,
    vision: dict[str, Any] | None = None,
) -> Path:
    """A random student of LLaVA-1.5's classes, byte-level; a picture of `side` pixels is (side/14)^2 tokens.

    On a GPU it is made there, in bfloat16. `vision` replaces the picture encoder's shape.
    """
    import torch
    import transformers as hf

    torch.manual_seed(0)
    tokenizer = build_tokenizer("<image>")
    image = tokenizer.convert_tokens_to_ids("<image>")
    heads = heads or width // 32
    shape: dict[str, Any] = {
        "hidden_size": width,
        "intermediate_size": inner or 3 * width,
        "num_attention_heads": heads,
    }
    config = hf.LlavaConfig(
        text_config={
            **shape, "model_type": "llama", "num_hidden_layers": text_layers, "num_key_value_heads": heads,
            "max_position_embeddings": 4096, "vocab_size": vocabulary or len(tokenizer),
        },
        vision_config={
            **(vision or {**shape, "num_hidden_layers": vision_layers}), "model_type": "clip_vision_model",
            "image_size": side, "patch_size": 14,
        },
        image_token_id=image,
        image_token_index=image,
    )  # fmt: skip
    usual = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16 if torch.cuda.is_available() else usual)
    with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
        model = hf.LlavaForConditionalGeneration(config)
    torch.set_default_dtype(usual)
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    pictures = hf.CLIPImageProcessorPil(size={"shortest_edge": side}, crop_size={"height": side, "width": side})
    processor = hf.LlavaProcessor(
        pictures, tokenizer, patch_size=14, vision_feature_select_strategy="default", num_additional_image_tokens=1,
        chat_template=CHAT.replace("IMAGE", "<image>"),
    )  # fmt: skip
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def draw_pictures(folder: Path, number: int, *, side: int) -> list[ImageRef]:
    """PNG files of blurred noise, which compress about as photographs do."""
    folder.mkdir(parents=True, exist_ok=True)
    refs = []
    for i in range(number):
        path = folder / f"{i:05}.png"
        if not path.is_file():
            noise = np.random.default_rng(i).integers(0, 255, (side // 4, side // 4, 3), dtype=np.uint8)
            Image.fromarray(noise).resize((side, side)).save(path)
        refs.append(ImageRef(path=str(path), sha256=hashlib.sha256(path.read_bytes()).hexdigest()))
    return refs


def make_samples(number: int, *, pictures: Sequence[ImageRef], seed: int = 0) -> list[Problem]:
    """Multiple-choice questions whose rationales have one to six sentences."""
    rng = random.Random(seed)

    def sentence() -> str:
        return " ".join(rng.choices(WORDS.split(), k=rng.randint(5, 14))).capitalize() + "."

    return [
        Problem(
            id=f"s{i:06}",
            question=" ".join(sentence() for _ in range(rng.randint(1, 3))),
            choices=("north", "south", "east"),
            target=rng.choice("ABC"),
            rationale=" ".join(sentence() for _ in range(rng.randint(1, 6))),
            images=(pictures[i % len(pictures)],),
        )
        for i in range(number)
    ]
