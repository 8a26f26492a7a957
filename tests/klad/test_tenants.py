"""Tenant directories: names, creation, ports, and one process at a time."""

from __future__ import annotations

import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from klad import settings, tenants
from klad.errors import TakenError, UsageError

HOLDER = """
import fcntl, sys
file = open(sys.argv[1], "a")
fcntl.flock(file, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""

INSTALLER = "import sys; from klad import tenants; sys.stdin.read(1); print(tenants.install_id())"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KLAD_HOME", str(tmp_path / "home of klad"))
    return tmp_path / "home of klad"


def free(_: int) -> bool:
    return True


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@contextmanager
def lock_held_by_another_process(tenant: tenants.Tenant) -> Iterator[None]:
    lock = str(tenant.root / "lock")
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, lock], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout
    assert holder.stdout.readline() == "held\n"
    try:
        yield
    finally:
        holder.communicate(timeout=20)


@contextmanager
def listening() -> Iterator[int]:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server.getsockname()[1]


class TestNames:
    @pytest.mark.parametrize("name", ["david", "d", "2", "a-b_c", "x" * 32])
    def test_a_name_is_a_directory_of_its_own(self, home: Path, name: str) -> None:
        assert tenants.find(name).root == home / "tenants" / name

    @pytest.mark.parametrize(
        "name",
        ["", ".", "..", "../david", "a/b", "/etc", "a\\b", "David", "-rf", "_x", "a b", "a\n", "a\0", "å", ".env",
         "x" * 33, "a.b", "~"],
    )  # fmt: skip
    def test_what_could_lead_elsewhere_is_no_name(self, name: str) -> None:
        with pytest.raises(UsageError, match="can't be a tenant's name") as caught:
            tenants.find(name)
        assert "\n" not in str(caught.value)

    def test_only_directories_with_a_tenants_name_are_listed(self, home: Path) -> None:
        assert tenants.names() == []
        for name in ("b", "a", ".hidden", "Not One"):
            (home / "tenants" / name).mkdir(parents=True)
        (home / "tenants" / "file").write_text("")
        assert tenants.names() == ["a", "b"]

    def test_home_is_dot_klad_unless_set(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("KLAD_HOME", "")
        monkeypatch.setenv("HOME", str(tmp_path))
        assert tenants.home() == tmp_path / ".klad"
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("KLAD_HOME", "here")
        assert tenants.home() == tmp_path / "here"


class TestCreate:
    def test_it_is_closed_to_everyone_else(self, home: Path) -> None:
        tenant = tenants.find("david")
        assert not tenants.exists(tenant)
        tenants.create(tenant, free=free)
        assert tenants.exists(tenant)
        assert mode(tenant.env) == 0o600
        for directory in (home, home / "tenants", tenant.root):
            assert mode(directory) == 0o700

    def test_what_it_wrote_is_what_it_returns(self) -> None:
        tenant = tenants.find("david")
        token = "123456:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw"
        made = tenants.create(tenant, token, free=free)
        assert made == settings.load(tenant.env)
        assert (made.telegram_bot_token, made.port, made.gateway_port) == (token, 3000, 10254)

    def test_a_bad_token_makes_nothing_and_is_not_shown(self) -> None:
        tenant = tenants.find("david")
        with pytest.raises(UsageError, match="the token must be") as caught:
            tenants.create(tenant, "hunter2\nPORT=1", free=free)
        assert "hunter2" not in str(caught.value)
        assert not tenants.exists(tenant)

    def test_a_tenant_that_exists_is_left_alone(self) -> None:
        tenant = tenants.find("david")
        tenants.create(tenant, free=free)
        before = tenant.env.read_bytes()
        with pytest.raises(UsageError, match="exists already"):
            tenants.create(tenant, free=free)
        assert tenant.env.read_bytes() == before

    def test_a_home_that_is_no_directory_is_one_clear_line(self, home: Path) -> None:
        home.write_text("a file in its place")
        with pytest.raises(UsageError) as caught:
            tenants.create(tenants.find("david"), free=free)
        assert "\n" not in str(caught.value)


class TestPorts:
    def test_every_tenant_has_ports_of_its_own(self) -> None:
        ports = []
        for number in range(40):
            made = tenants.create(tenants.find(f"t{number}"), free=free)
            ports += [made.port, made.gateway_port]
        assert len(set(ports)) == len(ports)

    def test_tenants_made_at_the_same_moment_have_ports_of_their_own(self) -> None:
        made: list[settings.Settings] = []
        together = threading.Barrier(8)

        def make(name: str) -> None:
            together.wait(20)
            made.append(tenants.create(tenants.find(name), free=free))

        threads = [threading.Thread(target=make, args=(f"t{number}",)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        assert len({port for one in made for port in (one.port, one.gateway_port)}) == 16

    def test_ports_that_somebody_listens_on_are_passed_over(self) -> None:
        taken = {3000, 3001, 3003, 10254}
        assert tenants.allot(lambda port: port not in taken) == (3002, 10255)

    def test_ports_chosen_by_hand_are_passed_over(self) -> None:
        tenant = tenants.find("by-hand")
        tenants.secure(tenant)
        tenant.env.write_text("PORT=10254\nGATEWAY_PORT=3000\n")
        assert tenants.allot(free) == (3001, 10255)

    def test_a_broken_neighbour_hinders_nobody(self) -> None:
        tenant = tenants.find("broken")
        tenants.secure(tenant)
        tenant.env.write_text("PROT=3000\n")
        assert tenants.allot(free) == (3000, 10254)

    def test_no_free_port_is_one_clear_line(self) -> None:
        with pytest.raises(TakenError, match="no free port from 3000 to 3999"):
            tenants.allot(lambda _: False)

    def test_a_port_is_free_when_nobody_listens(self) -> None:
        with listening() as port:
            assert not tenants.port_is_free(port)
        assert tenants.port_is_free(port)

    @pytest.mark.parametrize("key", ["PORT", "GATEWAY_PORT"])
    def test_a_taken_port_says_which_setting_to_change(self, key: str) -> None:
        tenant = tenants.find("david")
        tenants.secure(tenant)
        with listening() as port, listening() as other:
            pass  # two that were free a moment ago
        with listening() as port:
            tenant.env.write_text(f"{key}={port}\n{'GATEWAY_PORT' if key == 'PORT' else 'PORT'}={other}\n")
            with pytest.raises(TakenError, match=f"port {port} is taken .* another {key} in ") as caught:
                tenants.wait_for_ports(tenant, settings.load(tenant.env), patience_s=0.05)
        assert caught.value.exit_code == 3

    def test_a_dying_predecessors_port_is_waited_for(self, monkeypatch: pytest.MonkeyPatch) -> None:
        answers = iter([False, False, True, True])
        monkeypatch.setattr(tenants, "port_is_free", lambda _: next(answers))
        monkeypatch.setattr(tenants.time, "sleep", lambda _: None)
        tenants.wait_for_ports(tenants.find("david"), settings.Settings())
        assert next(answers, None) is None


class TestLock:
    @pytest.fixture
    def tenant(self) -> tenants.Tenant:
        tenant = tenants.find("david")
        tenants.secure(tenant)
        return tenant

    def test_a_second_process_is_refused_after_some_patience(self, tenant: tenants.Tenant) -> None:
        with (
            lock_held_by_another_process(tenant),
            pytest.raises(TakenError, match="tenant david is running already") as caught,
            tenants.locked(tenant, patience_s=0.15),
        ):
            raise AssertionError("two hold it")
        assert caught.value.exit_code == 3

    def test_a_lock_dies_with_its_process(self, tenant: tenants.Tenant) -> None:
        with lock_held_by_another_process(tenant):
            pass
        with tenants.locked(tenant, patience_s=0.0):
            pass

    def test_a_dying_predecessor_is_waited_for(self, tenant: tenants.Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
        first = tenants.locked(tenant)
        first.__enter__()
        monkeypatch.setattr(tenants.time, "sleep", lambda _: first.__exit__(None, None, None))
        with tenants.locked(tenant, patience_s=20.0):
            pass

    def test_it_is_given_back_whatever_happens_inside(self, tenant: tenants.Tenant) -> None:
        with pytest.raises(KeyError), tenants.locked(tenant, patience_s=0.0):
            raise KeyError
        with tenants.locked(tenant, patience_s=0.0):
            pass
        assert (tenant.root / "lock").exists(), "removed, two could each lock one of their own"

    def test_its_file_is_closed_to_everyone_else(self, tenant: tenants.Tenant) -> None:
        with tenants.locked(tenant, patience_s=0.0):
            assert mode(tenant.root / "lock") == 0o600

    def test_each_tenant_has_its_own(self, tenant: tenants.Tenant) -> None:
        other = tenants.find("eva")
        tenants.secure(other)
        with tenants.locked(tenant, patience_s=0.0), tenants.locked(other, patience_s=0.0):
            pass


class TestByHand:
    def test_a_directory_and_an_env_are_enough(self, home: Path) -> None:
        tenant = tenants.find("by-hand")
        tenant.root.mkdir(parents=True, mode=0o755)
        tenant.env.write_text("PORT=4000\n")
        tenant.env.chmod(0o644)
        tenants.secure(tenant)
        assert mode(tenant.root) == 0o700
        assert mode(tenant.env) == 0o600
        for directory in (tenant.groups, tenant.sockets, tenant.logs):
            assert directory.is_dir()
        assert settings.load(tenant.env).port == 4000
        assert tenants.names() == ["by-hand"]
        tenants.secure(tenant)

    def test_what_stands_in_the_way_is_one_clear_line(self) -> None:
        tenant = tenants.find("by-hand")
        tenant.root.parent.mkdir(parents=True)
        tenant.root.write_text("a file in its place")
        with pytest.raises(UsageError, match="is KLAD_HOME yours and writable"):
            tenants.secure(tenant)


class TestInstall:
    def test_it_is_made_once_and_kept(self, home: Path) -> None:
        first = tenants.install_id()
        assert len(first) == 16
        assert tenants.install_id() == first
        assert mode(home / "install") == 0o600
        assert [path.name for path in home.iterdir()] == ["install"]

    def test_processes_that_start_together_agree_on_it(self) -> None:
        started = [
            subprocess.Popen(
                [sys.executable, "-c", INSTALLER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
            for _ in range(4)
        ]
        for process in started:
            assert process.stdin
            process.stdin.write("x")
            process.stdin.flush()
        found = {process.communicate(timeout=20)[0].strip() for process in started}
        assert found == {tenants.install_id()}
