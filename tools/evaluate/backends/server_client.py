"""A server of the OpenAI protocol that serves the student: what it lists, its adapters, and one answer at a time.

Sent again is what a busy server or a broken connection did not answer; any other fault is one line. Safe for threads.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import io
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from errata.tools.errors import OperatorError
from errata.tools.evaluate.backends.options import ServerOptions
from errata.tools.student.source import ADAPTER, ADAPTER_CONFIG, PARTS, PARTS_CONFIG, STAGES, StudentSource
from errata.tools.teacher.faults import classify_fault

WHERE = "student.generate.server"
REMEDIES = {
    "key": "set the environment variable that student.generate.server.key_env names to a valid key",
    "connection": "see that student.generate.server.base_url is right and the server runs",
    "timeout": "see whether the server is well, or raise student.generate.server.timeout_seconds",
    "rate_limited": "lower student.generate.server.concurrency",
    "too_long": "serve a longer context, or lower student.generate.max_new_tokens",
    "no_model": "name a model that the server has",
    "bad_request": "set student.generate.server.token_ids: false if it refuses a field that it does not know",
}
OTHERWISE = "see the server's log, then resume"
_AS_ID = re.compile(r"token_id:(\d+)")


class Said(NamedTuple):
    """One answer."""

    text: str
    prompt_length: int | None
    """Tokens of the prompt as the server counts them; None where it does not say."""
    prompt: tuple[int, ...] | None
    """Its tokens, as vLLM gives them where it is asked to."""
    tokens: tuple[int, ...] | None
    """Of the answer."""
    first: dict[str, float]
    """Log-probabilities of the likeliest first tokens, where they were asked for."""


class StudentServer:
    """A client of one server. `key` is the key itself; None for a server that asks for none."""

    def __init__(self, options: ServerOptions, *, key: str | None) -> None:
        import openai

        self._options = options
        self._client = openai.OpenAI(
            base_url=options.base_url,
            api_key=key or "none",
            max_retries=options.attempts - 1,
            timeout=options.timeout_seconds,
        )
        self._loaded: set[str] = set()

    def __enter__(self) -> StudentServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Take out the adapters that were loaded here, as far as the server can still do it, and hang up."""
        import openai

        for name in sorted(self._loaded):
            with contextlib.suppress(openai.OpenAIError):
                self._client.post("/unload_lora_adapter", body={"lora_name": name}, cast_to=str)
        self._loaded.clear()
        self._client.close()

    def list_models(self) -> list[str]:
        """Names under which the server serves something. Raises `OperatorError`."""
        import openai

        try:
            return [str(model.id) for model in self._client.models.list().data]
        except (openai.OpenAIError, TypeError, AttributeError) as error:
            raise self._fault(error) from error

    def prepare(self, source: StudentSource) -> str:
        """The name to ask for; the adapter is loaded where the server does not list it. Raises `OperatorError`."""
        name, listed = served_name(source, model=self._options.model), self.list_models()
        if name in listed:
            return name
        if source.adapter is None:
            remedy = f"name one of those that it lists: {', '.join(listed[:8]) or 'none'}"
            raise OperatorError("the server has no such model", where=f"{WHERE}.model", value=name, remedy=remedy)
        if not (self._options.load_adapters and is_plain_lora(source.adapter)):
            what = "its adapter" if is_plain_lora(source.adapter) else "its merged weights (errata export --merged)"
            raise OperatorError(
                "the server does not serve this checkpoint",
                where=f"{WHERE} ({self._options.base_url})",
                value=name,
                remedy=f"serve {what} from {source.adapter} under this name, then resume",
            )
        self._load(name, source.adapter)
        return name

    def _load(self, name: str, folder: str) -> None:
        import openai

        body = {"lora_name": name, "lora_path": folder}
        try:
            self._client.post("/load_lora_adapter", body=body, cast_to=str)
        except openai.OpenAIError as error:
            rank = json.loads((Path(folder) / ADAPTER_CONFIG).read_text(encoding="utf-8"))["r"]
            raise OperatorError(
                f"the server does not load the adapter: {classify_fault(error, seconds=self._options.timeout_seconds)}",
                where=f"{WHERE} ({self._options.base_url})",
                value=folder,
                remedy="start vLLM with VLLM_ALLOW_RUNTIME_LORA_UPDATING=1, --enable-lora and --max-lora-rank "
                f"{rank} where it sees this folder, or serve the adapter as {name} and resume",
            ) from error
        self._loaded.add(name)

    def ask(
        self,
        messages: Sequence[dict[str, Any]],
        *,
        name: str,
        max_new_tokens: int,
        ends: Sequence[int],
        logprobs: int = 0,
        where: str,
    ) -> Said:
        """A greedy answer, without special tokens. Raises `OperatorError`; `where` names the question."""
        import openai

        own: dict[str, Any] = {}
        if self._options.token_ids:  # of vLLM; a repetition penalty would come from the model's generation config
            own = {"return_token_ids": True, "stop_token_ids": list(ends), "repetition_penalty": 1.0}
            own |= {"return_tokens_as_token_ids": True} if logprobs else {}
        asked: dict[str, Any] = {"logprobs": True, "top_logprobs": logprobs} if logprobs else {}
        try:
            reply = self._client.chat.completions.create(
                model=name,
                messages=list(messages),  # type: ignore[arg-type]
                max_tokens=max_new_tokens,
                temperature=0.0,
                seed=0,
                extra_body=own or None,
                **asked,
            )
        except openai.OpenAIError as error:
            raise self._fault(error, where=where) from error
        return read_reply(reply, where=where)

    def _fault(self, error: BaseException, *, where: str = "") -> OperatorError:
        fault = classify_fault(error, seconds=self._options.timeout_seconds)
        place = f"{WHERE} ({self._options.base_url})" + (f", {where}" if where else "")
        return OperatorError(str(fault), where=place, remedy=REMEDIES.get(fault.kind, OTHERWISE))


def read_reply(reply: Any, *, where: str) -> Said:
    """A completion as a record. Raises `OperatorError` for what is none, and for one whose thoughts were taken out."""
    choices = getattr(reply, "choices", None)
    if not choices or getattr(choices[0], "message", None) is None:
        raise OperatorError("the reply is no chat completion", where=f"{WHERE}, {where}", remedy=OTHERWISE)
    choice, rest = choices[0], reply.model_extra or {}
    message, own = choice.message, choice.model_extra or {}
    if any((message.model_extra or {}).get(name) for name in ("reasoning", "reasoning_content")):
        raise OperatorError(
            "the server takes the thoughts out of the answer",
            where=f"{WHERE}, {where}",
            remedy="start it without a reasoning parser: Errata reads the whole answer",
        )
    content = (choice.logprobs.content or []) if choice.logprobs else []
    first = {top.token: float(top.logprob) for top in content[0].top_logprobs} if content else {}
    prompt, tokens = rest.get("prompt_token_ids"), own.get("token_ids")
    return Said(
        text=(message.content or "").strip(),
        prompt_length=reply.usage.prompt_tokens if reply.usage else None,
        prompt=tuple(prompt) if prompt else None,
        tokens=tuple(tokens) if tokens is not None else None,
        first=first,
    )


def first_ids(first: dict[str, float]) -> dict[int, float] | None:
    """Log-probabilities by token id, where the server named tokens by their ids."""
    found = {match[1]: value for token, value in first.items() if (match := _AS_ID.fullmatch(token))}
    return {int(token): value for token, value in found.items()} if len(found) == len(first) else None


def served_name(source: StudentSource, *, model: str) -> str:
    """The base's name, or for a checkpoint one that changes with its weights.

    Checkpoints of two runs have the same ids, and a server keeps what it computed for a name (vLLM's issue 44939).
    """
    if source.adapter is None:
        return model
    return f"{model}-{source.checkpoint}-{digest_weights(Path(source.adapter))}"


def digest_weights(folder: Path) -> str:
    """Of a checkpoint's files, and of those of the stages that it is merged from."""
    total = hashlib.sha256()
    for name in (ADAPTER, ADAPTER_CONFIG, PARTS, PARTS_CONFIG, STAGES):
        if (folder / name).is_file():
            with (folder / name).open("rb") as file:
                total.update(hashlib.file_digest(file, "sha256").digest())
    if (folder / STAGES).is_file():
        for stage in json.loads((folder / STAGES).read_text(encoding="utf-8")):
            if stage != ".":
                total.update(digest_weights(folder / stage).encode())
    return total.hexdigest()[:12]


def is_plain_lora(folder: str) -> bool:
    """Whether a checkpoint is one LoRA adapter, which vLLM can put beside the base: no DoRA, stages or whole parts.

    Adapters on picture encoder or connector are none: vLLM 0.32 leaves such layers out, and only its log says so.
    """
    config = Path(folder) / ADAPTER_CONFIG
    if not config.is_file() or (Path(folder) / STAGES).is_file():
        return False
    body = json.loads(config.read_text(encoding="utf-8"))
    layers = [name.split(".") for name in body.get("target_modules") or () if "." in name]
    return not body.get("use_dora") and all({"language_model", "text_model"} & set(names) for names in layers)


def picture_url(picture: Any) -> str:
    """A PIL picture as a data URL, without loss."""
    body = io.BytesIO()
    picture.save(body, format="PNG")
    return "data:image/png;base64," + base64.b64encode(body.getvalue()).decode()
