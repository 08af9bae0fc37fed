"""What other tools measured: their result files as outcomes with intervals of their own, marked as imported.

Read are Inspect's logs, lm-eval's results and promptfoo's output. A file's scores are kept row by row only as long as
it takes to make figures of them, its texts not at all.
"""

from governance.imports.logs import Column, Log, Reported
from governance.imports.outcomes import differences, figures, measure
from governance.imports.reading import Imported, read_import, select

__all__ = ["Column", "Imported", "Log", "Reported", "differences", "figures", "measure", "read_import", "select"]
