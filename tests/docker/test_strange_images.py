"""Images that lack what we need or bring what they should not: refused in words, or harmless."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable

import docker
import pytest

from sandbox_runner.driver import SandboxError
from sandbox_runner.kill import kill_until_verified
from sandbox_runner.spec import Role
from tests.docker.conftest import PATIENCE, Bench, heard, python, shell

Make = Callable[..., Awaitable[str]]


@pytest.fixture
async def image(bench: Bench, engine: docker.APIClient) -> AsyncIterator[Make]:
    """Makes an image of ours by a root program, or by changes of its configuration."""
    made: list[str] = []

    async def make(code: str = "true", changes: list[str] | None = None) -> str:
        tag = f"crucible-strange:{bench.instance}-{len(made)}"
        sandbox = await bench.start(role=Role.SETUP)
        told = await bench.run(sandbox, shell(code, uid=0))
        assert told.ended.code == 0, told.out
        repository, _, name = tag.partition(":")
        engine.commit(sandbox.id, repository, name, changes=changes or [])
        made.append(tag)
        await kill_until_verified(bench.driver, sandbox)
        return tag

    yield make
    for sandbox in await bench.driver.list_owned(bench.instance):
        await kill_until_verified(bench.driver, sandbox)
    for tag in made:
        await bench.driver.remove_image(tag)


async def test_an_image_without_python_is_refused_and_leaves_nothing(bench: Bench, image: Make) -> None:
    tag = await image("for each in $(type -aP python3); do rm -f $each; done")
    with pytest.raises(SandboxError) as refused:
        await bench.start(image=tag)
    assert "python3" in str(refused.value)
    assert await bench.driver.list_owned(bench.instance) == []


async def test_without_a_shell_programs_run_and_what_needs_one_says_so(bench: Bench, image: Make) -> None:
    tag = await image("rm -f /bin/sh /usr/bin/sh /bin/dash /usr/bin/dash /usr/bin/bash /bin/bash")
    assert (await bench.only(python("print('here')"), image=tag)).out == "here\n"
    told = await bench.only(shell("true"), image=tag)
    assert told.ended.code == 127
    assert "bash" in told.ended.reason or "No such file" in told.ended.reason


async def test_an_images_own_entry_point_user_and_environment_do_nothing(bench: Bench, image: Make) -> None:
    tag = await image(
        changes=[
            'ENTRYPOINT ["/bin/sh", "-c", "touch /tmp/evil; sleep 1000"]',
            "USER 0",
            "ENV LD_PRELOAD=/tmp/evil.so PYTHONPATH=/tmp PYTHONSTARTUP=/tmp/evil.py",
            "WORKDIR /root",
        ]
    )
    code = """
import json, os
os.write(3, json.dumps([os.path.exists("/tmp/evil"), os.getuid(), sorted(os.environ)]).encode())
"""
    evil, uid, environment = json.loads((await bench.only(python(code), image=tag)).result)
    assert (evil, uid) == (False, 1000)
    assert not {"LD_PRELOAD", "PYTHONPATH", "PYTHONSTARTUP"} & set(environment)


async def test_setuid_programs_of_an_image_give_nothing(bench: Bench, image: Make) -> None:
    tag = await image("cp $(readlink -f $(type -P python3)) /usr/local/bin/asroot && chmod 4755 /usr/local/bin/asroot")
    code = (
        "import subprocess\nprint(subprocess.run(['/usr/local/bin/asroot', '-c', "
        "'import os; print(os.geteuid())'], capture_output=True, text=True).stdout)"
    )
    told = await bench.only(python(code), image=tag)
    assert told.out.strip() == "1000"


async def test_a_python_that_is_no_python_cannot_make_us_wait_or_believe(bench: Bench, image: Make) -> None:
    """The keeper runs on the image's Python: this one prints what looks like frames, and never ends."""
    tag = await image(
        "real=$(type -P python3); rm -f $real; "
        "printf '#!/bin/bash\\nwhile true; do echo KEEPER READY; sleep 0.01; done\\n' > $real; chmod 755 $real"
    )
    sandbox = await bench.start(image=tag)
    async with asyncio.timeout(PATIENCE):
        with pytest.raises(SandboxError):
            async with bench.driver.relay(sandbox) as relay:
                await heard(relay)
    await kill_until_verified(bench.driver, sandbox)
    assert not await bench.driver.exists(sandbox)


async def test_what_a_familys_root_leaves_running_is_gone_with_its_job(bench: Bench) -> None:
    sandbox = await bench.start(role=Role.SETUP)
    daemon = "for i in 1 2 3; do setsid bash -c 'trap \"\" TERM HUP; sleep 600' & done; sleep 0.3; echo left"
    first = await bench.run(sandbox, shell(daemon, uid=0))
    assert first.out == "left\n"
    count = "import os\nprint(sum(name.isdigit() for name in os.listdir('/proc')))"
    after = await bench.run(sandbox, python(count, number=2, uid=0), after=first)
    assert after.out == "2\n"  # the keeper, and who counts
