"""The command line: `klad run|add|list|build`, and `python run.py --tenant NAME`.

An entry: it may know the actors, and turns every `KladError` into one line and its exit code.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence

from klad import __version__, tenants
from klad.errors import KladError, UsageError

DEMO = "demo"
"""The tenant of `make run`: for a first look, so nothing is asked before it."""


def main(arguments: Sequence[str] | None = None) -> int:
    """The console script `klad`."""
    parser = argparse.ArgumentParser(prog="klad", description="A personal agent on Telegram that never goes deaf.")
    parser.add_argument("--version", action="version", version=f"klad {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for name, action, about in (
        ("run", _run, "start a tenant (made if it isn't there) and serve it until Ctrl-C"),
        ("add", _add, "make a tenant: its directory, its .env, its ports"),
    ):
        command = commands.add_parser(name, help=about, description=about)
        command.add_argument("name", help="the tenant: 1 to 32 of a-z, 0-9, - and _")
        command.set_defaults(action=action)
    listing = commands.add_parser("list", help="the tenants and their ports")
    listing.set_defaults(action=_list)
    build = commands.add_parser("build", help="build the agent's images, if they are not there")
    build.set_defaults(action=_build)
    options = parser.parse_args(arguments)
    return _one_line(lambda: int(options.action(options)))


def run(arguments: Sequence[str] | None = None) -> int:
    """`python run.py --tenant NAME`."""
    parser = argparse.ArgumentParser(prog="run.py", description="Start a tenant's Klåd and serve it until Ctrl-C.")
    parser.add_argument("--tenant", metavar="NAME", required=True, help="made if it isn't there")
    options = parser.parse_args(arguments)
    return _one_line(lambda: _serve(options.tenant))


def _one_line(action: Callable[[], int]) -> int:
    try:
        return action()
    except KladError as error:
        print(f"klad: {error}", file=sys.stderr)
        return error.exit_code
    except OSError as error:
        # A file or directory that isn't as it should be: the person's to mend, so no traceback either.
        print(f"klad: {error.filename or 'the system'}: {error.strerror or error}", file=sys.stderr)
        return UsageError.exit_code
    except KeyboardInterrupt:
        return 130


def _run(options: argparse.Namespace) -> int:
    return _serve(options.name)


def _serve(name: str) -> int:
    from klad.cli.serve import serve

    tenant = tenants.find(name)
    if not tenants.exists(tenant):
        _create(tenant)
    return serve(tenant)


def _add(options: argparse.Namespace) -> int:
    tenant = tenants.find(options.name)
    if tenants.exists(tenant):
        raise UsageError(f"tenant {tenant.name} is there already: {tenant.root}")
    _create(tenant)
    print(f"Start it with: python run.py --tenant {tenant.name}")
    return 0


def _create(tenant: tenants.Tenant) -> None:
    token = ""
    if tenant.name != DEMO and sys.stdin.isatty() and sys.stdout.isatty():
        print(f"Tenant {tenant.name} is new.")
        try:
            token = input("Bot token from @BotFather (Enter: no Telegram, a web chat on this machine): ").strip()
        except EOFError:
            raise KeyboardInterrupt from None
    made = tenants.create(tenant, token)
    print(f"Made {tenant.root} (settings: .env, web chat on port {made.port}).", flush=True)


def _list(_options: argparse.Namespace) -> int:
    from klad import settings

    names = tenants.names()
    if not names:
        print(f"No tenants in {tenants.home()} yet. Make one: klad add NAME")
    for name in names:
        try:
            found = settings.load(tenants.find(name).env)
            where = "web chat" if found.embedded else "Telegram"
            print(f"{name:<20} {where:<10} port {found.port}, gateway {found.gateway_port}")
        except UsageError as error:
            print(f"{name:<20} {error}")
    return 0


def _build(_options: argparse.Namespace) -> int:
    from klad.runtime import image

    images = image.build(_progress)
    print(f"chat:   {images.chat}\nworker: {images.worker}")
    return 0


def _progress(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
