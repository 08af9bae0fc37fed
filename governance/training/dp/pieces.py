"""What one layer adds to a parameter's gradient, unit by unit, without writing that gradient out where it is large.

A linear layer's gradient for one unit is a sum of outer products of backprops and activations. Its norm follows from
two Gram matrices of T x T (T tokens), its clipped sum over units from one matrix product: neither needs a tensor of
the parameter's size for every unit. Source: Li et al. (2022), arXiv:2110.05679 (the norm); Bu et al. (2023),
arXiv:2210.00038 (one backward pass for both).

Shapes: U units, T positions of a unit (all of its records' tokens, one after another).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import torch

SLACK = 1e-6


class Piece(Protocol):
    """One use of a parameter in a forward pass."""

    def squared_norm(self) -> torch.Tensor:
        """Of each unit's gradient, shape (U,)."""

    def weighted_sum(self, weights: torch.Tensor) -> torch.Tensor:
        """Sum over units of weight times gradient, in the parameter's shape."""

    def each(self) -> torch.Tensor:
        """Every unit's gradient, shape (U, *parameter's shape): large; for small and odd ones."""

    def without(self, units: torch.Tensor) -> Piece:
        """The same with nothing from these units (a mask of shape (U,)), whose values may not be finite."""


@dataclass(eq=False)
class Outer:
    """A matrix that multiplies: the gradient is the sum over positions of backprop x activation.

    Attributes:
        a: activations, shape (U, T, in).
        b: backprops, shape (U, T, out).
        transposed: the parameter is (in, out), as Hugging Face's Conv1D keeps it, not (out, in).
    """

    a: torch.Tensor
    b: torch.Tensor
    transposed: bool

    @cached_property
    def _written_out(self) -> bool:
        """Whether the gradients are smaller than the Gram matrices: thin (LoRA) or one-position uses."""
        return self.a.shape[2] * self.b.shape[2] <= 2 * self.a.shape[1] ** 2

    @cached_property
    def _each(self) -> torch.Tensor:
        left, right = (self.a, self.b) if self.transposed else (self.b, self.a)
        return torch.bmm(left.transpose(1, 2), right)

    def each(self) -> torch.Tensor:
        """See `Piece`."""
        return self._each

    def squared_norm(self) -> torch.Tensor:
        """See `Piece`."""
        if self._written_out:
            return self._each.square().sum((1, 2))
        return _inner(torch.bmm(self.a, self.a.mT), torch.bmm(self.b, self.b.mT))

    def weighted_sum(self, weights: torch.Tensor) -> torch.Tensor:
        """See `Piece`."""
        if self._written_out:
            total: torch.Tensor = torch.tensordot(weights, self._each, dims=1)
            return total
        a, b = self.a.flatten(0, 1), (self.b * weights[:, None, None]).flatten(0, 1)
        return a.T @ b if self.transposed else b.T @ a

    def without(self, units: torch.Tensor) -> Outer:
        """See `Piece`."""
        return Outer(_cleared(self.a, units), _cleared(self.b, units), self.transposed)


@dataclass(eq=False)
class Lookup:
    """A table that is read: the gradient of a row is the sum of backprops where it was read.

    Attributes:
        ids: which row, shape (U, T); -1 where nothing is learnt (a padding index).
        b: backprops, shape (U, T, width).
        rows: of the table.
    """

    ids: torch.Tensor
    b: torch.Tensor
    rows: int

    def squared_norm(self) -> torch.Tensor:
        """See `Piece`."""
        same = (self.ids[:, :, None] == self.ids[:, None, :]) & (self.ids >= 0)[:, :, None]
        return _inner(torch.bmm(self.b, self.b.mT), same)

    def weighted_sum(self, weights: torch.Tensor) -> torch.Tensor:
        """See `Piece`."""
        b = (self.b * weights[:, None, None] * (self.ids >= 0)[:, :, None]).flatten(0, 1)
        return b.new_zeros(self.rows, b.shape[1]).index_add_(0, self.ids.flatten().clamp(min=0), b)

    def each(self) -> torch.Tensor:
        """See `Piece`."""
        unit = torch.arange(len(self.ids), device=self.ids.device)[:, None]
        flat = (unit * self.rows + self.ids.clamp(min=0)).flatten()
        b = (self.b * (self.ids >= 0)[:, :, None]).flatten(0, 1)
        total = b.new_zeros(len(self.ids) * self.rows, b.shape[1]).index_add_(0, flat, b)
        return total.view(len(self.ids), self.rows, -1)

    def without(self, units: torch.Tensor) -> Lookup:
        """See `Piece`."""
        return Lookup(self.ids, _cleared(self.b, units), self.rows)


@dataclass(eq=False)
class Sparse:
    """A linear layer's use on sparse vectors with one position a unit: norm and sum cost what the entries do.

    Attributes:
        ids: which entries, shape (U, K); none twice in a unit, but for padding.
        values: theirs, shape (U, K); 0 where padded.
        b: backprops, shape (U, out).
        rows: of the weight, which is (rows, out).
    """

    ids: torch.Tensor
    values: torch.Tensor
    b: torch.Tensor
    rows: int

    def squared_norm(self) -> torch.Tensor:
        """See `Piece`."""
        return self.values.square().sum(1) * self.b.square().sum(1)

    def weighted_sum(self, weights: torch.Tensor) -> torch.Tensor:
        """See `Piece`."""
        given = self.values.unsqueeze(-1) * (self.b * weights[:, None]).unsqueeze(1)
        return given.new_zeros(self.rows, given.shape[2]).index_add_(0, self.ids.flatten(), given.flatten(0, 1))

    def each(self) -> torch.Tensor:
        """See `Piece`."""
        return torch.stack([self.weighted_sum(row) for row in torch.eye(len(self.ids))])

    def without(self, units: torch.Tensor) -> Sparse:
        """See `Piece`."""
        return Sparse(self.ids, _cleared(self.values, units), _cleared(self.b, units), self.rows)


@dataclass(eq=False)
class Whole:
    """Gradients that are small enough to write out: biases, norms' scales, layers without a rule of their own.

    Attributes:
        gradients: shape (U, *parameter's shape).
    """

    gradients: torch.Tensor

    def squared_norm(self) -> torch.Tensor:
        """See `Piece`."""
        return self.gradients.square().flatten(1).sum(1)

    def weighted_sum(self, weights: torch.Tensor) -> torch.Tensor:
        """See `Piece`."""
        total: torch.Tensor = torch.tensordot(weights, self.gradients, dims=1)
        return total

    def each(self) -> torch.Tensor:
        """See `Piece`."""
        return self.gradients

    def without(self, units: torch.Tensor) -> Whole:
        """See `Piece`."""
        return Whole(_cleared(self.gradients, units))


def _inner(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """Inner products of (U, T, T) Gram matrices, shape (U,), and what rounding may have taken from them.

    Positions whose gradients nearly cancel leave a sum below its own rounding error: a norm found too small would let a
    row through with more than its bound. The error stays below 1e-7 of the sum that no position cancels.
    """
    alone = left.diagonal(dim1=1, dim2=2) * right.diagonal(dim1=1, dim2=2)
    return (left * right).sum((1, 2)) + SLACK * alone.sum(1)


def _cleared(values: torch.Tensor, units: torch.Tensor) -> torch.Tensor:
    # Not a product with zero: NaN times zero is NaN.
    return values.masked_fill(units.view(-1, *[1] * (values.dim() - 1)), 0.0)


def joined(pieces: Sequence[Piece]) -> list[Piece]:
    """The same gradient in fewer pieces: uses of one kind, one after another, are one longer use."""
    outers = [p for p in pieces if isinstance(p, Outer)]
    lookups = [p for p in pieces if isinstance(p, Lookup)]
    wholes = [p for p in pieces if isinstance(p, Whole)]
    result: list[Piece] = [p for p in pieces if not isinstance(p, Outer | Lookup | Whole)]
    for transposed in (False, True):
        same = [p for p in outers if p.transposed is transposed]
        if len(same) > 1:
            same = [Outer(torch.cat([p.a for p in same], 1), torch.cat([p.b for p in same], 1), transposed)]
        result += same
    if len(lookups) > 1:
        ids, b = torch.cat([p.ids for p in lookups], 1), torch.cat([p.b for p in lookups], 1)
        lookups = [Lookup(ids, b, lookups[0].rows)]
    if len(wholes) > 1:
        wholes = [Whole(torch.stack([p.gradients for p in wholes]).sum(0))]
    return [*result, *lookups, *wholes]


def squared_norm(pieces: Sequence[Piece]) -> torch.Tensor:
    """Squared norm of each unit's whole gradient of one parameter, shape (U,)."""
    if len(pieces) == 1:
        return pieces[0].squared_norm()
    if len(pieces) == 2:
        table = next((p for p in pieces if isinstance(p, Lookup)), None)
        matrix = next((p for p in pieces if isinstance(p, Outer) and not p.transposed), None)
        if table is not None and matrix is not None:
            return table.squared_norm() + matrix.squared_norm() + 2 * _tied(table, matrix)
    return torch.stack([p.each() for p in pieces]).sum(0).square().flatten(1).sum(1)


def _tied(table: Lookup, matrix: Outer) -> torch.Tensor:
    """Inner product of both gradients of a weight that is read as a table and multiplies as a matrix, shape (U,).

    Position t read row ids[t] and got b[t]; position s of the product gives that row matrix.b[s, ids[t]] * matrix.a[s].
    """
    units, positions = table.ids.shape
    at = table.ids.clamp(min=0)[:, None, :].expand(units, matrix.b.shape[1], positions)
    given = matrix.b.gather(2, at) * (table.ids >= 0)[:, None, :]
    return (given * torch.bmm(matrix.a, table.b.mT)).sum((1, 2))
