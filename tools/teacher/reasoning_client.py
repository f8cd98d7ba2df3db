"""langchain's chat client, which also keeps the thought that a server hands over beside the reply.

langchain-openai drops the fields in which servers give it (vLLM: `reasoning`, once `reasoning_content`; so do SGLang,
llama.cpp, DeepSeek and OpenRouter); its documentation leaves them to a subclass.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from langchain_core.outputs import ChatResult
from langchain_openai import ChatOpenAI

from errata.tools.teacher.parse_reply import REASONING

FIELDS = ("reasoning_content", "reasoning")


class ReasoningChat(ChatOpenAI):
    """`additional_kwargs[REASONING]` of a message is the thought."""

    def _create_chat_result(self, response: Any, generation_info: dict[str, Any] | None = None) -> ChatResult:
        result = super()._create_chat_result(response, generation_info)
        body = response if isinstance(response, Mapping) else response.model_dump(warnings=False)
        for choice, generation in zip(body["choices"], result.generations, strict=True):
            said = choice["message"]
            thought = next((said[name] for name in FIELDS if isinstance(said.get(name), str) and said[name]), "")
            if thought:
                generation.message.additional_kwargs[REASONING] = thought
        return result
