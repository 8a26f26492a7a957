"""A chat's directories, and how they appear in its containers."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from klad import tenants, workspace
from klad.runtime import Mount
from klad.tenants import Tenant
from klad.words import Slot
from klad.workspace import AGENT_UID, Identity

ME = Identity(os.geteuid(), os.getegid())
AGENT = Identity(AGENT_UID, AGENT_UID)
SOURCE = Path("/opt/source of klad")
EXTRA = (Mount("/srv/notes", "/workspace/extra/notes", False), Mount("/srv/books", "/workspace/extra/books", True))


@pytest.fixture
def tenant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tenant:
    monkeypatch.setenv("KLAD_HOME", str(tmp_path))
    found = tenants.find("david")
    tenants.secure(found)
    return found


def places(tenant: Tenant, chat: str = "-100123:7", slot: Slot = "worker", who: Identity = AGENT) -> workspace.Places:
    return workspace.places(tenant, "an install", chat, slot, who)


def table(binds: tuple[Mount, ...]) -> dict[str, bool]:
    """Target → read-only."""
    assert len({bind.target for bind in binds}) == len(binds)
    return {bind.target: bind.read_only for bind in binds}


class TestPlaces:
    def test_the_same_chat_always_has_the_same_ones(self, tenant: Tenant) -> None:
        assert places(tenant) == places(tenant)

    def test_both_slots_of_a_chat_see_one_workspace_through_sockets_of_their_own(self, tenant: Tenant) -> None:
        worker, talker = places(tenant, slot="worker"), places(tenant, slot="chat")
        assert (worker.group, worker.home, worker.inbox) == (talker.group, talker.home, talker.inbox)
        assert worker.socket != talker.socket

    def test_no_two_chats_share_any(self, tenant: Tenant) -> None:
        found = [places(tenant, chat, slot) for chat in ("1", "12", "-1", "1:2") for slot in ("chat", "worker")]
        assert len({one.group for one in found}) == 4
        assert len({one.socket for one in found}) == 8

    def test_a_topic_has_a_workspace_of_its_own(self, tenant: Tenant) -> None:
        assert places(tenant, "-100123").group != places(tenant, "-100123:7").group

    def test_the_same_chat_of_another_tenant_or_install_has_others(self, tenant: Tenant) -> None:
        eva = tenants.find("eva")
        names = {
            workspace.places(who, install, "7", "chat", AGENT).socket.name
            for who in (tenant, eva)
            for install in ("one", "two")
        }
        assert len(names) == 4

    def test_their_names_tell_nothing(self, tenant: Tenant) -> None:
        found = places(tenant)
        for path, root in ((found.group.parent, tenant.groups), (found.socket, tenant.sockets)):
            assert path.parent == root
            assert re.fullmatch(r"[0-9a-f]{8}", path.name)

    @pytest.mark.parametrize("chat", ["../../etc", "/etc", "a\0b", "", "x" * 5000])
    def test_whatever_a_chat_is_called_they_stay_in_the_tenants_directory(self, tenant: Tenant, chat: str) -> None:
        found = places(tenant, chat)
        assert found.group.parent.parent == tenant.groups
        assert found.socket.parent == tenant.sockets

    def test_words_are_not_confused_by_where_they_are_joined(self) -> None:
        assert workspace.opaque("ab", "c") != workspace.opaque("a", "bc")


class TestPrepare:
    def test_what_is_missing_is_made_and_a_second_time_changes_nothing(self, tenant: Tenant) -> None:
        found = places(tenant, who=ME)
        workspace.prepare(found, ME)
        (found.group / "kept").write_text("a file")
        before = {path: path.stat() for path in (found.group, found.home, found.inbox, found.socket)}
        workspace.prepare(found, ME)
        for path, status in before.items():
            assert (path.stat().st_ino, path.stat().st_mode) == (status.st_ino, status.st_mode)
        assert (found.group / "kept").read_text() == "a file"

    def test_the_agent_owns_what_it_writes_and_the_host_what_it_only_reads(self, tenant: Tenant) -> None:
        who = workspace.identity()
        found = places(tenant, who=who)
        workspace.prepare(found, who)
        for path in (found.group, found.home):
            assert (path.stat().st_uid, path.stat().st_mode & 0o777) == (who.uid, 0o700)
        for path in (found.inbox, found.socket):
            assert (path.stat().st_uid, path.stat().st_mode & 0o777) == (os.geteuid(), 0o755)

    def test_a_generated_passwd_names_the_user(self, tenant: Tenant) -> None:
        who = Identity(4711, 815)
        found = places(tenant, who=who)
        workspace.prepare(found, who)
        assert found.passwd is not None
        lines = [line.split(":") for line in found.passwd.read_text().splitlines()]
        assert all(len(line) == 7 for line in lines)
        assert [(line[3], line[5]) for line in lines if line[2] == "4711"] == [("815", "/workspace/home")]
        assert found.passwd.stat().st_mode & 0o777 == 0o644

    def test_the_images_own_user_needs_no_passwd(self, tenant: Tenant) -> None:
        assert places(tenant, who=AGENT).passwd is None


def test_root_gives_the_agent_a_user_of_its_own_and_others_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert workspace.identity().user == "10001:10001"
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(os, "getegid", lambda: 100)
    assert workspace.identity().user == "1000:100"


class TestMounts:
    def test_the_chat_slot(self, tenant: Tenant) -> None:
        binds = workspace.mounts(places(tenant, slot="chat"), "chat", SOURCE, EXTRA)
        assert table(binds) == {
            "/workspace/group": True,
            "/workspace/inbox": True,
            "/run/klad": True,
            "/workspace/extra/notes": True,
            "/workspace/extra/books": True,
        }

    def test_the_worker_slot(self, tenant: Tenant) -> None:
        binds = workspace.mounts(places(tenant), "worker", SOURCE, EXTRA)
        assert table(binds) == {
            "/workspace/group": False,
            "/workspace/home": False,
            "/workspace/inbox": True,
            "/run/klad": True,
            "/workspace/project/klad": True,
            "/workspace/project/actors": True,
            "/workspace/project/agent": True,
            "/workspace/extra/notes": False,
            "/workspace/extra/books": True,
        }

    @pytest.mark.parametrize("slot", ["chat", "worker"])
    def test_a_generated_passwd_is_mounted_read_only(self, tenant: Tenant, slot: Slot) -> None:
        found = places(tenant, slot=slot, who=Identity(4711, 815))
        binds = workspace.mounts(found, slot, SOURCE)
        assert table(binds)["/etc/passwd"]
        assert "/etc/passwd" not in table(workspace.mounts(places(tenant, slot=slot), slot, SOURCE))

    def test_each_is_bound_from_its_own_place(self, tenant: Tenant) -> None:
        found = places(tenant)
        sources = {bind.target: bind.source for bind in workspace.mounts(found, "worker", SOURCE, EXTRA)}
        assert sources["/workspace/group"] == str(found.group)
        assert sources["/run/klad"] == str(found.socket)
        assert sources["/workspace/project/agent"] == "/opt/source of klad/agent"

    @pytest.mark.parametrize("slot", ["chat", "worker"])
    def test_no_secret_of_the_tenant_can_be_reached_through_any(self, tenant: Tenant, slot: Slot) -> None:
        for bind in workspace.mounts(places(tenant, slot=slot), slot, SOURCE):
            for secret in (tenant.env, tenant.ledger, tenant.root / "control.sock", tenant.root / "lock"):
                assert not secret.is_relative_to(bind.source)


class TestIdentify:
    def test_each_mount_that_the_entry_can_report_has_device_and_inode(self, tenant: Tenant) -> None:
        who = Identity(4711, 815)
        found = places(tenant, who=who)
        workspace.prepare(found, who)
        source = Path(__file__).parents[2]
        identified = workspace.identify(workspace.mounts(found, "worker", source))
        status = found.group.stat()
        assert identified["/workspace/group"] == (status.st_dev, status.st_ino)
        assert set(identified) == {
            "/workspace/group",
            "/workspace/home",
            "/workspace/inbox",
            "/run/klad",
            "/workspace/project/klad",
            "/workspace/project/actors",
            "/workspace/project/agent",
        }

    def test_a_place_that_was_put_there_anew_is_another(self, tmp_path: Path) -> None:
        (tmp_path / "first").mkdir()
        (tmp_path / "second").mkdir()
        bind = (Mount(str(tmp_path / "first"), "/workspace/extra/x", True),)
        before = workspace.identify(bind)
        (tmp_path / "first").rmdir()
        (tmp_path / "second").rename(tmp_path / "first")
        assert workspace.identify(bind) != before

    def test_a_link_in_its_place_is_not_followed(self, tmp_path: Path) -> None:
        (tmp_path / "there").mkdir()
        (tmp_path / "link").symlink_to(tmp_path / "there")
        binds = tuple(Mount(str(tmp_path / name), f"/workspace/extra/{name}", True) for name in ("there", "link"))
        found = workspace.identify(binds)
        assert found["/workspace/extra/there"] != found["/workspace/extra/link"]

    def test_a_missing_one_is_an_error(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError):
            workspace.identify((Mount(str(tmp_path / "none"), "/workspace/extra/x", True),))
