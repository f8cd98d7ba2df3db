"""The embedded student's architecture, vocabulary and processor, built as transformers objects."""

from __future__ import annotations

import random
import re
from pathlib import Path
from typing import Any

from errata.tools.world.draw import CELL_PIXELS, IMAGE_PIXELS
from errata.tools.world.programs import FAMILIES, SLOTS
from errata.tools.world.questions import sample_question
from errata.tools.world.scene import POLES
from errata.tools.world.skills import NUMBERS, SKILLS

HIDDEN, HEADS, LAYERS, INNER = 128, 4, 4, 256
PATCHES = (IMAGE_PIXELS // CELL_PIXELS) ** 2
SPECIALS = (
    "<pad>",
    "<unk>",
    "<end_of_utterance>",
    "<fake_token_around_image>",
    "<global-img>",
    "<image>",
    "<user>",
    "<assistant>",
)
CHAT_TEMPLATE = (
    "{% for m in messages %}{{ '<user>' if m['role'] == 'user' else '<assistant>' }}"
    "{% if m['content'] is string %}{{ m['content'] }}{% else %}{% for part in m['content'] %}"
    "{{ part['text'] if part['type'] == 'text' else '<image>' }}{% endfor %}{% endif %}<end_of_utterance>{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)


def load_card() -> str:
    """The model card that is saved with the weights."""
    return (Path(__file__).parent / "model_card.md").read_text(encoding="utf-8")


def collect_words() -> list[str]:
    """Every word of the world, sorted: questions, options, sentences, answers."""
    rng = random.Random(0)
    texts = [
        "Describe . The answer is does order A)",  # `does` and `order` keep the places of the shipped vocabulary
        *"ABCDEFGH",
        *NUMBERS,
        *POLES,
        *(v for values in SLOTS.values() for v in values),
    ]
    for family in FAMILIES.values():
        texts += [family.template, *family.answers]
        for _ in range(30):
            question = sample_question(family, rng)
            texts += [question.text, question.rationale]
    for skill in SKILLS.values():
        texts += [skill.state(("a1", "b1"), r) for r in skill.domain]
    words = {w for text in texts for w in re.findall(r"\w+|[^\w\s]", re.sub(r"\{\w+\}", " ", text))}
    return sorted(words)


def build_processor() -> Any:
    """An Idefics3Processor over a word-level tokenizer; one picture of 64x64 is sixteen tokens."""
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
    from transformers import Idefics3ImageProcessorPil, Idefics3Processor, PreTrainedTokenizerFast

    words = collect_words()
    punctuation = [w for w in words if not w[0].isalnum()]
    entries = [*SPECIALS, *punctuation, *("▁" + w for w in words if w[0].isalnum())]
    backend = Tokenizer(models.WordLevel({w: i for i, w in enumerate(entries)}, unk_token="<unk>"))
    backend.normalizer = normalizers.Replace(Regex(r"\s+"), " ")
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Metaspace(prepend_scheme="always"), pre_tokenizers.Punctuation("isolated")]
    )
    backend.decoder = decoders.Metaspace(prepend_scheme="always")
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token="<pad>",
        unk_token="<unk>",
        eos_token="<end_of_utterance>",
        additional_special_tokens=list(SPECIALS[2:]),
        model_max_length=512,
        padding_side="left",
    )
    images = Idefics3ImageProcessorPil(
        do_image_splitting=False,
        do_resize=True,
        size={"longest_edge": IMAGE_PIXELS},
        max_image_size={"longest_edge": IMAGE_PIXELS},
        image_mean=[0.5] * 3,
        image_std=[0.5] * 3,
        resample=3,
    )
    return Idefics3Processor(images, tokenizer, image_seq_len=PATCHES, chat_template=CHAT_TEMPLATE)


def build_model(processor: Any, *, folder: Path | None = None) -> Any:
    """A fresh Idefics3 of this size (standard deviation 0.6 / sqrt(hidden)), or the one saved in `folder`."""
    from transformers import AutoModelForImageTextToText, Idefics3Config, Idefics3ForConditionalGeneration

    if folder is not None:
        return AutoModelForImageTextToText.from_pretrained(folder)
    spread = 0.6 / HIDDEN**0.5
    tokenizer = processor.tokenizer
    ids = {
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": tokenizer.eos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
    }
    config = Idefics3Config(
        vision_config={
            "hidden_size": HIDDEN,
            "intermediate_size": 2 * HIDDEN,
            "num_hidden_layers": 2,
            "num_attention_heads": HEADS,
            "image_size": IMAGE_PIXELS,
            "patch_size": CELL_PIXELS,
            "initializer_range": spread,
        },
        text_config={
            "model_type": "llama",
            "hidden_size": HIDDEN,
            "intermediate_size": INNER,
            "num_hidden_layers": LAYERS,
            "num_attention_heads": HEADS,
            "num_key_value_heads": HEADS,
            "head_dim": HIDDEN // HEADS,
            "vocab_size": len(tokenizer),
            "max_position_embeddings": 512,
            "tie_word_embeddings": True,
            "initializer_range": spread,
            **ids,
        },
        scale_factor=1,
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        tie_word_embeddings=True,
        pad_token_id=tokenizer.pad_token_id,
        initializer_range=spread,
    )
    model = Idefics3ForConditionalGeneration(config)
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.bos_token_id = tokenizer.eos_token_id
    return model
