"""Letters that are missing from the returned top list, read by a forced continuation (methods, section 2).

One request a letter: the model's own reply up to the answer, then that letter, stands as the beginning of the
assistant's turn, and the server is asked for the probabilities of the prompt's own tokens, the last of which is the
letter (vLLM: `continue_final_message` with `prompt_logprobs`). A server that refuses this, or leaves it unanswered, is
not asked again: its letters keep their intervals, and what these leave open stays unscored.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from errata.tools.teacher.chat_asking import Asker
from errata.tools.teacher.endpoint import ChatReply, ChatRequest, EndpointFault
from errata.tools.teacher.letters import begin_with, letter_of, missing_letters

Asked = tuple[ChatRequest, ChatReply | EndpointFault, Sequence[str]]
"""A request for an answer, its reply, and the letters of its options."""


class LetterForcer:
    """Knows whether the endpoint can; shared by all stages of a teacher."""

    def __init__(self) -> None:
        self.able: bool | None = None
        """None until it was tried."""

    def force(self, asker: Asker, asked: Sequence[Asked]) -> list[dict[str, float]]:
        """Per reply the probabilities of the letters that its top list lacks, as far as they could be read.

        Raises OperatorError and BudgetSpent as every request of the teacher does.
        """
        wanted = [
            (place, letter, _force_letter(request, reply, letters, letter))
            for place, (request, reply, letters) in enumerate(asked)
            if isinstance(reply, ChatReply) and not reply.thought  # its thought could not be put back before it
            for letter in missing_letters(reply, letters)
        ]
        found: list[dict[str, float]] = [{} for _ in asked]
        replies = self._send(asker, [request for _, _, request in wanted])
        for (place, letter, _), reply in zip(wanted, replies, strict=True):
            if isinstance(reply, ChatReply) and reply.forced and letter_of(reply.forced.token, [letter]):
                found[place][letter] = math.exp(reply.forced.logprob)
        return found

    def _send(self, asker: Asker, requests: Sequence[ChatRequest]) -> list[ChatReply | EndpointFault | None]:
        """One request after the other until one shows whether the rest are worth sending."""
        found: list[ChatReply | EndpointFault | None] = []
        while self.able is None and len(found) < len(requests):
            try:
                (reply,) = asker.send("diagnose", [requests[len(found)]])
            except EndpointFault as fault:
                if fault.kind != "bad_request":
                    raise asker.stop(fault, role="diagnose") from None
                self.able = False
                break
            if isinstance(reply, ChatReply):
                self.able = reply.forced is not None
            found.append(reply)
        rest = requests[len(found) :]
        return [*found, *(asker.ask("diagnose", rest) if self.able else [None for _ in rest])]


def _force_letter(request: ChatRequest, reply: ChatReply, letters: Sequence[str], letter: str) -> ChatRequest:
    beginning = {"role": "assistant", "content": begin_with(reply, letters, letter)}
    return request.model_copy(
        update={"messages": (*request.messages, beginning), "top_logprobs": 0, "max_tokens": 1, "forced": True}
    )
