"""What it takes to start one container for a slot: its directories, its mounts, its launch."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from actors.world import World
from klad import launch, workspace
from klad.errors import KladError
from klad.gateway import new_token
from klad.runtime import Launch
from klad.words import Slot


@dataclass(frozen=True, slots=True)
class Prepared:
    """Not on record yet: `run` and `token_hash` go into the ledger before `launch` goes to the engine."""

    run: str
    token_hash: str
    expected: dict[str, tuple[int, int]]
    """(device, inode) of what is to be mounted, for the gateway to compare."""
    launch: Launch


def prepare(world: World, chat: str, slot: Slot) -> Prepared:
    """Make the slot's directories and everything that its next run needs. Raises `KladError`, in one line."""
    places = workspace.places(world.tenant, world.install, chat, slot, world.identity)
    try:
        workspace.prepare(places, world.identity)
        binds = workspace.mounts(places, slot, world.source, world.extra())
        expected = workspace.identify(binds)
    except OSError as error:
        raise KladError(f"{error.filename}: {error.strerror or error}") from error
    run, (token, token_hash) = f"klad-{secrets.token_hex(6)}", new_token()
    composed = launch.compose(
        run=run,
        token=token,
        tenant=world.tenant.name,
        install=world.install,
        chat=chat,
        slot=slot,
        image=world.images.chat if slot == "chat" else world.images.worker,
        mounts=binds,
        user=world.identity.user,
        timezone=world.settings.timezone,
        runtime=world.settings.container_runtime,
    )
    return Prepared(run, token_hash, expected, composed)
