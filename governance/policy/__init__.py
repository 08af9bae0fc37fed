"""Policy as code: controls on the pessimistic end of an interval, waivers, and a verdict with three values.

`judge(record, policy)` is pure, so an auditor judges a year-old record again without running anything.
"""

from governance.policy.judging import bound_of, hold, judge, worst
from governance.policy.model import (
    EXIT_CODES,
    Control,
    Finding,
    ModelVerdict,
    Parameter,
    Policy,
    Reference,
    Status,
    Uncovered,
    Verdict,
)
from governance.policy.reading import load_policy, load_waivers
from governance.policy.terms import Terms
from governance.policy.waivers import Waiver, WaiverState, WaiverUse

__all__ = [
    "EXIT_CODES",
    "Control",
    "Finding",
    "ModelVerdict",
    "Parameter",
    "Policy",
    "Reference",
    "Status",
    "Terms",
    "Uncovered",
    "Verdict",
    "Waiver",
    "WaiverState",
    "WaiverUse",
    "bound_of",
    "hold",
    "judge",
    "load_policy",
    "load_waivers",
    "worst",
]
