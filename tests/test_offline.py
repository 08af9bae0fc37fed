"""Every way in switches the libraries' own connections off; the audit that needs none is in test_audit.py."""

import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from governance import run_audit
from governance.backends.environment import child_environment
from governance.cli import main
from governance.errors import ConfigError
from governance.offline import SWITCHES


@pytest.fixture(autouse=True)
def online(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SWITCHES:
        monkeypatch.setenv(name, "online")


def test_the_command_does(tmp_path: Path) -> None:
    CliRunner().invoke(main, ["audit", str(tmp_path / "nowhere.yaml")])
    assert {name: os.environ[name] for name in SWITCHES} == SWITCHES


def test_the_function_does(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        run_audit(tmp_path / "nowhere.yaml")
    assert {name: os.environ[name] for name in SWITCHES} == SWITCHES


def test_children_are_told(tmp_path: Path) -> None:
    told = child_environment(home=tmp_path, threads=1)
    assert SWITCHES.items() <= told.items()
    assert told["HOME"] == str(tmp_path)


def test_the_hub_believes_it() -> None:
    """The names are the ones that the library reads."""
    import huggingface_hub.constants as hub

    for name in SWITCHES:
        if name.startswith("HF_HUB_"):
            assert name in Path(hub.__file__).read_text(), name
