"""A deciding chat model whose replies are paid once: it uses the teacher's store, caps and retries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, convert_to_openai_messages
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import ConfigDict

from errata.agent.settings.tree import DecideSettings
from errata.prompts import prompt_digest
from errata.tools.teacher.chat_asking import stop_line
from errata.tools.teacher.chat_options import EndpointOptions
from errata.tools.teacher.endpoint import ChatReply, ChatRequest, EndpointFault
from errata.tools.teacher.retrying import RetryingEndpoint


class PaidDecider(BaseChatModel):
    """Satisfies langchain's chat model with tools. A lasting fault of the endpoint is an OperatorError."""

    model_config = ConfigDict(arbitrary_types_allowed=True)
    endpoint: RetryingEndpoint
    options: EndpointOptions

    def scoped(self, iteration: int) -> PaidDecider:
        """The same model, whose requests are entered under this iteration."""
        endpoint = self.endpoint.scoped("investigate", iteration=iteration)
        return PaidDecider(endpoint=endpoint, options=self.options)

    @property
    def _llm_type(self) -> str:
        return "errata-paid"

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Runnable[Any, AIMessage]:
        """The model with these tools bound to it."""
        return self.bind(tools=[convert_to_openai_tool(tool) for tool in tools], **kwargs)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        del stop, run_manager
        shown = convert_to_openai_messages(messages)
        request = ChatRequest(
            role="decide",
            model=self.options.model,
            messages=tuple(shown) if isinstance(shown, list) else (shown,),
            tools=tuple(kwargs.get("tools") or ()),
            max_tokens=self.options.max_tokens,
            thinking_tokens=self.options.thinking_tokens,
            temperature=self.options.temperature,
            extra=self.options.extra,
            prompt_version=prompt_digest("decide"),
        )
        try:
            reply = self.endpoint.complete(request)
        except EndpointFault as fault:
            raise stop_line(fault, role="decide", endpoint=self.options, where="decide") from None
        return ChatResult(generations=[ChatGeneration(message=read_message(reply))])


def decide_options(settings: DecideSettings) -> EndpointOptions:
    """The endpoint of the deciding model."""
    return EndpointOptions(
        base_url=settings.base_url or "",
        model=settings.model,
        key_env=settings.key_env,
        max_tokens=settings.max_tokens,
        thinking_tokens=settings.thinking_tokens,
        temperature=settings.temperature,
        extra=settings.extra,
    )


def read_message(reply: ChatReply) -> AIMessage:
    """The reply as a langchain message."""
    calls = [{**call, "type": "tool_call"} for call in reply.tool_calls]
    broken = [{**call, "type": "invalid_tool_call"} for call in reply.broken_calls]
    return AIMessage(content=reply.text, tool_calls=calls, invalid_tool_calls=broken)
