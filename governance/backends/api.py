"""A model behind an OpenAI-compatible API: a vendor's, or a server on loopback that stands in for one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import SecretStr
from typing_extensions import override

from governance.backends.asking import Asking, Closes, Direction, Gate
from governance.backends.cache import AnswerCache
from governance.backends.limits import Limits
from governance.backends.line import Line, run_to_end
from governance.backends.prompts import Prompt
from governance.dataset import Labels

__all__ = ["Direction", "Gate", "OpenAIBackend", "run_to_end"]


class OpenAIBackend(Asking):
    """Asks by chat completions; see `Asking`."""

    def __init__(
        self,
        *,
        base_url: str,
        model: str,
        prompt: Prompt,
        labels: Labels,
        gate: Gate,
        api_key: SecretStr | None = None,
        cache: AnswerCache | None = None,
        identity: str | None = None,
        concurrency: int = 4,
        timeout: float = 60.0,
        max_retries: int = 5,
        max_tokens: int = 8,
        temperature: float | None = 0.0,
        seed: int | None = 0,
        limit_name: Literal["max_tokens", "max_completion_tokens"] = "max_tokens",
        limits: Limits | None = None,
        patience: int = 5,
        owned: Sequence[Closes] = (),
    ) -> None:
        """Get ready to ask; nothing is sent yet. What isn't named here is `Asking`'s.

        Args:
            base_url: the endpoint, up to and including "/v1".
            model: the endpoint's name for the model.
            prompt: how the task is put.
            labels: the task's classes.
            gate: the scrubber.
            api_key: the key; None for endpoints that want none.
            cache: where answers are kept; None: nowhere.
            identity: who answers, for cache keys; default `base_url`. A server on a free port needs
                a steady one: a digest of its weights, its kind and precision.
            concurrency: requests under way at once.
            timeout: seconds for one try.
            max_retries: tries after the first.
            max_tokens: length limit of an answer.
            temperature: None: not sent, for models that refuse it.
            seed: None: not sent.
            limit_name: what the endpoint calls the length limit.
            limits: what may be spent, and how fast; None: any.
            patience: rows in a row that may be lost to the endpoint before the rest are not asked.
            owned: what `close` ends as well, in this order.

        Raises:
            ConfigError: the address, the key or the prompt can't be used.
            MissingExtra: the SDK isn't installed.
        """
        super().__init__(
            Line(base_url, api_key, timeout=timeout, max_retries=max_retries),
            model=model,
            prompt=prompt,
            labels=labels,
            gate=gate,
            identity=identity or base_url,
            options={limit_name: max_tokens, "temperature": temperature, "seed": seed},
            max_tokens=max_tokens,
            cache=cache,
            concurrency=concurrency,
            limits=limits,
            patience=patience,
            owned=owned,
        )

    @override
    def _body(self, system: str, user: str) -> Mapping[str, object]:
        messages = [{"role": "system", "content": system}, {"role": "user", "content": user}]
        return {"model": self._model, "messages": messages, **self._options}
