"""A model behind an OpenAI-compatible API: a vendor's, or a server on loopback that stands in for one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import SecretStr
from typing_extensions import Unpack, override

from governance.backends.asking import Asking, Common
from governance.backends.line import Line
from governance.backends.prompts import BoundPrompt
from governance.backends.shapes import NAME, check_reading, schema_of
from governance.backends.taskprompts import BoundTaskPrompt


class OpenAIBackend(Asking):
    """Asks by chat completions; see `Asking`."""

    def __init__(
        self,
        *,
        base_url: str,
        model: str,
        api_key: SecretStr | None = None,
        identity: str | None = None,
        timeout: float = 60.0,
        max_retries: int = 5,
        max_tokens: int = 8,
        temperature: float | None = 0.0,
        seed: int | None = 0,
        limit_name: Literal["max_tokens", "max_completion_tokens"] = "max_tokens",
        structured: bool = False,
        top_logprobs: int | None = None,
        **common: Unpack[Common],
    ) -> None:
        """Get ready to ask; nothing is sent yet.

        Args:
            base_url: the endpoint, up to and including "/v1".
            model: the endpoint's name for the model.
            api_key: the key; None for endpoints that want none.
            identity: who answers, for cache keys; default `base_url`. A server on a free port needs
                a steady one: a digest of its weights, its kind and precision.
            timeout: seconds for one try.
            max_retries: tries after the first.
            max_tokens: length limit of an answer.
            temperature: None: not sent, for models that refuse it.
            seed: None: not sent.
            limit_name: what the endpoint calls the length limit.
            structured: hold answers to a JSON schema.
            top_logprobs: alternatives of each token to ask for, of which scores are made; None: none.
            common: see `Common`.

        Raises:
            ConfigError: the address or the key can't be used, or the task's answers have no schema or can't be scored.
            MissingExtra: the SDK isn't installed.
        """
        check_reading(common["prompt"], structured=structured, scored=top_logprobs is not None)
        super().__init__(
            Line(base_url, api_key, timeout=timeout, max_retries=max_retries),
            model=model,
            identity=identity or base_url,
            options={
                limit_name: max_tokens,
                "temperature": temperature,
                "seed": seed,
                **(self._form(common["prompt"]) if structured else {}),
                "logprobs": True if top_logprobs is not None else None,
                "top_logprobs": top_logprobs,
            },
            max_tokens=max_tokens,
            structured=structured,
            scored=top_logprobs is not None,
            **common,
        )

    @override
    def _form(self, prompt: BoundPrompt | BoundTaskPrompt) -> Mapping[str, object]:
        form = {"name": NAME, "strict": True, "schema": schema_of(prompt)}
        return {"response_format": {"type": "json_schema", "json_schema": form}}

    @override
    def _body(self, system: str, user: str) -> Mapping[str, object]:
        messages = [{"role": "system", "content": system}, {"role": "user", "content": user}]
        return {"model": self._model, "messages": messages, **self._options}
