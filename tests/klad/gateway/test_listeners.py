"""Sockets in directories that containers have mounted."""

from __future__ import annotations

import asyncio
import os
import socket
import stat
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from klad.errors import KladError, TakenError
from klad.gateway import Gateway, ScriptedModel
from klad.gateway.listeners import LONGEST_PATH

from .house import House, house


async def test_a_containers_user_may_connect_and_the_directory_stays_as_it_is(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        directory = tmp_path / "slot"
        directory.mkdir(mode=0o711)
        before = directory.stat()
        await home.gateway.listen(directory, "7", "chat")
        sock = (directory / "gateway.sock").stat()
        assert stat.S_ISSOCK(sock.st_mode)
        assert stat.S_IMODE(sock.st_mode) == 0o666
        after = directory.stat()
        assert (before.st_ino, before.st_mode) == (after.st_ino, after.st_mode)
        assert os.listdir(directory) == ["gateway.sock"]


async def test_listening_again_is_harmless(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        agent = await home.agent()
        waits = asyncio.create_task(agent.ask("GET", "/agent/signals"))
        await home.waiting()
        inode = (agent.directory / "gateway.sock").stat().st_ino
        await home.gateway.listen(agent.directory, "7", "worker")
        assert (agent.directory / "gateway.sock").stat().st_ino == inode
        assert not waits.done()
        waits.cancel()


async def test_a_socket_that_was_removed_is_made_again_and_connections_live_on(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        agent = await home.agent()
        waits = asyncio.create_task(agent.ask("GET", "/agent/signals"))
        await home.waiting()
        (agent.directory / "gateway.sock").unlink()
        await home.gateway.listen(agent.directory, "7", "worker")
        assert (await home.client(agent.run, agent.token, agent.directory).turn())[0] == 200
        assert not waits.done()
        waits.cancel()


async def test_a_directory_given_to_another_slot_no_longer_serves_the_first(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        worker = await home.agent()
        assert (await worker.turn())[0] == 200
        await home.gateway.listen(worker.directory, "7", "chat")
        assert (await worker.turn())[0] == 403


async def test_an_agent_goes_on_after_a_restart_of_the_gateway(tmp_path: Path) -> None:
    """The directory that its container has mounted is the same one, with a new socket in it."""
    async with house(tmp_path) as home:
        agent = await home.agent()
        mounted = os.open(agent.directory, os.O_RDONLY)  # as a mount does, this holds the directory, not its name
        turn = (await agent.turn())[1]["turn"]
        await home.gateway.stop()
        with pytest.raises(aiohttp.ClientError):
            await agent.turn()
        home.gateway = home.new_gateway()
        await home.gateway.start()
        await home.gateway.listen(agent.directory, "7", "worker")
        seen = home.client(agent.run, agent.token, Path(f"/proc/self/fd/{mounted}"))
        status, brief = await seen.turn()
        assert (status, brief["turn"]) == (200, turn)
        os.close(mounted)


async def test_the_socket_of_a_killed_gateway_is_replaced(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        directory = tmp_path / "7-worker"
        directory.mkdir()
        for name in ("gateway.sock", ".gateway.sock.0badcafe"):
            with socket.socket(socket.AF_UNIX) as dead:
                dead.bind(str(directory / name))
        agent = await home.agent()
        assert (await agent.turn())[0] == 200
        assert os.listdir(directory) == ["gateway.sock"]


async def test_a_socket_is_made_where_paths_are_too_long_for_one(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 80) / ("e" * 80)
    deep.mkdir(parents=True)
    assert len(os.fsencode(deep)) > LONGEST_PATH
    async with house(tmp_path) as home:
        for chat in ("7", "8"):  # both are bound by way of the same descriptor number
            home.say("SAY hello", chat=chat)
            run, token = home.begin("worker", chat)
            directory = deep / chat
            directory.mkdir()
            await home.gateway.listen(directory, chat, "worker")
            folder = os.open(directory, os.O_RDONLY)
            agent = home.client(run, token, Path(f"/proc/self/fd/{folder}"))
            assert (await agent.turn())[0] == 200
            os.close(folder)


async def test_listeners_are_told_apart(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        one, two = await home.agent(chat="1"), await home.agent(chat="2")
        assert [(await agent.turn())[0] for agent in (one, two)] == [200, 200]
        await home.gateway.unlisten(one.directory)
        with pytest.raises(aiohttp.ClientError):
            await one.turn()
        assert (await two.turn(0))[0] == 200


async def test_unlistening_breaks_connections_and_removes_the_socket(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        agent = await home.agent()
        waits = asyncio.create_task(agent.ask("GET", "/agent/signals"))
        await home.waiting()
        await home.gateway.unlisten(agent.directory)
        with pytest.raises(aiohttp.ClientError):
            await asyncio.wait_for(waits, 2)
        assert os.listdir(agent.directory) == []
        await home.gateway.unlisten(agent.directory)
        await home.gateway.unlisten(tmp_path / "never")


async def test_a_successors_socket_is_not_removed(tmp_path: Path) -> None:
    """A gateway that dies slowly, and one that has taken its place."""
    async with house(tmp_path) as home:
        agent = await home.agent()
        successor = home.new_gateway()
        await successor.start()
        await successor.listen(agent.directory, "7", "worker")
        await home.gateway.stop()
        home.gateway = successor
        assert (await home.client(agent.run, agent.token, agent.directory).turn())[0] == 200


async def test_a_directory_that_is_not_there_is_told_in_one_line(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        with pytest.raises(KladError, match="can't be made: No such file"):
            await home.gateway.listen(tmp_path / "missing", "7", "chat")


async def test_after_a_stop_nothing_is_opened_any_more(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        await home.gateway.stop()
        with pytest.raises(KladError, match="not running"):
            await home.gateway.listen(tmp_path, "7", "chat")
        await home.gateway.stop()
        home.gateway.wake("klad-unknown")


async def test_a_taken_port_is_told_and_nothing_is_left_open(tmp_path: Path) -> None:
    async with house(tmp_path, port=0) as home:
        second = home.new_gateway(port=home.gateway.port)
        with pytest.raises(TakenError, match=f"port {home.gateway.port} .*GATEWAY_PORT"):
            await second.start()
        await second.stop()
        assert second.port is None


async def test_the_port_can_be_had_again_at_once_after_a_stop(tmp_path: Path) -> None:
    async with house(tmp_path, port=0) as home:
        port = home.gateway.port
        agent = await home.agent()
        await home.client(agent.run, agent.token, agent.directory, tcp=True).turn()
        await home.gateway.stop()
        home.gateway = home.new_gateway(port=port)
        await home.gateway.start()
        assert home.gateway.port == port


def test_a_gateway_that_never_started_may_be_woken_and_stopped(tmp_path: Path) -> None:
    gateway: Any = Gateway(None, ScriptedModel(), lambda nudge: None)  # type: ignore[arg-type]
    gateway.wake("klad-1")
    gateway.forget("klad-1")
    asyncio.run(gateway.stop())


def test_a_wake_after_the_loop_has_gone_is_harmless(tmp_path: Path) -> None:
    async def lived() -> House:
        async with house(tmp_path) as home:
            return home

    home = asyncio.run(lived())
    home.gateway.wake("klad-1")
