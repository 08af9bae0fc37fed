"""A filled prompt as a language model on this machine reads it: scrubbed, in the model's own form, in tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from governance.backends.asking import Gate
from governance.dataset import ModelText, SyntheticText
from governance.errors import BackendError, ScrubError


@dataclass(frozen=True, slots=True)
class Given:
    """A filled prompt: its tokens, and whether a word after it begins with a space."""

    ids: tuple[int, ...]
    spaced: bool


class Asking:
    """Makes prompts tokens.

    Args:
        tokenizer: with a chat template or without one.
        gate: the scrubber.
        pairs: whether an encoder reads the prompt.

    Attributes:
        begin: the token that a text begins with, where the model has one.

    Raises:
        BackendError: the chat template can't be used.
    """

    def __init__(self, tokenizer: Any, gate: Gate, *, pairs: bool) -> None:
        self._tokenizer, self._gate, self._pairs = tokenizer, gate, pairs
        self.begin = [i for i in tokenizer("")["input_ids"] if i == tokenizer.bos_token_id][:1]
        self._joined = bool(tokenizer.chat_template) and self._refuses_system()

    def given(self, system: str, message: ModelText) -> Given | str:
        """A filled prompt, scrubbed, or why there is none."""
        user = self.vouched(message)
        if user is None:
            return "not asked: the scrubber can't vouch for the message"
        if self._tokenizer.chat_template:
            return Given(tuple(self._chat(system, user)), spaced=False)
        text = f"{system}\n\n{user}" if system else user
        if self._pairs:
            return Given(tuple(self._tokenizer(text, split_special_tokens=True)["input_ids"]), spaced=False)
        ids = (*self.begin, *self.ids(text))
        return Given(ids, spaced=text[-1:].isascii() and not text[-1:].isspace())

    def vouched(self, text: ModelText) -> str | None:
        """As it may be asked; ours is nobody's data, and a name swap must not become a placeholder."""
        if isinstance(text, SyntheticText):
            return text.text
        try:
            return self._gate(text.text, "prompt")[0]
        except ScrubError:
            return None

    def _chat(self, system: str, user: str) -> list[int]:
        """A conversation of one message; what a text says that looks like the template's own marks stays text."""
        if system and self._joined:
            system, user = "", f"{system}\n\n{user}"
        messages = [{"role": "system", "content": system}] if system else []
        made = self._tokenizer.apply_chat_template(
            [*messages, {"role": "user", "content": user}],
            add_generation_prompt=True,
            sanitize_control_tokens=True,
            return_dict=True,
        )
        return list(made["input_ids"])

    def _refuses_system(self) -> bool:
        """Whether the chat template has no place for a system message, as Gemma's; it then stands before the user's."""
        from jinja2 import TemplateError

        self._joined = False
        try:
            self._chat("", "x")
        except (TemplateError, ValueError, TypeError, AttributeError) as error:
            raise BackendError(f"the model's chat template fails: {type(error).__name__}") from None
        try:
            self._chat("x", "x")
        except TemplateError:
            return True
        return False

    def ids(self, text: str) -> list[int]:
        """Tokens of a text alone; what looks like one of the model's own marks stays text."""
        return list(self._tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"])
