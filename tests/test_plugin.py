"""The pytest plugin, in real runs of pytest on small projects."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from governance.conclude import gate_run
from governance.files import canonical
from tests.judged import control, outcome, save_run, waiver, write_policy, write_waivers
from tests.test_tableaudit import config, decisions

pytest_plugins = ["pytester"]

CONTROLS = [
    control("quality.good", "a", at_least=0.1),
    control("quality.bad", "a"),
    control("quality.open", "b"),
    control("quality.warned", "a", severity="warn"),
    control("quality.elsewhere", "a", models=("n",)),
]


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    """A project with a policy, a run that was judged by it, and one that is newer."""
    write_policy(pytester.path / "policy.yaml", CONTROLS)
    for name, kind, day in (("old", "pass", "2026-01-01"), ("new", "fail", "2026-01-02")):
        run = save_run(
            pytester.path / "runs/a" / name,
            outcome("a", kind),
            outcome("b", "unproven"),
            created=f"{day}T00:00:00+00:00",
        )
        gate_run(run, policy=str(pytester.path / "policy.yaml"), language="en")
    return pytester


def test_a_control_that_holds_passes_and_one_that_fails_says_why(project: pytest.Pytester) -> None:
    project.makepyfile(
        """
        def test_good(steelyard):
            assert steelyard.run("runs/a/new").passes("quality.good")

        def test_bad(steelyard):
            run = steelyard.run("runs/a/new")
            assert run.passes("quality.bad")

        def test_open(steelyard):
            assert steelyard.run("runs/a/new").passes("quality.open")

        def test_warned(steelyard):
            assert steelyard.run("runs/a/new").passes("quality.warned")

        def test_elsewhere(steelyard):
            assert steelyard.run("runs/a/new").passes("quality.elsewhere")
        """
    )
    done = project.runpytest_inprocess()
    done.assert_outcomes(passed=1, failed=4)
    done.stdout.fnmatch_lines(
        [
            "E*assert <quality.bad: fail; m: must be at least 0.5, is 0.2 [[]0.1, 0.3[]], n = 100: even its better end "
            "misses the bound>",
            "*- steelyard -*",
            "quality.bad: fail; m: must be at least 0.5, *",
            "E*assert <quality.open: unproven; m: must be at least 0.5, is 0.5 [[]0.4, 0.6[]], n = 100: the interval "
            "holds the bound; not enough evidence>",
            "E*assert <quality.warned: fail; *",
            "E*assert <quality.elsewhere: says nothing about m>",
        ]
    )


def test_every_finding_is_told_although_pytest_shortens_assertions(pytester: pytest.Pytester) -> None:
    from governance.measure import Slice

    names = [f"group-{i}-{'x' * 50}" for i in range(6)]
    save_run(pytester.path / "run", *(outcome("a", "fail", where=Slice.of(g=name)) for name in names))
    write_policy(pytester.path / "policy.yaml", [control("c", "a", slice="any")])
    pytester.makeini("[pytest]\nsteelyard_policy = policy.yaml\n")
    pytester.makepyfile("def test(steelyard): assert steelyard.run('run').passes('c')")
    done = pytester.runpytest_inprocess()
    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines(["*(and 5 more)>*"])
    done.stdout.fnmatch_lines([f"c: fail; m, g={name[:50]}*" for name in names])


def test_unknown_names_are_told_with_the_nearest(project: pytest.Pytester) -> None:
    project.makepyfile(
        """
        import pytest

        def test_control(steelyard):
            steelyard.run("runs/a/new").passes("quality.god")

        def test_model(steelyard):
            steelyard.run("runs/a/new").passes("quality.good", model="mm")
        """
    )
    done = project.runpytest_inprocess()
    done.assert_outcomes(failed=2)
    done.stdout.fnmatch_lines(
        [
            "E*ConfigError: policy 'p' has no control 'quality.god'. Did you mean 'quality.good'? *",
            "E*ConfigError: runs/a/new: no model 'mm' in the record. Did you mean 'm'? Known: m, n.",
        ]
    )


def test_latest_is_the_newest_run(project: pytest.Pytester) -> None:
    project.makepyfile(
        """
        import pytest
        from governance.errors import RecordError

        def test_newest(steelyard):
            run = steelyard.latest("runs/a")
            assert run.directory.name == "new"
            assert run.record.created.startswith("2026-01-02")
            assert run.verdict.exit_code == 1
            assert run.policy.name == "p"

        def test_none(steelyard):
            with pytest.raises(RecordError, match="no run in it"):
                steelyard.latest("runs")
        """
    )
    project.runpytest_inprocess().assert_outcomes(passed=2)


def test_the_run_and_the_policy_may_be_named_outside(project: pytest.Pytester) -> None:
    write_policy(project.path / "strict.yaml", [control("quality.good", "a", at_least=0.9)])
    project.makepyfile("def test(steelyard): assert steelyard.run().passes('quality.good')")
    unnamed = project.runpytest_inprocess()
    unnamed.assert_outcomes(failed=1)
    unnamed.stdout.fnmatch_lines(["*name a run's folder, or give --steelyard-run RUN"])
    project.runpytest_inprocess("--steelyard-run", "runs/a/old").assert_outcomes(passed=1)
    project.makeini("[pytest]\nsteelyard_run = runs/a/old\nsteelyard_policy = strict.yaml\n")
    project.runpytest_inprocess().assert_outcomes(failed=1)
    project.makeini("[pytest]\nsteelyard_run = runs/a/old\nsteelyard_policy = lunch\n")
    project.runpytest_inprocess().stdout.fnmatch_lines(["*no 'lunch' in configs/policies. Did you mean 'launch'*"])


def test_what_is_waived_holds_and_says_so_until_it_expires(project: pytest.Pytester) -> None:
    run, file = project.path / "runs/a/new", project.path / "waivers.yaml"
    gate_run(
        run,
        waivers=write_waivers(file, waiver("w-1", "quality.bad", granted="2020-01-01", expires="2999-01-01")),
        language="en",
    )
    project.makepyfile(
        """
        def test(steelyard):
            held = steelyard.run("runs/a/new").passes("quality.bad")
            assert held
            assert held.waivers == ("w-1",)
            assert "fail, waived by w-1" in repr(held)
        """
    )
    project.runpytest_inprocess().assert_outcomes(passed=1)
    gate_run(
        run,
        waivers=write_waivers(file, waiver("w-1", "quality.bad", granted="2020-01-01", expires="2020-02-01")),
        language="en",
    )
    project.runpytest_inprocess().assert_outcomes(failed=1)


def test_asking_writes_nothing(project: pytest.Pytester) -> None:
    def state() -> bytes:
        files = sorted(path for path in (project.path / "runs").rglob("*") if path.is_file())
        return canonical([[str(path), path.stat().st_mtime_ns] for path in files])

    before = state()
    project.makeini("[pytest]\nsteelyard_policy = launch\n")
    project.makepyfile("def test(steelyard): assert not steelyard.run('runs/a/new').passes('quality.auc')")
    project.runpytest_inprocess().assert_outcomes(passed=1)
    assert state() == before


@pytest.mark.slow
def test_an_audit_can_be_run_from_a_test(pytester: pytest.Pytester) -> None:
    decisions(pytester.path, 800)
    config(pytester.path)
    pytester.makepyfile(
        """
        def test(steelyard):
            run = steelyard.audit("table.yaml")
            assert run.passes("table.auc")
            assert run.record.audit == "credit"
            assert run.directory.parent.as_posix() == "runs/credit"
            assert not run.passes("table.selection")
        """
    )
    pytester.makeini("[pytest]\nsteelyard_policy = policy.yaml\n")
    auc = control("table.auc", "fairness.auc.difference", at_most=1.0, at_least=None, slice={"sex": "*"})
    gap = control(
        "table.selection", "fairness.selection_rate.difference", at_most=0.01, at_least=None, slice={"sex": "*"}
    )
    write_policy(pytester.path / "policy.yaml", [auc, gap])
    pytester.runpytest_subprocess("-W", "error").assert_outcomes(passed=1)


def test_every_pytest_run_stays_light(pytester: pytest.Pytester) -> None:
    """Installed, the plugin is in every run of pytest, also where nobody uses it: it must cost and warn of nothing."""
    pytester.makepyfile(
        """
        import sys

        def test():
            assert "governance.pytest_plugin" in sys.modules
            heavy = {"numpy", "pydantic", "yaml", "click", "torch", "governance.policy", "governance.errors"}
            assert not heavy & set(sys.modules)
        """
    )
    done = pytester.runpytest_subprocess("-W", "error")
    done.assert_outcomes(passed=1)
    assert not done.errlines


def test_help_names_the_options() -> None:
    said = subprocess.run(
        [sys.executable, "-m", "pytest", "--help"], capture_output=True, text=True, check=True, cwd=Path("/")
    )
    for option in ("--steelyard-run=RUN", "steelyard_run", "steelyard_policy"):
        assert option in said.stdout
