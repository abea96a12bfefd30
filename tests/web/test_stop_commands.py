"""The lines that stop without a page: whole, the same everywhere, and for those who are signed in."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from html import unescape
from pathlib import Path

from app.domain.runs import RunState
from app.settings import Settings
from app.web.stop_commands import StopCommands, kill_all_line, stop_commands
from tests.web.conftest import Site


def of(site: Site) -> StopCommands:
    found: StopCommands = site.server.lifespan.state["stop_commands"]
    return found


async def test_health_has_the_lines_of_this_server_each_to_copy(site: Site) -> None:
    page = unescape((await site.browser.get("/health")).text)
    commands, settings = of(site), site.server.lifespan.state["settings"]
    for line in (*commands.everything, commands.stop_all):
        assert f"<code>{line}</code>" in page
        assert f'data-copy="{line}"' in page
    assert f"CRUCIBLE_DATA={settings.data} " in commands.panic
    assert commands.kill_all.endswith(f"--instance {(settings.data / 'instance').read_text().strip()}")


def test_a_signal_is_named_only_where_the_process_listens_to_it(tmp_path: Path) -> None:
    (tmp_path / "instance").write_text("abc123\n")
    assert stop_commands(Settings(data=tmp_path)).signal == ""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    try:
        assert stop_commands(Settings(data=tmp_path)).signal == f"kill -USR1 {os.getpid()}"
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def test_a_server_has_its_own_line_though_its_commands_are_to_ask_another(tmp_path: Path) -> None:
    (tmp_path / "instance").write_text("abc123\n")
    settings = Settings(data=tmp_path, server="https://crucible.example")
    assert stop_commands(settings).kill_all.endswith(" kill-all --instance abc123")
    assert kill_all_line(settings) == "python -m sandbox_runner kill-all", "no folder of this machine is meant"


async def test_the_banner_of_a_stop_without_an_answer_has_them_on_every_page(site: Site) -> None:
    page = unescape((await site.browser.get("/")).text)
    banner = page[page.index('id="not-confirmed"') :]
    for line in of(site).everything:
        assert f"<code>{line}</code>" in banner
        assert f'data-copy="{line}"' in banner


async def test_a_live_run_has_the_line_that_stops_it(site: Site) -> None:
    run = await site.seed(b"hello\n", state=RunState.RUNNING)
    page = unescape((await site.browser.get(f"/runs/{run.id}")).text)
    for line in of(site).of_run(run.id):
        assert f'data-copy="{line}"' in page


async def test_a_stranger_is_told_no_folder(site: Site) -> None:
    for path in ("/sign-in", "/sign-in?next=%2Fruns%2F7%3Fstop%3Dasked"):
        page = (await site.stranger.get(path)).text
        assert str(site.server.lifespan.state["settings"].data) not in page
    assert "crucible stop 7" in page


def test_the_lines_work_from_any_folder_and_for_a_folder_with_a_space(tmp_path: Path) -> None:
    data = tmp_path / "my data"
    data.mkdir()
    (data / "instance").write_text("abc123\n")
    commands = stop_commands(Settings(data=data, docker_host="unix:///no where.sock"))

    subprocess.run(commands.stop_file, shell=True, cwd="/", check=True)
    assert (data / "STOP").exists()
    for line in (commands.panic, commands.stop_all):
        helped = subprocess.run(f"{line} --help", shell=True, cwd="/", capture_output=True, text=True, check=True)
        assert "Stop" in helped.stdout
    words = shlex.split(commands.kill_all)
    assert words[:4] == [str(Path(sys.executable).parent / "python"), "-m", "sandbox_runner", "kill-all"]
    assert words[4:] == ["--engine", "unix:///no where.sock", "--instance", "abc123"]
    assert shlex.split(commands.panic)[:2] == [f"CRUCIBLE_DATA={data}", "CRUCIBLE_DOCKER_HOST=unix:///no where.sock"]
