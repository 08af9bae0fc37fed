"""Write the lock files from this environment: `make lock`, after a version was tried and tested.

Every package that steelyard and its extras need, at the version installed here. No hashes: torch comes
from different indexes on different machines (CPU or CUDA builds of one version).
"""

from __future__ import annotations

import re
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parent.parent
RUNTIME_EXTRAS = ("api", "anthropic", "serve", "lora", "text", "zh")
FIRST = "torch"  # installed first, pinned: another package's wider range would pull gigabytes


def canonical(name: str) -> str:
    """A name as package indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def closure(requirements: list[str]) -> dict[str, str]:
    """Name -> version of these requirements and all that they need here."""
    found: dict[str, str] = {}
    seen: set[tuple[str, str]] = set()
    queue = [Requirement(text) for text in requirements]
    while queue:
        requirement = queue.pop()
        for extra in ("", *sorted(requirement.extras)):
            key = (canonical(requirement.name), extra)
            if key in seen:
                continue
            seen.add(key)
            try:
                installed = distribution(requirement.name)
            except PackageNotFoundError:
                sys.exit(f"{requirement.name} is not installed; install what pyproject.toml names first")
            found[key[0]] = installed.version.partition("+")[0]
            for text in installed.requires or []:
                inner = Requirement(text)
                if inner.marker is None or inner.marker.evaluate({"extra": extra}):
                    queue.append(inner)
    return found


def write(path: Path, versions: dict[str, str], note: str) -> None:
    """One lock file."""
    order = sorted(versions, key=lambda name: (name != FIRST, name))
    lines = [f"# {note} Made by `make lock`; Python 3.11.", *(f"{name}=={versions[name]}" for name in order)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    runtime = closure(project["dependencies"] + [text for extra in RUNTIME_EXTRAS for text in extras[extra]])
    dev = closure(extras["dev"] + extras["ray"] + extras["sigstore"] + extras["inspect"])  # the tests run these too
    write(ROOT / "requirements.lock", runtime, "What an audit needs, API and local-server extras included.")
    write(
        ROOT / "requirements-dev.lock",
        {name: version for name, version in dev.items() if name not in runtime},
        "What checks and tests need besides requirements.lock.",
    )
