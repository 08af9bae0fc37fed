"""A model behind Anthropic's Messages API: the vendor's own, or a gateway that speaks it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from pydantic import SecretStr
from typing_extensions import Unpack, override

from governance.backends.asking import Asking, Common
from governance.backends.cache import Reply
from governance.backends.line import Line
from governance.backends.prompts import BoundPrompt
from governance.backends.replies import read_message
from governance.backends.shapes import schema_of
from governance.backends.taskprompts import BoundTaskPrompt

if TYPE_CHECKING:
    import anthropic

VENDOR = "https://api.anthropic.com"
VERSION = "2026-10-21"
"""The published version of the API that is spoken and read here; a header from the environment can't change it."""


class MessagesLine(Line):
    """A line to an endpoint of Anthropic's kind."""

    SDK, EXTRA, RAISES, PATH = "anthropic", "anthropic", "AnthropicError", "/v1/messages"

    @override
    def _client(self, transport: Any) -> anthropic.AsyncAnthropic:
        client: anthropic.AsyncAnthropic = self._sdk.AsyncAnthropic(
            # Given no key, the SDK would look for one in variables, profiles and files.
            api_key=self._secret() or "none",
            base_url=self._base_url,
            timeout=self._timeout,
            max_retries=self._max_retries,
            http_client=transport,
            open_telemetry=False,  # its spans may hold prompts
        )
        return client

    @override
    def _headers(self) -> Mapping[str, str]:
        return {**super()._headers(), "anthropic-version": VERSION}

    @override
    def _reply(self, body: bytes) -> Reply | str:
        return read_message(body)


class AnthropicBackend(Asking):
    """Asks by messages; see `Asking`. The API takes neither a temperature nor a seed: answers may vary."""

    def __init__(
        self,
        *,
        model: str,
        api_key: SecretStr | None = None,
        base_url: str = VENDOR,
        timeout: float = 60.0,
        max_retries: int = 5,
        max_tokens: int = 16,
        thinking: Literal["disabled"] | None = None,
        structured: bool = False,
        **common: Unpack[Common],
    ) -> None:
        """Get ready to ask; nothing is sent yet.

        Args:
            model: the vendor's name for the model.
            api_key: the key; None for gateways that want none.
            base_url: the endpoint, without "/v1".
            timeout: seconds for one try.
            max_retries: tries after the first.
            max_tokens: length limit of an answer, thoughts included.
            thinking: None: as the model does by itself.
            structured: hold answers to a JSON schema.
            common: see `Common`.

        Raises:
            ConfigError: the address or the key can't be used, or the task's answers have no schema.
            MissingExtra: the SDK isn't installed.
        """
        super().__init__(
            MessagesLine(base_url, api_key, timeout=timeout, max_retries=max_retries),
            model=model,
            # One gateway may speak both vendors' ways.
            identity=f"anthropic {VERSION} {base_url}",
            options={
                "max_tokens": max_tokens,
                "thinking": {"type": thinking} if thinking else None,
                **(self._form(common["prompt"]) if structured else {}),
            },
            max_tokens=max_tokens,
            structured=structured,
            **common,
        )

    @override
    def _form(self, prompt: BoundPrompt | BoundTaskPrompt) -> Mapping[str, object]:
        return {"output_config": {"format": {"type": "json_schema", "schema": schema_of(prompt)}}}

    @override
    def _body(self, system: str, user: str) -> Mapping[str, object]:
        return {
            "model": self._model,
            **({"system": system} if system else {}),
            "messages": [{"role": "user", "content": user}],
            **self._options,
        }
