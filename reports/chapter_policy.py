"""What the policy reads: clauses of laws and standards, the controls that answer to them, and what none answers to.

Only for policies that say so: one that names no clause, no parameter and no policy that it extends has no chapter.
"""

from __future__ import annotations

from governance.policy import Parameter
from reports.blocks import Block, Cell, Chapter, Table, present
from reports.text import clean
from reports.view import View

ANNEX_IV = "eu-ai-act"  # the pack whose judgement is drafted as technical documentation, too
SAID = 1000  # characters of a policy's sentence


def chapter(view: View) -> Chapter | None:
    """The chapter, or None for a policy that reads nothing and builds on nothing."""
    blocks = [block for block in (_read(view), _clauses(view), _parameters(view), _uncovered(view)) if block]
    if not blocks:
        return None
    return Chapter("policy", view.texts("policy.title"), view.texts("policy.lead"), blocks)


def drafted(view: View) -> bool:
    """Whether technical documentation after Annex IV is drafted: the policy is the pack or builds on it."""
    return ANNEX_IV in {view.policy.name, *(line.rpartition(" ")[0] for line in view.policy.built_on)}


def _read(view: View) -> Block | None:
    """What is read, when it was held against its sources, what it builds on, and what it leaves out of that."""
    policy, texts = view.policy, view.texts
    text = [clean(texts.says(policy.reading), SAID)] if policy.reading else []
    if policy.source:
        text.append(texts("policy.source", source=clean(policy.source, SAID)))
    if policy.dated:
        text.append(texts("policy.dated", date=policy.dated.isoformat()))
    if policy.built_on:
        text.append(texts("policy.built_on", policies=texts("list").join(clean(line, 80) for line in policy.built_on)))
    if drafted(view):
        text.append(texts("policy.annex"))
    items = [
        texts("policy.without", control=clean(control, 100), reason=clean(reason, SAID))
        for control, reason in policy.without.items()
    ]
    return Block(title=texts("policy.read"), text=text, items=items) if text or items else None


def clauses(view: View) -> Table | None:
    """Each clause beside the controls that answer to it and what they say of the candidate."""
    texts = view.texts
    rows: list[list[Cell]] = []
    for control in sorted(view.controls, key=lambda item: view.policy.controls.index(item.control)):
        shown = control.standing if control.blocks else control.status  # of a warning, nothing can be waived
        status = texts(f"status.{shown.value if shown else 'none'}")
        warns = "" if control.blocks else texts("severity.warn")
        rows += [
            [
                Cell(clean(reference.clause, 120)),
                Cell(clean(texts.says(reference.reading), SAID)),
                Cell(clean(control.says, SAID), small=control.control.id),
                Cell(status, small=warns, status=control.status),
            ]
            for reference in control.control.references
        ]
    names = ("clause", "reading", "control", "status")
    head = [Cell(texts(f"table.{name}")) for name in names]
    order = {row[0].text: place for place, row in reversed(list(enumerate(rows)))}  # a clause stands where it first did
    return Table(texts("policy.clauses"), head, sorted(rows, key=lambda row: order[row[0].text])) if rows else None


def _clauses(view: View) -> Block | None:
    tables = present([clauses(view)])
    return (
        Block(title=view.texts("policy.clauses"), text=[view.texts("policy.ours")], tables=tables) if tables else None
    )


def _parameters(view: View) -> Block | None:
    """The numbers that no law names, and who stands by them."""
    texts, policy = view.texts, view.policy
    users = {control.parameter: control for control in policy.controls if control.parameter}
    rows = []
    for name, parameter in policy.parameters.items():
        control = users.get(name)
        unit = view.unit_of(control.metric) if control else None
        value = texts.bound(parameter.value, unit, control.metric if control else "")
        says = clean(texts.says(parameter.says), SAID)
        rows.append([Cell(clean(name, 100), small=says), Cell(value, kind="number"), Cell(_confirmed(view, parameter))])
    head = [Cell(texts(f"table.{name}")) for name in ("parameter", "value", "confirmed")]
    title = texts("policy.parameters")
    return (
        Block(title=title, text=[texts("policy.parameters.text")], tables=[Table(title, head, rows)]) if rows else None
    )


def _confirmed(view: View, parameter: Parameter) -> str:
    if parameter.confirmed_by is None or parameter.confirmed_on is None:
        return view.texts("policy.unconfirmed")
    day = parameter.confirmed_on.isoformat()
    return view.texts("policy.confirmed", who=clean(parameter.confirmed_by, 120), date=day)


def _uncovered(view: View) -> Block | None:
    """The clauses that software of this kind can't answer, each with its reason."""
    texts = view.texts
    rows = [
        [Cell(clean(entry.clause, 120)), Cell(clean(texts.says(entry.why), SAID))] for entry in view.policy.not_covered
    ]
    head = [Cell(texts("table.clause")), Cell(texts("table.why"))]
    title = texts("policy.not_covered")
    text = [texts("policy.not_covered.text")]
    return Block(title=title, text=text, tables=[Table(title, head, rows)]) if rows else None
