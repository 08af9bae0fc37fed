"""What CI systems are given, run for real: the action's and pipelines' shell steps by bash, the hooks by pre-commit.

The runner here does what GitHub's does with a composite action: inputs become the environment of a step, each `run` is
a file for bash, and a step that fails ends them. `pip` is replaced by a program that notes what it was asked to
install; steps of other actions (uploads) are not run. `steelyard` is the real one, or noted where its arguments matter.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from junitparser import JUnitXml

from governance.files import digest_file
from governance.starter import write_starter
from tests.judged import control, waiver, write_policy, write_waivers
from tests.test_ci import github_outputs
from tests.test_tableaudit import config, decisions

ROOT = Path(__file__).parent.parent
BIN = Path(sys.executable).parent
ACTION = yaml.safe_load((ROOT / "action.yml").read_text("utf-8"))
SHELL = ["bash", "--noprofile", "--norc", "-eo", "pipefail"]
NOTE = """\
#!{python}
import json, sys
with open({log!r}, "a", encoding="utf-8") as file:
    file.write(json.dumps([{name!r}, *sys.argv[1:]]) + "\\n")
print('{{"run": "runs/noted"}}')
"""


@dataclass
class Runner:
    """A checked-out repository on a CI machine."""

    workspace: Path
    aside: Path
    noted: tuple[str, ...] = ("pip",)
    env: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.log, self.page, self.outputs = (self.aside / name for name in ("log", "page.md", "outputs"))
        programs = self.aside / "programs"
        programs.mkdir(parents=True, exist_ok=True)
        for name in self.noted:
            (programs / name).write_text(NOTE.format(python=sys.executable, log=str(self.log), name=name), "utf-8")
            (programs / name).chmod(0o755)
        (self.outputs).touch()
        own = {key: value for key, value in os.environ.items() if not key.startswith(("GITHUB_", "STEELYARD_"))}
        self.env = own | {
            "PATH": f"{programs}:{BIN}:/usr/bin:/bin",
            "GITHUB_STEP_SUMMARY": str(self.page),
            "GITHUB_OUTPUT": str(self.outputs),
            "OMP_NUM_THREADS": "1",
        }

    def bash(self, script: str, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        file = self.aside / "step.sh"
        file.write_text(script, "utf-8")
        return subprocess.run(
            [*SHELL, str(file)],
            cwd=self.workspace,
            env={**self.env, **(env or {})},
            capture_output=True,
            text=True,
            check=False,
        )

    def action(self, **inputs: str) -> int:
        """Run the action's shell steps; its exit code."""
        unknown = inputs.keys() - {name.replace("-", "_") for name in ACTION["inputs"]}
        assert not unknown
        given = {name: inputs.get(name.replace("-", "_"), spec["default"]) for name, spec in ACTION["inputs"].items()}
        for step in ACTION["runs"]["steps"]:
            if "run" not in step:
                continue
            done = self.bash(step["run"], {name: self._filled(text, given) for name, text in step["env"].items()})
            self.said = done.stdout + done.stderr
            if done.returncode:
                return done.returncode
        return 0

    def _filled(self, text: str, inputs: Mapping[str, str]) -> str:
        """An expression of the environment, evaluated once: what comes out is never read again."""

        def value(found: re.Match[str]) -> str:
            kind, _, name = found[1].partition(".")
            return {"inputs": inputs, "github": {"action_path": str(ROOT)}}[kind][name]

        return re.sub(r"\${{ ([\w.-]+) }}", value, text)

    def called(self) -> list[list[str]]:
        """What the replaced programs were asked to do."""
        return [json.loads(line) for line in self.log.read_text("utf-8").splitlines()] if self.log.exists() else []

    def told(self) -> dict[str, str]:
        """The action's outputs."""
        steps = github_outputs(self.outputs)
        found = {
            name: re.fullmatch(r"\${{ steps\.audit\.outputs\.([\w-]+) }}", one["value"])
            for name, one in ACTION["outputs"].items()
        }
        return {name: steps.get(match[1], "") for name, match in found.items() if match}


@pytest.mark.parametrize(
    ("schema", "file"),
    [
        ("vendor.github-actions", "action.yml"),
        ("vendor.github-workflows", "configs/starter/workflow.yml"),
        ("vendor.gitlab-ci", "configs/starter/gitlab-ci.yml"),
    ],
)
def test_each_file_is_valid_by_its_official_schema(schema: str, file: str) -> None:
    done = subprocess.run(
        [BIN / "check-jsonschema", "--builtin-schema", schema, ROOT / file], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_hooks_are_valid_to_pre_commit() -> None:
    done = subprocess.run(
        [BIN / "pre-commit", "validate-manifest", ROOT / ".pre-commit-hooks.yaml"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_input_stands_in_a_script() -> None:
    """A value written into a script would be run as a part of it."""
    steps = ACTION["runs"]["steps"]
    assert [step["name"] for step in steps if "${{" in step.get("run", "")] == []
    used = {name for step in steps for name in re.findall(r"inputs\.([\w-]+)", json.dumps(step))}
    assert used == ACTION["inputs"].keys()


INJECTED = "x\"; touch pwned; $(touch pwned) `touch pwned` ' && touch pwned #"


@pytest.mark.parametrize("name", ["config", "policy", "waivers", "baseline", "version", "out", "lang"])
def test_no_input_is_run(tmp_path: Path, name: str) -> None:
    (tmp_path / "work").mkdir()
    runner = Runner(tmp_path / "work", tmp_path / "aside", noted=("pip", "steelyard"))
    code = runner.action(**{name: INJECTED})
    assert not list((tmp_path / "work").iterdir())
    calls = [call for call in runner.called() if call[0] == "steelyard"]
    if name == "version":
        assert (code, calls) == (2, [])
        assert "version: expected a released version" in runner.said
    else:
        assert any(INJECTED in call for call in calls)


def test_an_input_that_looks_like_an_option_is_none(tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    runner = Runner(tmp_path / "work", tmp_path / "aside", noted=("pip", "steelyard"))
    runner.action(config="--exit-zero")
    assert runner.called()[-1] == ["steelyard", "audit", "--out", "runs", "--lang", "en", "--", "--exit-zero"]


@pytest.mark.parametrize("version", ["", "1.2.0"])
def test_what_is_installed(tmp_path: Path, version: str) -> None:
    (tmp_path / "work").mkdir()
    runner = Runner(tmp_path / "work", tmp_path / "aside", noted=("pip", "steelyard"))
    assert runner.action(version=version) == 0
    torch, own = [call for call in runner.called() if call[0] == "pip"]
    assert re.fullmatch(r"torch==[\d.]+", torch[2])
    ours = ["pip", "install", "--constraint", f"{ROOT}/requirements.lock", f"{ROOT}[api]"]
    assert own == (["pip", "install", "steelyard[api]==1.2.0"] if version else ours)


@pytest.fixture(scope="module")
def audited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A repository whose audit fails by its own policy, and has run once."""
    folder = tmp_path_factory.mktemp("repository")
    decisions(folder, 800)
    gap = {"metric": "fairness.selection_rate.difference", "slice": {"sex": "*"}, "at_least": None}
    (folder / "policies").mkdir()
    write_policy(folder / "policies/strict.yaml", [control("gap", at_most=0.01, **gap)])
    write_policy(folder / "policies/lenient.yaml", [control("gap", at_most=0.9, **gap)])
    write_waivers(folder / "waivers.yaml", waiver("w-1", "gap", granted="2020-01-01", expires="2999-01-01"))
    config(folder, policy="policies/strict.yaml").rename(folder / "steelyard.yaml")
    done = subprocess.run([BIN / "steelyard", "audit", "steelyard.yaml", "--quiet"], cwd=folder, check=False)
    assert done.returncode == 1
    yield folder


@pytest.mark.slow
def test_the_action_fails_with_the_audit_and_tells_why(audited: Path, tmp_path: Path) -> None:
    runner = Runner(audited, tmp_path)
    assert runner.action() == 1
    told = runner.told()
    assert (told["status"], told["exit-code"]) == ("fail", "1")
    assert (audited / told["report"]).is_file()
    assert runner.page.read_text("utf-8").count("## Steelyard") == 1
    assert "❌" in runner.page.read_text("utf-8")


@pytest.mark.slow
def test_the_action_judges_by_what_it_is_given_and_shows_that_verdict_alone(audited: Path, tmp_path: Path) -> None:
    run = next((audited / "runs/credit").glob("*/record.json")).parent.relative_to(audited)
    lenient = Runner(audited, tmp_path / "lenient")
    assert lenient.action(policy="policies/lenient.yaml", baseline=str(run)) == 0
    assert lenient.told()["status"] == "pass"
    assert lenient.page.read_text("utf-8").count("## Steelyard") == 1
    waived = Runner(audited, tmp_path / "waived")
    assert waived.action(waivers="waivers.yaml", lang="zh") == 0
    assert "w-1" in waived.page.read_text("utf-8")
    assert "豁免" in waived.page.read_text("utf-8")


@pytest.mark.slow
@pytest.mark.parametrize("inputs", [{"config": "nowhere.yaml"}, {"policy": "nowhere.yaml"}])
def test_the_action_tells_bad_input(audited: Path, tmp_path: Path, inputs: dict[str, str]) -> None:
    runner = Runner(audited, tmp_path)
    assert runner.action(**inputs) == 2
    assert runner.told() == {"status": "", "exit-code": "2", "report": ""}
    assert "nowhere.yaml: no such file" in runner.said


@pytest.mark.slow
@pytest.mark.parametrize("ci", ["github", "gitlab"])
def test_the_pipelines_that_init_writes_run(audited: Path, tmp_path: Path, ci: str) -> None:
    fresh = tmp_path / "fresh"
    write_starter(fresh, data=None, text=None, label=None, ci=ci)
    if ci == "github":
        job = yaml.safe_load((fresh / ".github/workflows/steelyard.yml").read_text("utf-8"))["jobs"]["audit"]
        steps = [step["run"] for step in job["steps"] if "run" in step]
        after: list[str] = []
    else:
        job = yaml.safe_load((fresh / ".gitlab-ci.yml").read_text("utf-8"))["steelyard"]
        steps, after = job["script"], job["after_script"]
    runner = Runner(audited, tmp_path / "aside")
    codes = [runner.bash(step).returncode for step in steps]
    assert codes == [0, 1]  # installed; audited, and closed
    assert [runner.bash(step).returncode for step in after] == [0] * len(after)
    if ci == "gitlab":
        shown = JUnitXml.fromfile(str(audited / job["artifacts"]["reports"]["junit"]))
        assert shown.failures == 1
        shutil.rmtree(audited / job["artifacts"]["paths"][0])


def test_init_keeps_a_pipeline_that_is_there_and_shows_what_to_add(tmp_path: Path) -> None:
    own = tmp_path / ".gitlab-ci.yml"
    own.write_text("stages: [test]\n")
    lines = write_starter(tmp_path, data=None, text=None, label=None, ci="gitlab")
    assert own.read_text() == "stages: [test]\n"
    assert any("is there already" in line and "steelyard audit steelyard.yaml" in line for line in lines)


def git(folder: Path, *arguments: str) -> str:
    who = {"GIT_AUTHOR_NAME": "t", "GIT_AUTHOR_EMAIL": "t@t", "GIT_COMMITTER_NAME": "t", "GIT_COMMITTER_EMAIL": "t@t"}
    env = {**os.environ, **who, "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null"}
    return subprocess.run(["git", *arguments], cwd=folder, env=env, capture_output=True, text=True, check=True).stdout


@pytest.fixture
def hooked(tmp_path: Path) -> Path:
    """A project that uses the hooks of this repository, as a repository of its own."""
    hooks, project = tmp_path / "hooks", tmp_path / "project"
    for folder in (hooks, project):
        folder.mkdir()
        git(folder, "init", "--quiet")
    shutil.copy(ROOT / ".pre-commit-hooks.yaml", hooks)
    git(hooks, "add", ".")
    git(hooks, "commit", "--quiet", "-m", "hooks")
    used: dict[str, Any] = {"repo": str(hooks), "rev": git(hooks, "rev-parse", "HEAD").strip()}
    used["hooks"] = [{"id": "steelyard-policy-check"}, {"id": "steelyard-gate", "args": ["runs/credit/run"]}]
    (project / ".pre-commit-config.yaml").write_text(yaml.safe_dump({"repos": [used]}))
    (project / "policies").mkdir()
    return project


def pre_commit(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    git(project, "add", ".")
    env = {
        **os.environ,
        "PATH": f"{BIN}:/usr/bin:/bin",
        "PRE_COMMIT_HOME": str(project.parent / "cache"),
        "OMP_NUM_THREADS": "1",
    }
    env |= {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null"}
    return subprocess.run(
        ["pre-commit", "run", "--color=never", *arguments],
        cwd=project,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
def test_the_hook_checks_the_policies_that_changed(hooked: Path) -> None:
    fine = [control("quality.good", "quality.auc"), control("quality.right", "quality.accuracy", models="candidate")]
    write_policy(hooked / "policies/one.yaml", fine)
    write_policy(hooked / "policies/two.yml", fine[:1])
    done = pre_commit(hooked, "steelyard-policy-check")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "check Steelyard policies" in done.stdout
    assert "Passed" in done.stdout
    write_policy(hooked / "policies/two.yml", [control("typo", "quality.acuracy")])
    done = pre_commit(hooked, "steelyard-policy-check")
    assert done.returncode == 1
    assert "quality.acuracy" in done.stdout
    assert "two.yml" in done.stdout
    (hooked / "policies/two.yml").unlink()
    decisions(hooked, 100)
    config(hooked, policy="policies/one.yaml", waivers="waivers.yaml").rename(hooked / "steelyard.yaml")
    write_waivers(hooked / "waivers.yaml", waiver("w-1", "quality.good", granted="2020-01-01", expires="2020-02-01"))
    done = pre_commit(hooked, "steelyard-policy-check")
    assert done.returncode == 1
    assert "w-1" in done.stdout
    assert "which the config doesn't run" in done.stdout
    (hooked / "other.yaml").write_text("not: a policy\n")
    skipped = pre_commit(hooked, "steelyard-policy-check", "--files", "other.yaml")
    assert (skipped.returncode, "Skipped" in skipped.stdout) == (0, True)


@pytest.mark.slow
def test_the_gate_hook_closes_before_a_push(hooked: Path, audited: Path) -> None:
    run = next((audited / "runs/credit").glob("*/record.json")).parent
    shutil.copytree(run, hooked / "runs/credit/run", symlinks=True)
    before = digest_file(hooked / "runs/credit/run/record.json")
    done = pre_commit(hooked, "steelyard-gate", "--hook-stage", "pre-push")
    assert done.returncode == 1
    assert "judge the last Steelyard run again" in done.stdout
    assert "exit code 1" in done.stdout
    assert digest_file(hooked / "runs/credit/run/record.json") == before
