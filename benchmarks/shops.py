"""False alarms on shop texts without personal data: titles, descriptions, notes, chats, written apart from the rules.

    python -m benchmarks.shops

Twelve sets by a second hand, scored one after the other; after its first score each was read, and rules were changed
with it in sight. So today's figures flatter, and the first ones, in docs/scrubbing.md, are those to believe.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

from governance.offline import stay_home
from governance.privacy.policy import load_policy
from governance.privacy.scrubber import Scrubber
from governance.statistics.intervals import wilson

SETS = Path(__file__).parent / "heldout" / "shops"


def main() -> None:
    """One line per set: texts with a find per 100, its interval, and the kinds of what was found."""
    stay_home()
    scrubber = Scrubber(load_policy("default"))
    for path in sorted(SETS.glob("*.jsonl")):
        texts = [json.loads(line)["text"] for line in path.read_text("utf-8").splitlines()]
        found = [finds for finds in scrubber.find(texts) if finds]
        low, high = wilson(len(found), len(texts))
        kinds = Counter(find.entity for finds in found for find in finds)
        rate = f"{100 * len(found) / len(texts):4.2f} per 100 [{100 * low:.2f}, {100 * high:.2f}]"
        print(f"{path.stem}: {len(found)} of {len(texts)} texts, {rate} {dict(kinds)}")


if __name__ == "__main__":
    main()
