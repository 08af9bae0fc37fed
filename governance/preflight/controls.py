"""How many held-out rows each control of a policy needs before it can pass, and whether so many there are.

Nothing is measured: a control is planned for a model that is better than its bound by a margin, and needs as many rows
as would prove that four times out of five. Fewer rows end in "unproven", which blocks like a failure and costs as much.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from governance.measure import Unit
from governance.policy import Control, Policy, bound_of
from governance.policy.scope import Scope, lacking, sources, speaks_of
from governance.preflight.figures import difference_plan, level_plan
from governance.preflight.groups import Fairness
from governance.preflight.held import HeldOut
from governance.preflight.plan import Aim, Assumed, Plan, Standing
from governance.statistics.planning import quantile_rows
from governance.vocabulary import vocabulary

_QUANTILES = {"quality.latency_p50": 0.5, "quality.latency_p95": 0.95}
_OTHER = "not a matter of how many rows are held out"
_FACT = "an exact figure, of whatever rows there are"


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """What one control needs of the rows that one model is weighed on.

    Attributes:
        control: its id.
        model: which model.
        slice: which rows it speaks of, in words.
        bound: in words.
        decides: it blocks where it isn't proven.
        standing: whether it can be decided.
        has: held-out rows that the model is weighed on; of a difference, that both are.
        needs: as many must be held out, all else alike; None: that can't be told.
        says: what was assumed, or why it can't be decided.
    """

    control: str
    model: str
    slice: str
    bound: str
    decides: bool
    standing: Standing
    has: int
    needs: int | None
    says: str


def needs(policy: Policy, scope: Scope, held: Mapping[str, HeldOut], assumed: Assumed | None = None) -> list[Need]:
    """What every control of a policy needs, for every model that it is tested on.

    Args:
        policy: the controls.
        scope: what the run can measure.
        held: model -> the held-out rows that it is weighed on. Of two models, those of one hold the other's.
        assumed: see there.
    """
    found: list[Need] = []
    for control in policy.controls:
        for model in speaks_of(control, scope):
            shared = _shared(control, model, scope, held)
            found += _of(control, model, policy, scope, shared, assumed or Assumed())
    return found


def _shared(control: Control, model: str, scope: Scope, held: Mapping[str, HeldOut]) -> HeldOut:
    """The rows that a control speaks of: a model's own, or those that another was weighed on as well."""
    reference = scope.incumbent if control.reference == "incumbent" else control.reference
    return min((held[name] for name in (model, reference) if name is not None and name in held), key=len)


def _of(control: Control, model: str, policy: Policy, scope: Scope, held: HeldOut, assumed: Assumed) -> Iterator[Need]:
    def need(standing: Standing, plan: Plan) -> Need:
        return Need(
            control=control.id,
            model=model,
            slice=plan.where.label(),
            bound=f"{control.metric} {bound_of(control, policy)}",
            decides=control.severity == "block" and control.unproven == "block",
            standing=standing,
            has=len(held),
            needs=plan.rows,
            says=plan.says,
        )

    never = _never(control, model, policy, scope, held)
    if never is not None:
        yield need(Standing.NEVER, Plan(rows=None, says=never))
        return
    aim = Aim(bound=policy.bound(control), upper=control.at_most is not None, level=scope.level, assumed=assumed)
    other = _other(control)
    plans = [] if other else list(_plans(control, aim, scope, held))
    for plan in plans:
        yield need(plan.standing(len(held)), plan)
    if not plans:
        yield need(Standing.OTHER, Plan(rows=None, says=other or _OTHER))


def _never(control: Control, model: str, policy: Policy, scope: Scope, held: HeldOut) -> str | None:
    """Why no number of rows would do."""
    parameter, entries = control.parameter, vocabulary().of(control.metric)
    if parameter is not None and not policy.parameters[parameter].confirmed:
        return f"nobody has confirmed the parameter '{parameter}'"
    if entries:
        found = sources(control, vocabulary(), scope)
        reason = found if isinstance(found, str) else lacking(found, model, scope)
        if reason is not None:
            return f"it can't be measured: {reason}"
    if policy.level > scope.level + 1e-9 and _other(control) != _FACT:
        return f"the policy asks for intervals of level {policy.level:g}: write 'level: {policy.level:g}'"
    return None if len(held) else "no row is held out"


def _other(control: Control) -> str | None:
    """Why a control isn't planned, whatever its figure."""
    entries = vocabulary().of(control.metric)
    if control.since_baseline or not entries:
        return _OTHER
    return _FACT if all(entry.kind == ("fact",) for entry in entries) else None


def _plans(control: Control, aim: Aim, scope: Scope, held: HeldOut) -> Iterator[Plan]:
    if control.end == "value":
        yield Plan(rows=1, says="the figure itself is tested, not its interval")
        return
    kind, name, *rest = control.metric.split(".")
    made = ".".join(rest)
    units = {unit for entry in vocabulary().of(control.metric) for unit in entry.unit}
    if kind == "fairness" and made in ("", "difference", "ratio"):
        yield from Fairness(held, aim, control.wants, scope.makers.get("fairness", {})).plans(name, made)
    elif control.metric in _QUANTILES and aim.upper:
        least = quantile_rows(_QUANTILES[control.metric], aim.level)
        yield Plan(rows=least, says="with fewer, its interval has no upper end")
    elif kind == "quality" and made == "difference":
        yield difference_plan(name, aim, held)
    elif kind == "quality" and not made and units and units <= {Unit.RATE, Unit.SCORE}:
        yield level_plan(name, aim, held)
