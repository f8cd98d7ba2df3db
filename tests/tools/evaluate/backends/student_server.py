"""A server of the OpenAI protocol on loopback that answers with a real student, by transformers, one at a time.

It has the routes that Errata uses of vLLM: models, chat completions with token ids, loading and unloading of adapters.
What goes wrong is said by `Quirks`.
"""

from __future__ import annotations

import base64
import io
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

import torch
from PIL import Image

from errata.tools.evaluate.generate import generate_greedily
from errata.tools.student.load import Student, open_student


class Quirks(NamedTuple):
    """How this server differs from one that serves the student."""

    template: str | None = None
    ignores_adapters: bool = False
    loads: bool = True
    token_ids: bool = True
    logprobs: bool = True
    usage: bool = True
    reasoning: bool = False
    busy: int = 0
    """Requests that are turned away before the first answer."""
    grey: bool = False
    """Whether pictures lose their colours."""


class StudentServer:
    """Use as a context manager; `url` is its base address, `log` what it was asked as (path, body, key)."""

    def __init__(self, base: str, *, name: str = "student", quirks: Quirks | None = None) -> None:
        self.base, self.quirks = base, quirks or Quirks()
        self.students: dict[str, Student] = {name: open_student(base, adapter=None, device="cpu")}
        self.log: list[tuple[str, dict[str, Any], str]] = []
        self.lock = threading.Lock()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._http.owner = self
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}/v1"

    def __enter__(self) -> StudentServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()

    def bodies(self, route: str) -> list[dict[str, Any]]:
        """What was asked of one route."""
        return [body for path, body, _ in self.log if path == f"/v1/{route}"]

    def load(self, body: dict[str, Any]) -> tuple[int, Any]:
        """Put an adapter beside the base, or say it and do not."""
        if not self.quirks.loads:
            return 404, {"error": {"message": "Not Found"}}
        adapter = None if self.quirks.ignores_adapters else body["lora_path"]
        self.students[body["lora_name"]] = open_student(self.base, adapter=adapter, device="cpu")
        return 200, "loaded"

    @torch.inference_mode()
    def complete(self, body: dict[str, Any]) -> tuple[int, Any]:
        """One chat completion."""
        if body["model"] not in self.students:
            return 404, {"error": {"message": "no such model", "code": "model_not_found"}}
        student = self.students[body["model"]]
        inputs = self.encode(student, body["messages"])
        logits = student.model(**inputs).logits[0, -1].float().log_softmax(-1)
        new = generate_greedily(inputs, student=student, max_new_tokens=body["max_tokens"])[0]
        text = student.tokenizer.decode(new, skip_special_tokens=True)
        message = {"role": "assistant", "content": text}
        choice: dict[str, Any] = {"index": 0, "finish_reason": "stop", "message": message}
        if self.quirks.reasoning:
            message["reasoning"] = "So"
        if body.get("logprobs") and self.quirks.logprobs:
            best = logits.topk(min(body["top_logprobs"], len(logits)))
            as_ids = self.quirks.token_ids and body.get("return_tokens_as_token_ids")
            top = [
                {"token": f"token_id:{i}" if as_ids else student.tokenizer.decode([i]), "logprob": p, "bytes": None}
                for i, p in zip(best.indices.tolist(), best.values.tolist(), strict=True)
            ]
            choice["logprobs"] = {"content": [top[0] | {"top_logprobs": top}]}
        prompt = inputs["input_ids"][0].tolist()
        reply: dict[str, Any] = {"id": "1", "object": "chat.completion", "created": 0, "model": body["model"]}
        if self.quirks.token_ids and body.get("return_token_ids"):
            choice["token_ids"], reply["prompt_token_ids"] = [*new, student.end_ids[0]], prompt
        if self.quirks.usage:
            counts = {"prompt_tokens": len(prompt), "completion_tokens": len(new)}
            reply["usage"] = counts | {"total_tokens": sum(counts.values())}
        return 200, reply | {"choices": [choice]}

    def encode(self, student: Student, messages: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        """The prompt of a chat, by the student's own template or by another one."""
        pictures = []
        for part in (part for message in messages for part in message["content"] if part["type"] == "image_url"):
            body = base64.b64decode(part["image_url"]["url"].removeprefix("data:image/png;base64,"))
            picture = Image.open(io.BytesIO(body))
            pictures.append(picture.convert("L").convert("RGB") if self.quirks.grey else picture)
        turns = [
            message | {"content": [{"type": "image"} if p["type"] == "image_url" else p for p in message["content"]]}
            for message in messages
        ]
        text = student.processor.apply_chat_template(
            turns, chat_template=self.quirks.template, add_generation_prompt=True, tokenize=False
        )
        batch = student.processor(text=[text], images=[pictures] if pictures else None, return_tensors="pt")
        return dict(batch)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""

    def do_GET(self) -> None:
        names = [{"id": name, "object": "model", "created": 0, "owned_by": "me"} for name in self.server.owner.students]
        self._send(200, {"object": "list", "data": names})

    def do_POST(self) -> None:
        owner: StudentServer = self.server.owner
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        with owner.lock:
            owner.log.append((self.path, body, self.headers.get("authorization", "").removeprefix("Bearer ")))
            if self.path == "/v1/load_lora_adapter":
                return self._send(*owner.load(body))
            if self.path == "/v1/unload_lora_adapter":
                owner.students.pop(body["lora_name"])
                return self._send(200, "unloaded")
            if len(owner.bodies("chat/completions")) <= owner.quirks.busy:
                return self._send(503, {"error": {"message": "the engine is overloaded"}})
            self._send(*owner.complete(body))

    def _send(self, status: int, value: Any) -> None:
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
