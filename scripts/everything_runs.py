"""A pytest plug-in for scripts/test: a suite in which something did not run has failed.

Loaded with ``-p everything_runs``. Beside failing tests, these make pytest end with exit code 1: a skipped test, an
expected failure that passed, and a folder on the command line in which nothing was collected. With
``--tally FILE`` the numbers are left there as ``passed failed not_run``, for the summary over all suites.
"""

from pathlib import Path

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--tally", type=Path, default=None, help="write 'passed failed not_run' to this file")


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(EverythingRuns(config))


class EverythingRuns:
    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._empty: list[str] = []
        self._not_run: list[str] = []
        self._passed = 0
        self._failed: set[str] = set()

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Runs after deselection, so a filter that leaves nothing counts as nothing collected."""
        for argument in self._config.args:
            folder = Path(argument.split("::")[0]).resolve()
            if not any(item.path.is_relative_to(folder) for item in session.items):
                self._empty.append(argument)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.skipped:
            self._not_run.append(report.nodeid)
        elif report.failed:
            self._failed.add(report.nodeid)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self._failed.add(report.nodeid)
        elif report.skipped and not hasattr(report, "wasxfail"):
            self._not_run.append(report.nodeid)
        elif report.when == "call" and report.passed and hasattr(report, "wasxfail"):
            self._failed.add(report.nodeid)
        elif report.when == "call" and report.passed:
            self._passed += 1

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        if exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED) and (
            self._empty or self._not_run or self._failed
        ):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
        tally: Path | None = self._config.getoption("--tally")
        if tally is not None:
            not_run = len(self._not_run) + len(self._empty)
            tally.write_text(f"{self._passed} {len(self._failed)} {not_run}\n")

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        for argument in self._empty:
            terminalreporter.write_line(f"NOT RUN {argument}: no test was collected", red=True)
        for nodeid in self._not_run:
            terminalreporter.write_line(f"NOT RUN {nodeid}: skipped", red=True)
