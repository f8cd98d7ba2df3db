"""Run inside vLLM's environment, as a file: answers requests with an offline engine. Imports nothing of ours.

Reads JSON lines: first the engine's settings, then one line a round of requests; the input's end ends the process, and
with it all its memory. Writes JSON lines: {"ready": ...}, one line an answer, {"done": n} after a round. What the
libraries print goes to stderr.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Callable
from typing import Any


def open_pictures(paths: list[str]) -> list[Any]:
    """PIL pictures as RGB."""
    from PIL import Image

    return [Image.open(path).convert("RGB") for path in paths]


def describe_processor(settings: dict[str, Any]) -> dict[str, str]:
    """Digest of the chat template and of the pixels of a first picture, as this environment makes them."""
    from transformers import AutoProcessor

    processor = AutoProcessor.from_pretrained(settings["model"], local_files_only=True)
    said = {"template": hashlib.sha256((processor.chat_template or "").encode()).hexdigest()[:16]}
    if settings.get("picture"):
        batch = processor(text=[settings["text"]], images=[open_pictures([settings["picture"]])], return_tensors="pt")
        pixels = batch["pixel_values"].float().mul(1000).round().int()
        said["pixels"] = hashlib.sha256(pixels.numpy().tobytes()).hexdigest()[:16]
    return said


def start_engine(settings: dict[str, Any]) -> tuple[Any, Any]:
    """The engine, and how a request names its adapter."""
    from vllm import LLM
    from vllm.lora.request import LoRARequest

    engine = LLM(
        model=settings["model"],
        enable_lora=settings["adapter"] is not None,
        max_lora_rank=settings["rank"],
        max_loras=1,
        limit_mm_per_prompt={"image": settings["pictures"]},
        max_model_len=settings["max_tokens"],
        gpu_memory_utilization=settings["gpu_memory"],
        tensor_parallel_size=settings["gpus"],
        dtype=settings["dtype"],
        enforce_eager=settings["dtype"] == "float32",
        enable_prefix_caching=True,
        generation_config="vllm",
        seed=0,
    )
    adapter = LoRARequest(settings["name"], 1, settings["adapter"]) if settings["adapter"] else None
    return engine, adapter


def answer(engine: Any, adapter: Any, asked: dict[str, Any], say: Callable[[dict[str, Any]], None]) -> None:
    """Answer one round."""
    from vllm import SamplingParams

    how = SamplingParams(
        n=asked["n"],
        temperature=asked["temperature"],
        max_tokens=asked["max_new_tokens"],
        stop_token_ids=asked["ends"],
        logprobs=asked["logprobs"] or None,
        seed=asked["seed"],
    )
    prompts = []
    for request in asked["requests"]:
        pictures = open_pictures(request["pictures"])
        prompts.append({"prompt": request["text"]} | ({"multi_modal_data": {"image": pictures}} if pictures else {}))
    outputs = engine.generate(prompts, how, lora_request=adapter if asked["adapted"] else None, use_tqdm=False)
    for request, output in zip(asked["requests"], outputs, strict=True):
        body = {"id": request["id"], "texts": [one.text for one in output.outputs]}
        if asked["logprobs"]:
            first = output.outputs[0].logprobs[0]
            body["first"] = {str(token): found.logprob for token, found in first.items()}
            body["prompt"] = list(output.prompt_token_ids)
            body["tokens"] = list(output.outputs[0].token_ids)
        say(body)
    say({"done": len(outputs)})


def main() -> None:
    """Serve rounds until the input ends. What fails ends the process; its last line on stderr says why."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def say(body: dict[str, Any]) -> None:
        out.write(json.dumps(body) + "\n")
        out.flush()

    settings = json.loads(sys.stdin.readline())
    described = describe_processor(settings)
    engine, adapter = start_engine(settings)
    say({"ready": described})
    for line in sys.stdin:
        answer(engine, adapter, json.loads(line), say)


if __name__ == "__main__":
    main()
