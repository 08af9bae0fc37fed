"""Gradients unit by unit from one backward pass: their norms, and their weighted sums.

A forward hook notes what went into each trained layer, a hook on its output what came back. Autograd itself is
told that the weights need no gradient, so the backward pass costs less than an ordinary one; what is saved there pays
for the norms. Layers without a rule in `pieces` go through Opacus's own per-sample gradient functions.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import torch
from torch import nn

from governance.errors import ConfigError
from governance.training.dp.pieces import Lookup, Outer, Piece, Whole, joined, squared_norm

COUPLED = {
    "_BatchNorm": "normalises over the rows of a batch; replace it by GroupNorm (ModuleValidator.fix does)",
    "SyncBatchNorm": "normalises over the rows of a batch; replace it by GroupNorm (ModuleValidator.fix does)",
    "LSTM": "its gates can't be seen one by one; use opacus.layers.DPLSTM",
    "GRU": "its gates can't be seen one by one; use opacus.layers.DPGRU",
    "RNN": "its gates can't be seen one by one; use opacus.layers.DPRNN",
    "MultiheadAttention": "its products can't be seen one by one; use opacus.layers.DPMultiheadAttention",
}
"""Class of a layer -> why it can't be trained privately, and what to do."""


@runtime_checkable
class TellsPieces(Protocol):
    """A layer of our own that knows its gradient's shape better than a general rule does."""

    def pieces(
        self, given: tuple[torch.Tensor, ...], returned: torch.Tensor, records: int
    ) -> Iterator[tuple[nn.Parameter, Piece]]:
        """Its parameters' gradients by unit, from its inputs and the gradient of its output."""


@dataclass(eq=False)
class _Use:
    """One call of a layer: its input, and, after the backward pass, the gradient of its output."""

    layer: nn.Module
    all_given: tuple[torch.Tensor, ...]
    returned: torch.Tensor | None = None

    @property
    def given(self) -> torch.Tensor:
        return self.all_given[0]


@dataclass(eq=False)
class Bounded:
    """What one forward and backward pass says about U units.

    Attributes:
        losses: of each record, detached.
        norms: L2 norm of each unit's gradient over all trained parameters, shape (U,); not finite where broken.
    """

    losses: torch.Tensor
    norms: torch.Tensor
    _pieces: dict[nn.Parameter, list[Piece]] = field(repr=False)

    def weighted_sums(
        self, weights: torch.Tensor, *, last: bool = False
    ) -> Iterator[tuple[nn.Parameter, torch.Tensor]]:
        """For each parameter that was used: the sum over units of weight times gradient.

        A unit whose norm is not finite adds nothing, whatever its weight: else one row could destroy every parameter.

        Args:
            weights: of the units, shape (U,).
            last: no other sums will be asked for: what was kept for a parameter goes with its sum.
        """
        broken = ~torch.isfinite(self.norms)
        some = bool(broken.any())
        for parameter in reversed(list(self._pieces)):  # large tables are at a model's start: when the rest is gone
            pieces = self._pieces.pop(parameter) if last else self._pieces[parameter]
            sound = [piece.without(broken) for piece in pieces] if some else pieces
            total = sound[0].weighted_sum(weights)
            for piece in sound[1:]:
                total = total + piece.weighted_sum(weights)
            yield parameter, total


class UnitGradients:
    """Watches a model's trained layers.

    Args:
        model: its parameters that require a gradient are the trained ones, from now on: one that is frozen or unfrozen
            later is an error.
        records: of one unit, which follow one another in a batch; 1 where a unit is a record.

    Raises:
        ConfigError: a trained parameter belongs to a layer whose rows can't be told apart; says which and what to do.
    """

    def __init__(self, model: nn.Module, *, records: int = 1) -> None:
        self.model = model
        self.records = records
        self.trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
        if not self.trained:
            raise ConfigError("private training: this model has no trained parameter")
        self._layers = {name: m for name, m in model.named_modules() if _own(m)}
        for name, layer in model.named_modules():
            refuse_coupled(name, layer)
        for name, layer in self._layers.items():
            _check_known(name, layer)
        self._uses: list[_Use] = []
        self._batch = 0

    def check_unchanged(self) -> None:
        """What is trained must be what the claim says is trained.

        Raises:
            ConfigError: a parameter was frozen, unfrozen, added or replaced since.
        """
        now = {name: p for name, p in self.model.named_parameters() if p.requires_grad}
        if now.keys() != self.trained.keys() or any(now[name] is not p for name, p in self.trained.items()):
            changed = sorted(now.keys() ^ self.trained.keys()) or ["(replaced)"]
            raise ConfigError(
                f"private training: parameter '{changed[0]}' was frozen, unfrozen or replaced after training began, "
                "so its gradient would not be bounded; choose what is trained before"
            )

    def __call__(self, records: int, losses: Callable[[], torch.Tensor]) -> Bounded:
        """Run `losses` once, forward and backward.

        Args:
            records: in this batch, a multiple of a unit's.
            losses: each record's own loss, shape (records,): it must not depend on the other records.

        Raises:
            ConfigError: the set of trained parameters changed since the start.
        """
        self.check_unchanged()
        self._batch, self._uses = records, []  # a loss that failed may have left some
        with self._watching():
            values = losses()
            if values.shape != (records,):
                raise ValueError(f"expected one loss for each of {records} records, got shape {tuple(values.shape)}")
            if not values.requires_grad:
                raise ConfigError(
                    "private training: no layer with trained parameters reaches the loss; a weight that is used "
                    "outside its layer can't be seen: call the layer"
                )
            values.sum().backward()
        uses, self._uses = self._uses, []
        pieces = self._collect(uses)
        norms = torch.stack([squared_norm(found) for found in pieces.values()]).sum(0).sqrt()
        return Bounded(values.detach(), norms, pieces)

    @contextlib.contextmanager
    def _watching(self) -> Iterator[None]:
        handles = []
        for layer in self._layers.values():
            if isinstance(layer, nn.Embedding):
                handles.append(layer.register_forward_pre_hook(self._one_row_each))
            handles.append(layer.register_forward_hook(self._note))
        for parameter in self.trained.values():
            parameter.requires_grad_(False)
        try:
            yield
        finally:
            for parameter in self.trained.values():
                parameter.requires_grad_(True)
            for handle in handles:
                handle.remove()

    def _one_row_each(self, _: nn.Module, given: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...] | None:
        """Position ids of shape (1, T), shared by the batch, would mix the rows' gradients: give each row its own."""
        ids = given[0]
        if ids.dim() == 2 and len(ids) == 1 and self._batch > 1:
            return (ids.expand(self._batch, -1), *given[1:])
        return None

    def _note(self, layer: nn.Module, given: tuple[torch.Tensor, ...], output: torch.Tensor) -> torch.Tensor | None:
        if not torch.is_grad_enabled():
            return None
        use = _Use(layer, tuple(tensor.detach() for tensor in given if isinstance(tensor, torch.Tensor)))
        self._uses.append(use)
        replaced = None
        if not output.requires_grad:  # the lowest trained layer: nothing below it needs a gradient
            replaced = output = output + torch.zeros((), dtype=output.dtype, device=output.device, requires_grad=True)
        output.register_hook(lambda gradient: setattr(use, "returned", gradient))
        return replaced

    def _collect(self, uses: list[_Use]) -> dict[nn.Parameter, list[Piece]]:
        found: dict[nn.Parameter, list[Piece]] = {}
        for use in uses:
            if use.returned is None:  # its output did not reach the loss
                continue
            for parameter, piece in self._pieces_of(use):
                found.setdefault(parameter, []).append(piece)
        return {parameter: joined(pieces) for parameter, pieces in found.items()}

    def _pieces_of(self, use: _Use) -> Iterator[tuple[nn.Parameter, Piece]]:
        layer, given, returned = use.layer, use.given, use.returned
        assert returned is not None  # noqa: S101 - narrows the type; the caller looked
        if len(returned) != self._batch:
            name = next(name for name, known in self._layers.items() if known is layer)
            raise ConfigError(
                f"private training: layer '{name}' ({type(layer).__name__}) returned {len(returned)} rows for "
                f"{self._batch} records, so its gradient can't be told apart by record; freeze it, or give each its own"
            )
        if isinstance(layer, nn.Embedding):
            ids = self._by_unit(given.unsqueeze(-1)).squeeze(-1)
            if layer.padding_idx is not None:
                ids = ids.masked_fill(ids == layer.padding_idx, -1)
            yield _weight(layer), Lookup(ids, self._by_unit(returned).float(), layer.num_embeddings)
        elif _multiplies(layer):
            b = self._by_unit(returned).float()
            weight, bias = _weight(layer), layer.get_parameter("bias") if layer.bias is not None else None
            if weight.requires_grad:
                yield weight, Outer(self._by_unit(given).float(), b, not isinstance(layer, nn.Linear))
            if bias is not None and bias.requires_grad:
                yield bias, Whole(b.sum(1))
        elif isinstance(layer, TellsPieces):
            yield from layer.pieces(use.all_given, returned, self.records)
        else:
            for parameter, gradients in _by_opacus(layer, given, returned).items():
                yield parameter, Whole(gradients.view(-1, self.records, *gradients.shape[1:]).sum(1).float())

    def _by_unit(self, tensor: torch.Tensor) -> torch.Tensor:
        """(records, ..., width) to (U, positions, width): all positions of a unit's records, one after another."""
        return tensor.reshape(self._batch // self.records, -1, tensor.shape[-1])


def refuse_coupled(name: str, layer: nn.Module) -> None:
    """Refuse a layer that mixes the rows of a batch, or whose rows can't be told apart.

    Raises:
        ConfigError: names the layer and says what to do.
    """
    for kind in type(layer).__mro__:
        if (
            kind.__name__ in COUPLED
            and kind.__module__.startswith("torch.")
            and (_own(layer) or kind.__name__.endswith("BatchNorm"))
        ):
            raise ConfigError(f"private training: layer '{name}' ({type(layer).__name__}): {COUPLED[kind.__name__]}")
    if getattr(layer, "track_running_stats", False) and list(layer.buffers(recurse=False)):
        raise ConfigError(
            f"private training: layer '{name}' ({type(layer).__name__}) keeps running statistics of rows, which the "
            "noise does not cover; build it with track_running_stats=False"
        )


def _weight(layer: nn.Module) -> nn.Parameter:
    return layer.get_parameter("weight")


def _own(layer: nn.Module) -> list[nn.Parameter]:
    """Trained parameters that none of the layer's parts holds too: Opacus's DPLSTM lists its cells' by other names."""
    inner = {id(p) for part in layer.children() for p in part.parameters()}
    return [p for p in layer.parameters(recurse=False) if p.requires_grad and id(p) not in inner]


def _multiplies(layer: nn.Module) -> bool:
    """A linear layer, or Hugging Face's Conv1D, which is one with its weight transposed."""
    if isinstance(layer, nn.Linear):
        return True
    return any(k.__name__ == "Conv1D" and k.__module__ == "transformers.pytorch_utils" for k in type(layer).__mro__)


def _check_known(name: str, layer: nn.Module) -> None:
    if list(layer.children()):
        own = [key for key, p in layer.named_parameters(recurse=False) if p.requires_grad]
        raise ConfigError(
            f"private training: parameter '{name}.{own[0]}' belongs to {type(layer).__name__}, which has parts "
            "of its own, so its use can't be seen; freeze it, or move it into a layer"
        )


def _by_opacus(layer: nn.Module, given: torch.Tensor, returned: torch.Tensor) -> Mapping[nn.Parameter, torch.Tensor]:
    """Per-record gradients by Opacus: its rule for this type of layer, or its way through functorch."""
    from opacus.grad_sample import GradSampleModule
    from opacus.grad_sample.functorch import ft_compute_per_sample_gradient, prepare_layer

    rule: Any = GradSampleModule.GRAD_SAMPLERS.get(type(layer))
    if rule is None:
        prepare_layer(layer)
        rule = ft_compute_per_sample_gradient
    found: Mapping[nn.Parameter, torch.Tensor] = rule(layer, [given], returned)
    return {parameter: gradients.detach() for parameter, gradients in found.items() if parameter.requires_grad}
