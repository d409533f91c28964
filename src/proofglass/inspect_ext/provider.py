"""Every victim as a model of Inspect: `--model proofglass/testbed-linear`, perhaps behind a defense.

One worker answers one ask at a time, whatever Inspect sends at once: a batch made up by the order of arrival would be
padded otherwise in every run, and its numbers would move. Runs at speed are `proofglass run`.
"""

from __future__ import annotations

import threading
from typing import Any

from anyio import to_thread
from inspect_ai.model import ChatMessage, GenerateConfig, ModelAPI, ModelOutput, modelapi
from inspect_ai.tool import ToolChoice, ToolInfo

from proofglass.inspect_ext.messages import chat_of, output_of, settings_of
from proofglass.inspect_ext.plugs import Given, plug
from proofglass.interfaces import Victim
from proofglass.types import Ask, Reply

# What would change the answer and no victim does: said, not left out in silence.
_NOT_DONE = (
    "num_choices", "best_of", "top_k", "frequency_penalty", "presence_penalty", "logit_bias", "logprobs",
    "prompt_logprobs", "response_schema",
)  # fmt: skip


class VictimFailed(RuntimeError):
    """The victim gave no answer; Inspect makes it an error of the sample."""


class VictimAPI(ModelAPI):
    """The victim `model_name`; `-M FIELD=VALUE` sets its fields. defense: stands before it, as a study names it.

    Raises UsageError for an unknown victim, defense or field.
    """

    def __init__(
        self,
        model_name: str,
        base_url: str | None = None,
        api_key: str | None = None,
        config: GenerateConfig | None = None,
        defense: Given = "none",
        **fields: Any,
    ) -> None:
        super().__init__(model_name, base_url, api_key, [], config or GenerateConfig())
        self.victim: Victim = plug("victims", {model_name: fields})
        self._guarded: Victim = plug("defenses", defense)(self.victim)
        self._one_at_a_time = threading.Lock()  # of threads, not of a loop: every eval has a loop of its own

    async def generate(
        self, input: list[ChatMessage], tools: list[ToolInfo], tool_choice: ToolChoice, config: GenerateConfig
    ) -> ModelOutput:
        """Raises VictimFailed if the victim gives no answer, ValueError for what it cannot be asked."""
        if tools:
            raise ValueError(f"proofglass/{self.model_name}: takes no tools, found {', '.join(t.name for t in tools)}")
        for name in _NOT_DONE:
            if getattr(config, name, None):
                raise ValueError(f"proofglass/{self.model_name}: takes no {name}")
        reply = await to_thread.run_sync(self._reply, Ask(chat_of(input), settings_of(config)))
        if reply.outcome == "error":
            raise VictimFailed(reply.reason)
        return output_of(reply, self.model_name)

    def _reply(self, ask: Ask) -> Reply:
        with self._one_at_a_time:
            return self._guarded.reply([ask])[0]

    def max_connections(self) -> int:
        return 1

    def connection_key(self) -> str:
        return self.model_name

    async def count_text_tokens(self, text: str) -> int:
        """At the most: one token per byte. The default would download a vocabulary."""
        return len(text.encode())


@modelapi(name="proofglass")
def proofglass() -> type[ModelAPI]:
    """Models `proofglass/<victim>`."""
    return VictimAPI
