"""Every example in docs/policies.md is one that works: its files load, its commands end as the page says."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

import governance
from governance.cli import main
from governance.policy import load_policy

PAGE = (Path(governance.__file__).parents[1] / "docs" / "policies.md").read_text("utf-8")
FILES = dict(re.findall(r"```yaml\n# (\S+)\n(.*?)```", PAGE, re.DOTALL))
COMMANDS = re.findall(r"^steelyard (.+?) +# exit (\d)", PAGE, re.MULTILINE)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("policies")
    for name, text in FILES.items():
        (made / name).write_text(text, "utf-8")
    return made


def test_every_block_is_a_file_or_a_command() -> None:
    assert PAGE.count("```yaml") == len(FILES) == 4
    commands = [line for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()]
    assert len(commands) == len(COMMANDS)


def test_commands_end_as_the_page_says(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    for command, code in COMMANDS:
        done = CliRunner().invoke(main, shlex.split(command))
        assert done.exit_code == int(code), (command, done.output)
    wrong = done.output
    for name, what in (
        ("typo", "did you mean 'quality.accuracy'"), ("toothless", "it can't fail"), ("hopeless", "it can't be met"),
        ("nowhere", "no group column 'region'"),
    ):  # fmt: skip
        assert re.search(rf"error: control '{name}': .*{re.escape(what)}", wrong), wrong


def test_what_is_extended_is_as_the_page_says(folder: Path) -> None:
    ours, launch = load_policy(folder / "ours.yaml"), load_policy("launch")
    assert [control.id for control in ours.controls][:2] == ["quality.auc", "quality.balanced-accuracy"]
    assert ours.controls[0].at_least == 0.88
    assert "privacy.delta" not in {control.id for control in ours.controls}
    assert ours.built_on[0] == f"launch {launch.version}"
    parameter = ours.parameters["eu-ai-act.accuracy"]
    assert (parameter.value, parameter.confirmed) == (0.8, True)
    assert parameter.says == load_policy("eu-ai-act").parameters["eu-ai-act.accuracy"].says
