"""What a container is, as the engine says and as a program in it sees."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import docker
import pytest

from klad.runtime import Exited, Mount, Started
from klad.runtime.docker import DockerRuntime
from klad.runtime.specification import specification
from tests.engine.conftest import Heard, Launcher

pytestmark = pytest.mark.engine

Run = Callable[..., str]


@pytest.mark.parametrize("slot", ["chat", "worker"])
def test_inspect_says_what_the_specification_says(
    runtime: DockerRuntime, launch: Launcher, heard: Heard, client: docker.APIClient, group: Path, slot: str
) -> None:
    mounts = (Mount(str(group), "/workspace/group", read_only=slot == "chat"),)
    one = launch("sleep 60", slot, mounts=mounts, runtime="runc")  # type: ignore[arg-type]
    runtime.start(one, heard)
    heard.next(Started)

    said = client.inspect_container(one.run)

    wanted = specification(one)
    host = wanted.pop("HostConfig")
    for mount in host["Mounts"]:
        if not mount["ReadOnly"]:
            del mount["ReadOnly"]  # the engine doesn't say what is the default
    assert {key: said["HostConfig"][key] for key in host} == host
    assert {key: said["Config"][key] for key in wanted if key not in ("Env", "Labels")} == {
        key: value for key, value in wanted.items() if key not in ("Env", "Labels")
    }
    assert set(wanted["Env"]) <= set(said["Config"]["Env"])
    # An image's labels are inherited, but never instead of ours.
    assert said["Config"]["Labels"] == {**wanted["Labels"], "other": "1"}


def test_there_is_no_network_but_loopback(run_to_end: Run) -> None:
    assert run_to_end("ls /sys/class/net; cat /proc/net/route | wc -l").split() == ["lo", "1"]


def test_nothing_can_be_written_but_what_is_meant_to_be(run_to_end: Run) -> None:
    places = "/ /etc /usr /opt/klad/agent /workspace /run /var/tmp /tmp /dev/shm /workspace/home /workspace/group"

    written = run_to_end(f"for p in {places}; do echo x 2>/dev/null >$p/probe && echo $p; done; true")

    assert written.split() == ["/tmp", "/dev/shm", "/workspace/home", "/workspace/group"]


def test_a_chats_group_is_read_only(runtime: DockerRuntime, launch: Launcher, heard: Heard, group: Path) -> None:
    mounts = (Mount(str(group), "/workspace/group", read_only=True),)
    runtime.start(launch("touch /workspace/group/x && exit 1; exit 42", "chat", mounts=mounts), heard)

    heard.next(Started)
    assert heard.next(Exited).code == 42
    assert list(group.iterdir()) == []


@pytest.mark.parametrize(("slot", "code"), [("chat", "126"), ("worker", "0")])
def test_programs_in_tmp_run_in_a_worker_only(run_to_end: Run, slot: str, code: str) -> None:
    out = run_to_end("printf '#!/bin/sh\\nexit 0\\n' >/tmp/p; chmod +x /tmp/p; /tmp/p 2>/dev/null; echo $?", slot)

    assert out.split() == [code]


def test_the_user_has_no_rights_to_gain_any(run_to_end: Run) -> None:
    out = run_to_end("id -u; id -un; echo ~; grep -E '^(CapBnd|NoNewPrivs|Seccomp):' /proc/self/status; hostname")

    assert out.split() == [
        "10001", "klad", "/workspace/home",
        "CapBnd:", "0000000000000000", "NoNewPrivs:", "1", "Seccomp:", "2", "klad",
    ]  # fmt: skip


_REFUSALS = r"""python3 - <<'END'
import ctypes, errno, socket
def attempt(family, kind):
    try:
        socket.socket(family, kind).close()
        return "yes"
    except OSError as error:
        return errno.errorcode[error.errno]
print("vsock", attempt(40, 1))
print("alg", attempt(38, 5))
print("unix", attempt(1, 1), "inet", attempt(2, 1), "netlink", attempt(16, 3))
libc = ctypes.CDLL(None, use_errno=True)
for name, number in {"io_uring_setup": 425, "io_uring_enter": 426, "io_uring_register": 427}.items():
    libc.syscall(number, 0, 0, 0, 0, 0, 0)
    print(name, errno.errorcode[ctypes.get_errno()])
for name, number in {"unshare": 272, "clone3": 435, "mount": 165, "bpf": 321, "keyctl": 250}.items():
    libc.syscall(number, 0x10000000, 0, 0, 0, 0, 0)
    print(name, errno.errorcode[ctypes.get_errno()])
END"""


@pytest.mark.skipif(__import__("platform").machine() != "x86_64", reason="the numbers are amd64's")
def test_seccomp_refuses_what_reaches_past_the_container(run_to_end: Run) -> None:
    assert run_to_end(_REFUSALS).splitlines() == [
        "vsock EPERM",
        "alg EPERM",
        "unix yes inet yes netlink yes",
        "io_uring_setup EPERM",
        "io_uring_enter EPERM",
        "io_uring_register EPERM",
        "unshare EPERM",
        "clone3 ENOSYS",
        "mount EPERM",
        "bpf EPERM",
        "keyctl EPERM",
    ]


_INT_80 = r"""python3 - <<'END'
import ctypes, os, struct
libc = ctypes.CDLL(None)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t] + [ctypes.c_int] * 3 + [ctypes.c_long]
page = libc.mmap(None, 4096, 7, 0x22 | 0x40, -1, 0)  # MAP_32BIT
ctypes.memmove(page + 2048, struct.pack("<III", 40, 1, 0), 12)
# push rbx; eax = socketcall; ebx = SYS_SOCKET; ecx = &{AF_VSOCK, SOCK_STREAM, 0}; int 0x80; pop rbx; ret
code = b"\x53\xb8\x66\0\0\0\xbb\x01\0\0\0\xb9" + struct.pack("<I", page + 2048) + b"\xcd\x80\x5b\xc3"
ctypes.memmove(page, code, len(code))
child = os.fork()
if child == 0:
    os._exit(ctypes.CFUNCTYPE(ctypes.c_int)(page)() >= 0)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
END"""


@pytest.mark.skipif(__import__("platform").machine() != "x86_64", reason="an amd64 way in")
def test_the_32_bit_way_to_a_socket_is_closed(run_to_end: Run) -> None:
    # -31: SIGSYS; -11: a kernel without 32-bit calls. 1 would be a socket past every namespace.
    assert run_to_end(_INT_80).split() in (["-31"], ["-11"])


def test_ordinary_programs_work_under_the_filter(run_to_end: Run) -> None:
    out = run_to_end(
        """python3 - <<'END'
import asyncio, multiprocessing, socket, sqlite3, subprocess, threading
t = threading.Thread(target=lambda: print("thread", flush=True)); t.start(); t.join()
print(subprocess.run(["uname", "-s"], capture_output=True, text=True).stdout.strip())
print(asyncio.run(asyncio.sleep(0, "asyncio")))
with multiprocessing.get_context("fork").Pool(2) as pool:
    print(pool.map(abs, [-1, -2]))
server = socket.create_server(("127.0.0.1", 0))
socket.create_connection(server.getsockname()).close()
db = sqlite3.connect("/tmp/x.db"); db.execute("create table t (x)"); print("sqlite")
END"""
    )

    assert out.split("\n") == ["thread", "Linux", "asyncio", "[1, 2]", "sqlite", ""]
