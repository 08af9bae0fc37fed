"""Waivers as people read them: who answers for what, why, until when, and what became of it at this judgement."""

from __future__ import annotations

from governance.policy import Waiver, WaiverState, WaiverUse
from reports.blocks import Cell, Table
from reports.text import Texts, clean
from reports.view import View


def table(view: View) -> Table | None:
    """Every waiver that the judgement was given, those that fail the gate first; None where there are none."""
    texts, uses = view.texts, sorted(view.verdict.waivers, key=lambda use: use.counts)
    names = ("name", "state", "control", "owner", "approver", "reason", "expires", "signature")
    shared = {"state": "table.status", "control": "table.control", "reason": "table.reason"}
    head = [Cell(texts(shared.get(name, f"waiver.{name}"))) for name in names]
    return Table(texts("waiver.title"), head, [_row(view, use) for use in uses]) if uses else None


def _row(view: View, use: WaiverUse) -> list[Cell]:
    texts, waiver = view.texts, use.waiver
    ticket = texts("waiver.ticket", ticket=clean(waiver.ticket, 120)) if waiver.ticket else ""
    return [
        Cell(waiver.id, small=scope(texts, waiver)),
        Cell(texts(f"waiver.state.{use.state.value}"), small=_detail(texts, use)),
        Cell(clean(waiver.control, 100), small=texts(f"waiver.covers.{waiver.covers}")),
        Cell(clean(waiver.owner, 80)),
        Cell(clean(waiver.approver, 80)),
        Cell(clean(waiver.reason), small=ticket),
        Cell(waiver.expires.isoformat(), small=texts("waiver.granted", date=waiver.granted.isoformat()), kind="number"),
        Cell(texts(f"waiver.signed.{_signed(view, use)}")),
    ]


def _signed(view: View, use: WaiverUse) -> str:
    """Whether a signature is there, and whether the policy had it checked."""
    if use.waiver.signature is None:
        return "none"
    return "checked" if view.policy.signed_waivers and use.state is not WaiverState.UNSIGNED else "given"


def bad(texts: Texts, use: WaiverUse) -> str:
    """Why a waiver fails the gate, on one line."""
    state = texts(f"waiver.state.{use.state.value}")
    return texts("waiver.bad", id=use.waiver.id, state=state, detail=_detail(texts, use))


def _detail(texts: Texts, use: WaiverUse) -> str:
    waiver = use.waiver
    facts = {
        "n": texts.count(use.findings),
        "expires": waiver.expires.isoformat(),
        "granted": waiver.granted.isoformat(),
        "control": clean(waiver.control, 100),
        "scope": scope(texts, waiver),
    }
    return texts(f"waiver.detail.{use.state.value}", **facts)


def scope(texts: Texts, waiver: Waiver) -> str:
    """The only audit, model and slice that a waiver is for."""
    given = {"audit": waiver.audit, "model": waiver.model, "slice": waiver.slice}
    parts = [texts(f"waiver.{name}", **{name: clean(value, 80)}) for name, value in given.items() if value is not None]
    return texts("list").join(parts) or texts("waiver.any")
