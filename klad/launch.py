"""One container's Launch, composed from what the tenant, the chat and the slot are. Pure."""

from __future__ import annotations

from klad.runtime import Launch, Mount
from klad.words import Slot

MIB = 1024 * 1024


def compose(
    *,
    run: str,
    token: str,
    tenant: str,
    install: str,
    chat: str,
    slot: Slot,
    image: str,
    mounts: tuple[Mount, ...],
    user: str,
    timezone: str,
    runtime: str,
) -> Launch:
    """The slot's size, and an environment that holds the run's own token and no other secret."""
    worker = slot == "worker"
    env = (
        ("KLAD_RUN", run),
        ("KLAD_TOKEN", token),
        ("KLAD_SLOT", slot),
        ("KLAD_GATEWAY", "/run/klad/gateway.sock"),
        ("HOME", "/workspace/home"),
        ("LANG", "C.UTF-8"),
        ("TZ", timezone),
    )
    return Launch(
        run=run,
        tenant=tenant,
        install=install,
        chat=chat,
        slot=slot,
        image=image,
        mounts=mounts,
        env=env,
        user=user,
        memory_bytes=(4096 if worker else 512) * MIB,
        cpus=2.0 if worker else 1.0,
        pids=512 if worker else 256,
        runtime=runtime,
    )
