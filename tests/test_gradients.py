"""Gradients unit by unit: the same as autograd gives a unit that is alone, whatever the model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torch import nn

from governance.training.dp.gradients import Bounded, UnitGradients
from governance.training.dp.pieces import Lookup, Outer, Piece, Whole, joined, squared_norm
from tests.dptasks import Losses, by_row, by_token, padded, transformer

MODELS = ["bert", "roberta", "distilbert", "gpt2", "gpt2-tied", "llama", "llama-tied"]


def alone(model: nn.Module, loss: Callable[[], torch.Tensor]) -> dict[nn.Parameter, torch.Tensor]:
    """Plain autograd."""
    model.zero_grad()
    loss().backward()
    found = {
        p: torch.zeros_like(p) if p.grad is None else p.grad.clone() for p in model.parameters() if p.requires_grad
    }
    model.zero_grad()
    return found


def apart(bounded: Bounded, unit: int, wanted: dict[nn.Parameter, torch.Tensor]) -> float:
    """Largest difference of a unit's gradient and of its norm from what is wanted, over the norm."""
    norm = torch.stack([g.square().sum() for g in wanted.values()]).sum().sqrt()
    chosen = torch.zeros(len(bounded.norms))
    chosen[unit] = 1.0
    found = dict(bounded.weighted_sums(chosen))
    assert found.keys() <= wanted.keys()
    differences = [(found.get(p, torch.zeros_like(p)) - g).abs().max() for p, g in wanted.items()]
    return float(torch.stack([*differences, (bounded.norms[unit] - norm).abs()]).max() / norm)


def worst(model: nn.Module, rows: int, losses: Callable[[torch.Tensor], torch.Tensor]) -> float:
    """Over all rows, between a row among others and the row alone."""
    model.eval()
    bounded = UnitGradients(model)(rows, lambda: losses(torch.arange(rows)))
    each = [alone(model, lambda i=i: losses(torch.tensor([i])).sum()) for i in range(rows)]  # type: ignore[misc]
    return max(apart(bounded, i, wanted) for i, wanted in enumerate(each))


def over(model: nn.Module, losses: Losses, rows: int = 4) -> float:
    tokens, mask = padded(rows)
    return worst(model, rows, lambda at: losses(model, tokens[at], mask[at]))


@pytest.mark.parametrize("kind", MODELS)
def test_a_transformers_gradients_are_those_of_each_row_alone(kind: str) -> None:
    assert over(*transformer(kind)) < 1e-5


@pytest.mark.parametrize("kind", ["bert", "gpt2", "llama"])
def test_a_padded_row_has_the_gradient_that_it_has_without_padding(kind: str) -> None:
    model, losses = transformer(kind)
    model.eval()
    tokens, mask = padded(4)
    bounded = UnitGradients(model)(4, lambda: losses(model, tokens, mask))
    wanted = alone(model, lambda: losses(model, tokens[1:2, :5], mask[1:2, :5]).sum())
    assert apart(bounded, 1, wanted) < 1e-5


@pytest.mark.parametrize("kind", ["bert", "gpt2", "llama"])
def test_lora_trains_thin_matrices_with_the_same_exactness(kind: str) -> None:
    from governance.training.methods import choose

    model, losses = transformer(kind)
    model = choose(model, "lora", rank=2)
    with torch.no_grad():  # B starts at zero, where A has no gradient
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_()
    assert over(model, losses) < 1e-5


@pytest.mark.parametrize("method", ["frozen-embeddings", "last-layers", "bitfit", "head"])
def test_part_of_a_model_has_the_gradients_of_that_part(method: str) -> None:
    from governance.training.methods import choose

    model, losses = transformer("bert")
    assert over(choose(model, method, layers=1), losses) < 1e-5  # type: ignore[arg-type]


class Read(nn.Module):
    """An embedding and a body; each row's loss is a fixed function of the body's output."""

    def __init__(self, body: nn.Module, table: nn.Embedding | None = None, *, channels_first: bool = False) -> None:
        super().__init__()
        self.table = table or nn.Embedding(50, 6)
        self.body, self.channels_first = body, channels_first

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        states = self.table(tokens)
        states = self.body(states.mT if self.channels_first else states)
        return (states[0] if isinstance(states, tuple) else states).flatten(1)


def squares(model: nn.Module, tokens: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    states = model(tokens)
    return (states * torch.linspace(-1, 1, states.shape[1])).square().sum(1) + states.sum(1)


def odd(name: str) -> nn.Module:
    from opacus.layers import DPLSTM

    torch.manual_seed(1)
    shared, norm = nn.Linear(6, 6), nn.LayerNorm(6)
    made: dict[str, Callable[[], Read]] = {
        "dplstm": lambda: Read(DPLSTM(6, 5, batch_first=True)),
        "dplstm of two layers, both ways": lambda: Read(
            DPLSTM(6, 5, num_layers=2, bidirectional=True, batch_first=True)
        ),
        "layer norm": lambda: Read(nn.Sequential(nn.LayerNorm(6), nn.Tanh(), nn.Linear(6, 3))),
        "layer norm over two axes": lambda: Read(nn.LayerNorm((8, 6))),
        "rms norm": lambda: Read(nn.Sequential(nn.RMSNorm(6), nn.Linear(6, 3, bias=False))),
        "group norm": lambda: Read(
            nn.Sequential(nn.GroupNorm(2, 6), nn.Flatten(), nn.Linear(48, 3)), channels_first=True
        ),
        "instance norm": lambda: Read(nn.InstanceNorm1d(6, affine=True), channels_first=True),
        "convolution": lambda: Read(nn.Sequential(nn.Conv1d(6, 4, 3), nn.Tanh(), nn.Flatten()), channels_first=True),
        "one linear layer used twice": lambda: Read(nn.Sequential(shared, nn.Tanh(), shared)),
        "one norm used twice": lambda: Read(nn.Sequential(norm, nn.Linear(6, 6), norm)),
        "a padding index": lambda: Read(nn.Linear(6, 3), nn.Embedding(50, 6, padding_idx=0)),
        "one position": lambda: Read(nn.Sequential(nn.Flatten(), nn.Linear(48, 5), nn.ReLU(), nn.Linear(5, 2))),
        "prelu, through functorch": lambda: Read(nn.Sequential(nn.Linear(6, 4), nn.PReLU())),
    }
    return made[name]()


ODD = [
    "dplstm", "dplstm of two layers, both ways", "layer norm", "layer norm over two axes", "rms norm", "group norm",
    "instance norm", "convolution", "one linear layer used twice", "one norm used twice", "a padding index",
    "one position", "prelu, through functorch",
]  # fmt: skip


@pytest.mark.parametrize("name", ODD)
@pytest.mark.filterwarnings("ignore:There is a performance drop")  # vmap of a layer without a batching rule
def test_other_layers_gradients_are_those_of_each_row_alone(name: str) -> None:
    assert over(odd(name), squares, rows=5) < 1e-5


@pytest.mark.parametrize("kind", ["bert", "gpt2-tied"])
def test_users_gradients_are_those_of_their_records_together(kind: str) -> None:
    """Three users of three records; the second has one record, the rest of hers is padding of weight zero."""
    model, losses = transformer(kind)
    model.eval()
    tokens, mask = padded(9)
    tokens[4], tokens[5], mask[4], mask[5] = tokens[3], tokens[3], mask[3], mask[3]
    shares = torch.tensor([1 / 3] * 3 + [1.0, 0.0, 0.0] + [1 / 3] * 3)
    bounded = UnitGradients(model, records=3)(9, lambda: losses(model, tokens, mask) * shares)
    assert bounded.norms.shape == (3,)
    for user, rows in enumerate([[0, 1, 2], [3], [6, 7, 8]]):
        wanted = alone(model, lambda rows=rows: losses(model, tokens[rows], mask[rows]).mean())  # type: ignore[misc]
        assert apart(bounded, user, wanted) < 1e-5


@pytest.mark.parametrize("name", ["layer norm", "dplstm", "convolution", "prelu, through functorch"])
@pytest.mark.filterwarnings("ignore:There is a performance drop")
def test_users_gradients_in_other_layers(name: str) -> None:
    model = odd(name).eval()
    tokens, mask = padded(6)
    bounded = UnitGradients(model, records=2)(6, lambda: squares(model, tokens, mask))
    for user in range(3):
        own = [2 * user, 2 * user + 1]
        wanted = alone(model, lambda own=own: squares(model, tokens[own], mask[own]).sum())  # type: ignore[misc]
        assert apart(bounded, user, wanted) < 1e-5


def test_bfloat16_is_as_exact_as_it_can_be() -> None:
    """Weights and sums stay in single precision; products in eight bits are off by a few parts in a thousand."""
    model, losses = transformer("bert")
    model.eval()
    tokens, mask = padded(4)

    def low() -> torch.Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return losses(model, tokens, mask)

    bounded = UnitGradients(model)(4, low)
    assert bounded.norms.dtype == torch.float32
    for row in range(4):
        wanted = alone(model, lambda row=row: losses(model, tokens[[row]], mask[[row]]).sum())  # type: ignore[misc]
        assert apart(bounded, row, wanted) < 0.03


def test_weighted_sums_are_sums_over_units_of_weight_times_gradient() -> None:
    model, losses = transformer("gpt2-tied")
    model.eval()
    tokens, mask = padded(4)
    weights = torch.tensor([0.5, 0.0, -2.0, 3.0])
    found = dict(UnitGradients(model)(4, lambda: losses(model, tokens, mask)).weighted_sums(weights))
    wanted = alone(model, lambda: losses(model, tokens, mask) @ weights)
    for parameter, gradient in wanted.items():
        torch.testing.assert_close(found[parameter], gradient, rtol=1e-4, atol=1e-5)


def test_the_model_is_left_as_it_was() -> None:
    """No hooks, no gradients, the same parameters trained: also after a loss that fails."""
    model, losses = transformer("bert")
    tokens, mask = padded(4)
    gradients = UnitGradients(model)
    gradients(4, lambda: losses(model, tokens, mask))
    with pytest.raises(ZeroDivisionError):
        gradients(4, lambda: losses(model, tokens, mask) * (1 / 0))
    assert all(p.requires_grad and p.grad is None for p in model.parameters())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_a_loss_that_failed_leaves_nothing_for_the_next_batch() -> None:
    model = Read(nn.Linear(6, 3))
    tokens, mask = padded(4)
    gradients = UnitGradients(model)

    def broken() -> torch.Tensor:
        squares(model, tokens, mask).sum().backward()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        gradients(4, broken)
    again = gradients(4, lambda: squares(model, tokens, mask))
    torch.testing.assert_close(again.norms, UnitGradients(model)(4, lambda: squares(model, tokens, mask)).norms)


def test_position_ids_that_the_batch_shares_are_each_rows_own() -> None:
    """BERT's position ids have shape (1, T): one row's gradient would be the batch's."""
    model, losses = transformer("bert")
    model.eval()
    for name, parameter in model.named_parameters():
        parameter.requires_grad_("position_embeddings" in name)
    assert over(model, losses) < 1e-5


def test_a_parameter_that_does_not_reach_the_loss_gets_no_gradient() -> None:
    model = Read(nn.Linear(6, 3))
    model.unused = nn.Linear(6, 6)
    model.dead = nn.Linear(6, 3)
    model.cut = nn.Linear(6, 3)

    def losses(model: nn.Module, tokens: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        model.dead(model.table(tokens))  # computed, and thrown away
        with torch.no_grad():
            shift = model.cut(model.table(tokens)).sum((1, 2))
        return squares(model, tokens, mask) + shift

    assert over(model, losses) < 1e-5
    tokens, mask = padded(3)
    found = dict(UnitGradients(model)(3, lambda: losses(model, tokens, mask)).weighted_sums(torch.ones(3)))
    assert not any(p in found for part in (model.unused, model.dead, model.cut) for p in part.parameters())


@pytest.mark.parametrize("broken", [float("nan"), float("inf"), 1e30])
def test_a_broken_row_leaves_the_others_sums_as_they_are_without_it(broken: float) -> None:
    """Not a number, infinite, or so large that its norm overflows."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.LayerNorm(8), nn.Linear(8, 2))
    states = torch.randn(5, 3, 4)
    states[2] = broken

    def losses(rows: list[int]) -> Callable[[], torch.Tensor]:
        return lambda: model(states[rows]).square().sum((1, 2)) * states[rows].sum((1, 2)).abs()

    gradients = UnitGradients(model)
    bounded = gradients(5, losses([0, 1, 2, 3, 4]))
    assert not torch.isfinite(bounded.norms[2])
    found = dict(bounded.weighted_sums(torch.ones(5)))
    wanted = dict(gradients(4, losses([0, 1, 3, 4])).weighted_sums(torch.ones(4)))
    for parameter, gradient in wanted.items():
        torch.testing.assert_close(found[parameter], gradient, rtol=1e-5, atol=1e-6)


# -- pieces, against gradients that are written out --------------------------------------------

SIZES = st.tuples(st.integers(1, 4), st.integers(1, 7), st.integers(1, 5), st.integers(1, 5))


def numbers(*shape: int) -> st.SearchStrategy[torch.Tensor]:
    floats = st.floats(-4, 4, width=32)
    return arrays(np.float32, shape, elements=floats).map(lambda a: torch.from_numpy(a.copy()))


def indices(units: int, positions: int, rows: int) -> st.SearchStrategy[torch.Tensor]:
    return arrays(np.int64, (units, positions), elements=st.integers(-1, rows - 1)).map(
        lambda a: torch.from_numpy(a.copy())
    )


@st.composite
def mixtures(draw: st.DrawFn) -> tuple[list[Piece], torch.Tensor]:
    """One parameter's uses, of any kinds that fit its shape (out, in), and weights of the units."""
    units, positions, out, width = draw(SIZES)
    kinds = draw(st.lists(st.sampled_from(["outer", "transposed", "lookup", "whole"]), min_size=1, max_size=4))
    pieces: list[Piece] = []
    for kind in kinds:
        if kind == "outer":
            pieces.append(Outer(draw(numbers(units, positions, width)), draw(numbers(units, positions, out)), False))
        elif kind == "transposed":
            pieces.append(Outer(draw(numbers(units, positions, out)), draw(numbers(units, positions, width)), True))
        elif kind == "lookup":
            pieces.append(Lookup(draw(indices(units, positions, out)), draw(numbers(units, positions, width)), out))
        else:
            pieces.append(Whole(draw(numbers(units, out, width))))
    return pieces, draw(numbers(units))


def written_out(piece: Piece) -> torch.Tensor:
    """A second implementation: one position after another, in double precision."""
    if isinstance(piece, Whole):
        return piece.gradients.double()
    if isinstance(piece, Lookup):
        total = torch.zeros(len(piece.ids), piece.rows, piece.b.shape[2], dtype=torch.float64)
        for unit, ids in enumerate(piece.ids.tolist()):
            for position, row in enumerate(ids):
                if row >= 0:
                    total[unit, row] += piece.b[unit, position].double()
        return total
    assert isinstance(piece, Outer)
    left, right = (piece.a, piece.b) if piece.transposed else (piece.b, piece.a)
    return sum(left[:, t, :, None].double() * right[:, t, None, :].double() for t in range(left.shape[1]))  # type: ignore[return-value]


@settings(deadline=None, max_examples=200)
@given(mixtures())
def test_norms_and_sums_of_pieces_are_those_of_gradients_written_out(made: tuple[list[Piece], torch.Tensor]) -> None:
    pieces, weights = made
    wanted = torch.stack([written_out(piece) for piece in pieces]).sum(0)
    for piece in pieces:
        torch.testing.assert_close(piece.each().double(), written_out(piece), rtol=1e-5, atol=1e-4)
    for some in (joined(pieces), pieces if len(pieces) <= 2 else joined(pieces)):
        size = float(torch.stack([written_out(p).square().flatten(1).sum(1).max() for p in some]).sum())
        torch.testing.assert_close(
            squared_norm(some).double(), wanted.square().flatten(1).sum(1), rtol=1e-4, atol=1e-4 + 1e-5 * size
        )
        found = torch.stack([piece.weighted_sum(weights) for piece in some]).sum(0)
        torch.testing.assert_close(
            found.double(), torch.tensordot(weights.double(), wanted, dims=1), rtol=1e-4, atol=1e-3
        )


@settings(deadline=None, max_examples=100)
@given(mixtures(), st.sampled_from([float("nan"), float("inf")]), st.integers(0, 3))
def test_pieces_without_a_unit_hold_nothing_of_it(
    made: tuple[list[Piece], torch.Tensor], broken: float, which: int
) -> None:
    pieces, weights = made
    unit = which % len(weights)
    others = torch.arange(len(weights)) != unit
    for piece in pieces:
        wanted = torch.tensordot(weights[others].double(), written_out(piece)[others], dims=1)
        for name in ("a", "b", "gradients"):
            if hasattr(piece, name):
                getattr(piece, name)[unit] = broken
        found = piece.without(~others).weighted_sum(weights)
        torch.testing.assert_close(found.double(), wanted, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("kind", ["outer", "lookup", "tied"])
@pytest.mark.parametrize("scale", [1e2, 1e4, 1e6])
def test_positions_that_nearly_cancel_do_not_hide_a_gradient_from_its_bound(kind: str, scale: float) -> None:
    """What remains of large gradients of opposite sign is below the rounding of their norms: a row could be written so.

    Clipped by the norm that was found, no unit may add more than the bound.
    """
    torch.manual_seed(0)
    units, positions, width, rows = 16, 10, 12, 80
    a, b = torch.randn(units, positions, width), scale * torch.randn(units, positions, rows)
    near = a + torch.randn_like(a) / scale
    ids, read = torch.randint(rows, (units, positions)), scale * torch.randn(units, positions, width)
    pieces: list[Any] = {
        "outer": [Outer(torch.cat([a, near], 1), torch.cat([b, -b], 1), False)],
        "lookup": [Lookup(torch.cat([ids, ids], 1), torch.cat([read, -read + torch.randn_like(read) / 10], 1), rows)],
        "tied": [
            Lookup(ids, read, rows),
            Outer(read + torch.randn_like(read) / 10, -nn.functional.one_hot(ids, rows).float(), False),
        ],
    }[kind]
    true = torch.stack([written_out(piece) for piece in pieces]).sum(0)
    norms = squared_norm(pieces).double().sqrt()
    assert bool((true.flatten(1).norm(dim=1) / norms < 1.001).all())


def test_losses_of_the_wrong_shape_are_refused() -> None:
    model = Read(nn.Linear(6, 3))
    tokens, mask = padded(4)
    with pytest.raises(ValueError, match=r"one loss for each of 4 records, got shape \(\)"):
        UnitGradients(model)(4, lambda: squares(model, tokens, mask).mean())


def test_the_helpers_of_this_file_see_a_wrong_gradient() -> None:
    """An oracle that can't fail proves nothing."""
    model, losses = transformer("gpt2")
    tokens, mask = padded(4)
    bounded = UnitGradients(model.eval())(4, lambda: losses(model, tokens, mask))
    other = alone(model, lambda: losses(model, tokens[1:2], mask[1:2]).sum())
    assert apart(bounded, 0, other) > 0.1
    assert by_row is not by_token
