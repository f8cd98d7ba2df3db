"""Tiny random students of the real classes of each family, with their processors, saved to disk.

What a family's processor needs beside the project's own packages is said by `lacking`: the video processors of six
families need torchvision, which `make families-test` installs in an environment of its own.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

HIDDEN, HEADS = 32, 2
TEXT: dict[str, Any] = {
    "hidden_size": HIDDEN,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": HEADS,
    "num_key_value_heads": HEADS,
    "max_position_embeddings": 2048,
    "initializer_range": 0.2,
}
VISION: dict[str, Any] = {
    "hidden_size": HIDDEN,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": HEADS,
    "initializer_range": 0.2,
}
CHAT = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{% for part in m['content'] %}"
    "{{ 'IMAGE' if part['type'] == 'image' else part['text'] }}{% endfor %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
ROPE = {"rope_type": "default", "mrope_section": [2, 3, 3], "rope_theta": 1e4}


def build_tokenizer(*marks: str, **named: str) -> Any:
    """A byte-level tokenizer: any text is tokens. `marks` and `named` are special tokens of the family."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Tokenizer(models.BPE(vocab={letter: i for i, letter in enumerate(letters)}, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="<|pad|>", bos_token="<|bos|>", eos_token="<|im_end|>",
        **({"extra_special_tokens": named} if named else {}),
    )  # fmt: skip
    tokenizer.add_tokens(["<|im_start|>", *marks], special_tokens=True)
    return tokenizer


def _llava(t: Any) -> tuple[Any, Any]:
    import transformers as hf

    image = t.convert_tokens_to_ids("<image>")
    config = hf.LlavaConfig(
        text_config={**TEXT, "model_type": "llama", "vocab_size": len(t)},
        vision_config={**VISION, "model_type": "clip_vision_model", "image_size": 56, "patch_size": 14},
        image_token_id=image,
        image_token_index=image,
    )
    pictures = hf.CLIPImageProcessorPil(size={"shortest_edge": 56}, crop_size={"height": 56, "width": 56})
    processor = hf.LlavaProcessor(
        pictures, t, patch_size=14, vision_feature_select_strategy="default", num_additional_image_tokens=1,
        chat_template=CHAT.replace("IMAGE", "<image>"),
    )  # fmt: skip
    return hf.LlavaForConditionalGeneration(config), processor


PINPOINTS = [[56, 112], [112, 56], [112, 112]]


def _llava_next(t: Any) -> tuple[Any, Any]:
    import transformers as hf

    image = t.convert_tokens_to_ids("<image>")
    config = hf.LlavaNextConfig(
        text_config={**TEXT, "model_type": "llama", "vocab_size": len(t)},
        vision_config={**VISION, "model_type": "clip_vision_model", "image_size": 56, "patch_size": 14},
        image_token_id=image,
        image_token_index=image,
        image_grid_pinpoints=PINPOINTS,
    )
    pictures = hf.LlavaNextImageProcessorPil(
        size={"shortest_edge": 56}, crop_size={"height": 56, "width": 56}, image_grid_pinpoints=PINPOINTS
    )
    processor = hf.LlavaNextProcessor(
        pictures, t, patch_size=14, vision_feature_select_strategy="default", num_additional_image_tokens=1,
        chat_template=CHAT.replace("IMAGE", "<image>"),
    )  # fmt: skip
    return hf.LlavaNextForConditionalGeneration(config), processor


def _llava_onevision(t: Any) -> tuple[Any, Any]:
    import transformers as hf

    config = hf.LlavaOnevisionConfig(
        text_config={**TEXT, "model_type": "qwen2", "vocab_size": len(t)},
        vision_config={
            **VISION, "model_type": "siglip_vision_model", "image_size": 56, "patch_size": 14, "vision_use_head": False,
        },
        image_token_id=t.convert_tokens_to_ids("<image>"),
        video_token_id=t.convert_tokens_to_ids("<video>"),
        image_grid_pinpoints=PINPOINTS,
    )  # fmt: skip
    pictures = hf.LlavaOnevisionImageProcessor(size={"height": 56, "width": 56}, image_grid_pinpoints=PINPOINTS)
    processor = hf.LlavaOnevisionProcessor(
        pictures, t, hf.LlavaOnevisionVideoProcessor(), num_image_tokens=16, vision_feature_select_strategy="full",
        chat_template=CHAT.replace("IMAGE", "<image>"),
    )  # fmt: skip
    return hf.LlavaOnevisionForConditionalGeneration(config), processor


_QWEN_MARKS = ("<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")


def _qwen(generation: str) -> Callable[[Any], tuple[Any, Any]]:
    def build(t: Any) -> tuple[Any, Any]:
        import transformers as hf

        new = generation == "Qwen3VL"
        vision = {"depth": 2, "num_heads": HEADS, "patch_size": 16 if new else 14, "initializer_range": 0.2}
        if generation == "Qwen2VL":
            vision |= {"embed_dim": HIDDEN, "hidden_size": HIDDEN, "mlp_ratio": 2}
        else:
            vision |= {"hidden_size": HIDDEN, "intermediate_size": 64, "out_hidden_size": HIDDEN}
            vision |= (
                {"deepstack_visual_indexes": [1], "num_position_embeddings": 64}
                if new
                else {"window_size": 56, "fullatt_block_indexes": [1]}
            )
        names = zip(("vision_start", "vision_end", "image", "video"), _QWEN_MARKS, strict=True)
        config = getattr(hf, f"{generation.replace('2_5VL', '2_5_VL')}Config")(
            text_config={**TEXT, "head_dim": 16, "vocab_size": len(t), "rope_parameters": ROPE},
            vision_config=vision,
            **{f"{name}_token_id": t.convert_tokens_to_ids(mark) for name, mark in names},
        )
        side = 64 if new else 56
        pictures = hf.Qwen2VLImageProcessor(
            min_pixels=side * side, max_pixels=4 * side * side, patch_size=vision["patch_size"]
        )
        videos = hf.Qwen3VLVideoProcessor() if new else hf.Qwen2VLVideoProcessor()
        kind = generation.replace("2_5VL", "2_5_VL")
        processor = getattr(hf, f"{kind}Processor")(
            pictures, t, videos, chat_template=CHAT.replace("IMAGE", "<|vision_start|><|image_pad|><|vision_end|>")
        )
        return getattr(hf, f"{kind}ForConditionalGeneration")(config), processor

    return build


def _internvl(t: Any) -> tuple[Any, Any]:
    import transformers as hf

    config = hf.InternVLConfig(
        text_config={**TEXT, "model_type": "qwen2", "vocab_size": len(t)},
        vision_config={**VISION, "image_size": [56, 56], "patch_size": [14, 14]},
        image_token_id=t.convert_tokens_to_ids("<IMG_CONTEXT>"),
        downsample_ratio=0.5,
    )
    pictures = hf.GotOcr2ImageProcessor(size={"height": 56, "width": 56}, crop_to_patches=True, max_patches=4)
    processor = hf.InternVLProcessor(
        pictures, t, hf.InternVLVideoProcessor(), image_seq_length=4,
        chat_template=CHAT.replace("IMAGE", "<IMG_CONTEXT>"),
    )  # fmt: skip
    return hf.InternVLForConditionalGeneration(config), processor


_IDEFICS_MARKS = (
    "<image>",
    "<fake_token_around_image>",
    "<global-img>",
    "<end_of_utterance>",
    *(f"<row_{r}_col_{c}>" for r in range(1, 5) for c in range(1, 5)),
)


def _idefics(kind: str) -> Callable[[Any], tuple[Any, Any]]:
    def build(t: Any) -> tuple[Any, Any]:
        import transformers as hf

        config = getattr(hf, f"{kind}Config")(
            text_config={**TEXT, "model_type": "llama", "vocab_size": len(t), "pad_token_id": t.pad_token_id},
            vision_config={**VISION, "image_size": 64, "patch_size": 16},
            image_token_id=t.convert_tokens_to_ids("<image>"),
            scale_factor=2,
            pad_token_id=t.pad_token_id,
        )
        sizes = {"size": {"longest_edge": 128}, "max_image_size": {"longest_edge": 64}}
        parts = [getattr(hf, f"{kind}ImageProcessorPil")(**sizes), t]
        if kind == "SmolVLM":
            parts.append(hf.SmolVLMVideoProcessor())
        processor = getattr(hf, f"{kind}Processor")(
            *parts, image_seq_len=4, chat_template=CHAT.replace("IMAGE", "<image>")
        )
        return getattr(hf, f"{kind}ForConditionalGeneration")(config), processor

    return build


def _paligemma(t: Any) -> tuple[Any, Any]:
    import transformers as hf

    pictures = hf.SiglipImageProcessorPil(size={"height": 56, "width": 56})
    pictures.image_seq_length = 16
    processor = hf.PaliGemmaProcessor(pictures, t)
    image = t.convert_tokens_to_ids("<image>")
    config = hf.PaliGemmaConfig(
        text_config={**TEXT, "model_type": "gemma2", "head_dim": 16, "vocab_size": len(t)},
        vision_config={**VISION, "model_type": "siglip_vision_model", "image_size": 56, "patch_size": 14},
        image_token_id=image,
        image_token_index=image,
        projection_dim=HIDDEN,
    )
    return hf.PaliGemmaForConditionalGeneration(config), processor


def _gemma3(t: Any) -> tuple[Any, Any]:
    import torch
    import transformers as hf

    ids = {name: t.convert_tokens_to_ids(mark) for name, mark in _GEMMA_NAMES.items()}
    config = hf.Gemma3Config(
        text_config={**TEXT, "head_dim": 16, "vocab_size": len(t), "sliding_window": 512},
        vision_config={**VISION, "image_size": 64, "patch_size": 8},
        mm_tokens_per_image=16,
        image_token_id=ids["image_token"],
        boi_token_index=ids["boi_token"],
        eoi_token_index=ids["eoi_token"],
    )
    model = hf.Gemma3ForConditionalGeneration(config)
    torch.nn.init.normal_(model.model.multi_modal_projector.mm_input_projection_weight, std=0.2)
    pictures = hf.Gemma3ImageProcessorPil(size={"height": 64, "width": 64}, image_seq_length=16)
    processor = hf.Gemma3Processor(
        pictures, t, image_seq_length=16, chat_template=CHAT.replace("IMAGE", "<start_of_image>")
    )
    return model, processor


_GEMMA_NAMES = {"image_token": "<image_soft_token>", "boi_token": "<start_of_image>", "eoi_token": "<end_of_image>"}
_INTERN_NAMES = {
    "start_image_token": "<img>",
    "end_image_token": "</img>",
    "context_image_token": "<IMG_CONTEXT>",
    "video_token": "<video>",
}
BUILDERS: dict[str, tuple[Callable[[Any], tuple[Any, Any]], tuple[str, ...], dict[str, str]]] = {
    "llava": (_llava, ("<image>",), {}),
    "llava_next": (_llava_next, ("<image>",), {}),
    "llava_onevision": (_llava_onevision, ("<image>", "<video>"), {}),
    "qwen2_vl": (_qwen("Qwen2VL"), _QWEN_MARKS, {}),
    "qwen2_5_vl": (_qwen("Qwen2_5VL"), _QWEN_MARKS, {}),
    "qwen3_vl": (_qwen("Qwen3VL"), _QWEN_MARKS, {}),
    "internvl": (_internvl, (), _INTERN_NAMES),
    "idefics3": (_idefics("Idefics3"), _IDEFICS_MARKS, {}),
    "smolvlm": (_idefics("SmolVLM"), _IDEFICS_MARKS, {}),
    "paligemma": (_paligemma, (), {"image_token": "<image>"}),
    "gemma3": (_gemma3, (), _GEMMA_NAMES),
}
"""By model type: what builds it, its marks, and its special tokens by name."""
NEED_TORCHVISION = ("llava_onevision", "qwen2_vl", "qwen2_5_vl", "qwen3_vl", "internvl", "smolvlm")


def lacking(family: str) -> str:
    """What this environment lacks for a family's processor; empty when it can be built."""
    needed = ["torchvision"] if family in NEED_TORCHVISION else []
    needed += ["num2words"] if family == "smolvlm" else []
    absent = [name for name in needed if importlib.util.find_spec(name) is None]
    return f"its processor needs {' and '.join(absent)}: make families-test" if absent else ""


def build_family(family: str, folder: Path) -> Path:
    """Save a tiny random student of a family, with its processor. Returns the folder."""
    import torch

    torch.manual_seed(0)
    build, marks, named = BUILDERS[family]
    tokenizer = build_tokenizer(*marks, **named)
    model, processor = build(tokenizer)
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder
