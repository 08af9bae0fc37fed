"""Before money is spent: whether the rows at hand can decide a policy's controls, and what asking models will cost."""

from governance.preflight.bill import Bill, Size, api_bill, sizes_of
from governance.preflight.controls import Need, needs
from governance.preflight.held import HeldOut
from governance.preflight.plan import Assumed, Standing
from governance.preflight.result import Preflight, Training, told

__all__ = [
    "Assumed",
    "Bill",
    "HeldOut",
    "Need",
    "Preflight",
    "Size",
    "Standing",
    "Training",
    "api_bill",
    "needs",
    "sizes_of",
    "told",
]
