"""`crucible …`: thin commands that parse, call and print."""

from __future__ import annotations

import os
import sys

import click

from app.cli.doctor import doctor
from app.cli.evaluate import evaluate
from app.cli.logs import logs
from app.cli.runs import runs
from app.cli.serve import serve, sign_in_link
from app.cli.stop import panic, release, stop
from app.domain.errors import CrucibleError
from app.main import VERSION
from app.settings import from_environment


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(VERSION, prog_name="crucible")
@click.pass_context
def crucible(context: click.Context) -> None:
    """Run dangerous AI agents safely, watch them live, stop any of them at once.

    Settings come from CRUCIBLE_* environment variables; see docs/settings.md.
    """
    context.obj = from_environment(os.environ)


for command in (serve, evaluate, runs, logs, stop, panic, release, doctor, sign_in_link):
    crucible.add_command(command)


def main() -> None:
    """Exit codes: 0 as asked, 1 a run was not as expected, 2 refused, 3 something needed is missing."""
    try:
        crucible()
    except CrucibleError as error:
        click.echo(f"crucible: {error}", err=True)
        sys.exit(2)
