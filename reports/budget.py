"""A budget book on a terminal and as a chart."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from rich.cells import cell_len

from governance.budget.accounting import Spent
from governance.budget.admission import WhatIf
from governance.budget.runs import Budget
from governance.budget.summary import RunLine, Summary
from reports.charts import PAPER, Point, forest
from reports.text import clean

LABEL = 40
GAP = 2
BAR = 30
TOO_LARGE = "too large to be told"
ALONE = f'<svg xmlns="http://www.w3.org/2000/svg" width="700" font-family="sans-serif" style="background:{PAPER}" '
"""How a chart starts that is a file, not part of a page with styles of its own."""


def table(summary: Summary) -> str:
    """What was spent and what is left, then a line per run."""
    lines = [f"budget book  {summary.place}", _total(summary)]
    if summary.budget is not None:
        lines.append(_bar(summary.spent / summary.budget.epsilon))
    lines += ["", *(_runs(summary) if summary.runs else ["No run has spent anything yet."])]
    if len(summary.budgets) > 1:
        lines += ["", "the budget was changed:", *(_change(entry) for entry in summary.budgets)]
    return "\n".join(
        [*lines, "", f"head {summary.head[:16]} (keep it: --holds HEAD tells whether the book was set back)"]
    )


def _runs(summary: Summary) -> list[str]:
    head = ["run", "opened (UTC)", "steps", "sigma", "rate", "rows", "epsilon alone", "together"]
    lines = _aligned([head, *(_row(place, line) for place, line in enumerate(summary.runs, 1))])
    if summary.searches:
        lines += ["", "searches with a random number of runs, of which only the best is shown:"]
    return lines + [
        f"  {clean(s.group, LABEL)}: {s.runs} runs; epsilon {_figure(s.composed)} if all were shown, "
        f"{_figure(s.selected)} if only the best is"
        for s in summary.searches
    ]


def _change(entry: Mapping[str, object]) -> str:
    budget = f"epsilon {entry['epsilon']:g} at delta {entry['delta']:g} for each {entry['unit']}"
    return f"  {entry['at']}  {budget}: {clean(str(entry['reason']) or 'the first', 200)}"


def what_if(plan: Spent, answer: WhatIf, budget: Budget | None) -> str:
    """What a planned run would cost, and whether it fits."""
    lines = [
        f"{plan.steps} steps of sigma {plan.sigma:.4g} at sample rate {plan.sample_rate:g}",
        f"alone     {_figure(answer.alone)}",
        f"spent     {_figure(answer.before)}",
        f"together  {_figure(answer.after)}",
    ]
    if answer.selected is not None:
        lines[0] += ", as a search of which only the best run is shown"
        lines[1] += "  (the mean number of runs)"
        lines.append(f"selected  {_figure(answer.selected)}  (the smaller of this and together counts)")
    if budget is not None:
        fits = "fits" if answer.fits else f"does not fit; {answer.steps_that_fit} of its steps would"
        lines.append(f"budget    {budget.epsilon:g} at delta {budget.delta:g} for each {budget.unit}: {fits}")
    return "\n".join(lines)


def chart(summary: Summary) -> str:
    """Epsilon of each run alone (square) and together with those before it (circle), the budget dashed; an SVG."""
    points = []
    for place, line in enumerate(summary.runs, 1):
        for mark, value in enumerate((line.together, line.alone)):
            told = math.isfinite(value)
            name = f"{place} {clean(line.run.label or line.run.id, LABEL)}"
            points.append(Point(name, mark, value, 0.0, value) if told else Point(name, mark, None, gone=TOO_LARGE))
    if not points:
        points = [Point("no run yet", 0, None, gone="nothing spent")]
    bounds = [] if summary.budget is None else [summary.budget.epsilon]
    title = f"{_total(summary)}. Circle: with all earlier runs on the same rows. Square: the run alone. Dashed: budget."
    axis = f"epsilon at delta {summary.delta:g}: \N{BLACK CIRCLE} together \N{BLACK SQUARE} alone"
    inline = forest(points, name="budget", title=title, axis=axis, bounds=bounds, zero=0.0)
    return inline.replace("<svg ", ALONE, 1) + "\n"


def _total(summary: Summary) -> str:
    spent = f"spent epsilon {_figure(summary.spent)}"
    rest = f"at delta {summary.delta:g} for each {summary.unit}"
    if summary.budget is None:
        return f"{spent} {rest}; no budget is set"
    return f"{spent} of {summary.budget.epsilon:g}, left {_figure(summary.left or 0.0)}, {rest}"


def _bar(share: float) -> str:
    full = BAR if share >= 1 else int(share * BAR)
    percent = "over 100" if share > 1 else str(int(100 * share))  # rounded down: 100 is all
    return f"[{'#' * full}{'.' * (BAR - full)}] {percent} %"


def _row(place: int, line: RunLine) -> list[str]:
    run = line.run
    steps = f"{run.charged}/{run.plan.steps}" + (f" +{sum(b.steps for b in run.extra)}" if run.extra else "")
    label = f"{place} {clean(run.label or run.id, LABEL)}" + (f" [{clean(run.tuning.group, 20)}]" if run.tuning else "")
    figures = [f"{run.plan.sigma:.4g}", f"{run.plan.sample_rate:.4g}", f"{run.rows:,}"]
    return [label, run.at[:16].replace("T", " "), steps, *figures, _figure(line.alone), _figure(line.together)]


def _figure(epsilon: float | None) -> str:
    if epsilon is None:
        return "not to be told"
    return f"{epsilon:.3f}" if math.isfinite(epsilon) else TOO_LARGE


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(cell_len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = [
        (
            row[0]
            + " " * (widths[0] - cell_len(row[0]))
            + "".join(
                " " * (GAP + width - cell_len(text)) + text for text, width in zip(row[1:], widths[1:], strict=True)
            )
        )
        for row in rows
    ]
    return [lines[0], "-" * cell_len(lines[0]), *lines[1:]]
