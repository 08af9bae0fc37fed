"""Renderings of a record: pure functions of record, verdict, policy and language.

None computes a figure of its own, reads a clock or touches the disk, so the same
inputs always give the same bytes, a year later too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from governance.measure import Outcome
    from governance.policy import Policy, Verdict
    from governance.policy.places import Places
    from governance.record import RunRecord

__all__ = ["render"]


def render(
    record: RunRecord,
    verdict: Verdict,
    policy: Policy,
    *,
    changes: Sequence[Outcome] = (),
    places: Places | None = None,
    language: str = "en",
) -> Mapping[str, bytes]:
    """Everything that people and CI systems read of one judgement.

    Args:
        record: what was measured.
        verdict: `judge(record, policy)`.
        policy: what was demanded.
        changes: what changed since an earlier run, where the verdict speaks of it.
        places: where controls and waivers stand in their files; absent: nothing is known of it.
        language: "en" or "zh".

    Returns:
        Relative path -> content: report.html, junit.xml, results.sarif, summary.md, verdict.json; card/<model>.md and
        card/<model>.cdx.json; card/data.md and card/data.croissant.json; and annex-iv.md where the policy is, or builds
        on, the pack on the AI Act.
        Paths are made of a-z, 0-9 and hyphens, whatever the record calls its models.

    Raises:
        ConfigError: there is no such language.
        RecordError: the verdict is of another record or policy.
    """
    import json

    from governance.policy.places import Places
    from reports import annex, bom, card, chapter_policy, ci, croissant, datacard, html, sarif
    from reports.text import Texts
    from reports.view import View

    view = View(record, verdict, policy, Texts(language), changes)
    judged = json.dumps(verdict.model_dump(mode="json"), indent=1, ensure_ascii=True, allow_nan=False)
    return {
        "report.html": html.render(view),
        "junit.xml": ci.junit(view),
        "results.sarif": sarif.render(view, places or Places()),
        "summary.md": ci.summary(view),
        "verdict.json": judged.encode() + b"\n",
        **{f"card/{model.slug}.md": card.render(view, model) for model in view.models},
        **{f"card/{model.slug}.cdx.json": bom.render(view, model) for model in view.models},
        "card/data.md": datacard.render(view),
        "card/data.croissant.json": croissant.render(view),
        **({"annex-iv.md": annex.render(view)} if chapter_policy.drafted(view) else {}),
    }
