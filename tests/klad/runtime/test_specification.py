from __future__ import annotations

import json
from dataclasses import replace

import pytest

from klad.runtime import Launch, Mount
from klad.runtime.specification import GIB, MIB, SECCOMP, specification

WORKER = Launch(
    run="klad-0123456789ab",
    tenant="david",
    install="f00d",
    chat="-100123:7",
    slot="worker",
    image="klad-worker:abc",
    mounts=(
        Mount("/srv/g", "/workspace/group", read_only=False),
        Mount("/srv/h", "/workspace/home", read_only=False),
        Mount("/srv/s", "/run/klad", read_only=True),
    ),
    env=(("KLAD_TOKEN", "t"), ("TZ", "Europe/Stockholm")),
    user="10001:10001",
    memory_bytes=4 * GIB,
    cpus=1.5,
    pids=512,
)
CHAT = replace(
    WORKER,
    slot="chat",
    image="klad-agent:abc",
    mounts=(Mount("/srv/g", "/workspace/group", read_only=True), Mount("/srv/s", "/run/klad", read_only=True)),
    memory_bytes=512 * MIB,
    cpus=1,
    pids=256,
)


def bind(source: str, target: str, read_only: bool) -> dict[str, object]:
    return {
        "Type": "bind",
        "Source": source,
        "Target": target,
        "ReadOnly": read_only,
        "BindOptions": {"Propagation": "rprivate", "NonRecursive": True},
    }


def test_the_whole_of_a_worker() -> None:
    assert specification(WORKER) == {
        "Image": "klad-worker:abc",
        "User": "10001:10001",
        "Hostname": "klad",
        "Env": [
            "KLAD_RUN=klad-0123456789ab",
            "KLAD_SLOT=worker",
            "HOME=/workspace/home",
            "LANG=C.UTF-8",
            "KLAD_TOKEN=t",
            "TZ=Europe/Stockholm",
        ],
        "Labels": {
            "klad.install": "f00d",
            "klad.tenant": "david",
            "klad.chat": "-100123:7",
            "klad.slot": "worker",
            "klad.run": "klad-0123456789ab",
        },
        "Healthcheck": {"Test": ["NONE"]},
        "Tty": False,
        "OpenStdin": False,
        "AttachStdin": False,
        "AttachStdout": False,
        "AttachStderr": False,
        "HostConfig": {
            "AutoRemove": True,
            "Init": True,
            "Runtime": "",
            "Privileged": False,
            "CapDrop": ["ALL"],
            "SecurityOpt": ["no-new-privileges", f"seccomp={SECCOMP}"],
            "ReadonlyRootfs": True,
            "NetworkMode": "none",
            "IpcMode": "private",
            "LogConfig": {"Type": "none", "Config": {}},
            "Memory": 4294967296,
            "MemorySwap": 4294967296,
            "NanoCpus": 1500000000,
            "CpuShares": 256,
            "PidsLimit": 512,
            "Ulimits": [
                {"Name": "nofile", "Soft": 16384, "Hard": 16384},
                {"Name": "core", "Soft": 0, "Hard": 0},
                {"Name": "fsize", "Soft": 8589934592, "Hard": 8589934592},
            ],
            "Mounts": [
                bind("/srv/g", "/workspace/group", False),
                bind("/srv/h", "/workspace/home", False),
                bind("/srv/s", "/run/klad", True),
            ],
            "Tmpfs": {"/tmp": "rw,nosuid,nodev,exec,size=1073741824,mode=1777"},
        },
    }


def test_the_whole_of_what_a_chat_container_has_otherwise() -> None:
    worker, chat = specification(WORKER), specification(CHAT)
    host, worker_host = chat.pop("HostConfig"), worker.pop("HostConfig")

    assert {key: value for key, value in chat.items() if worker[key] != value} == {
        "Image": "klad-agent:abc",
        "Env": [env.replace("SLOT=worker", "SLOT=chat") for env in worker["Env"]],
        "Labels": worker["Labels"] | {"klad.slot": "chat"},
    }
    assert {key: value for key, value in host.items() if worker_host[key] != value} == {
        "Memory": 536870912,
        "MemorySwap": 536870912,
        "NanoCpus": 1000000000,
        "CpuShares": 16384,
        "PidsLimit": 256,
        "Ulimits": [
            {"Name": "nofile", "Soft": 16384, "Hard": 16384},
            {"Name": "core", "Soft": 0, "Hard": 0},
            {"Name": "fsize", "Soft": 67108864, "Hard": 67108864},
        ],
        "Mounts": [bind("/srv/g", "/workspace/group", True), bind("/srv/s", "/run/klad", True)],
        "Tmpfs": {
            "/tmp": "rw,nosuid,nodev,noexec,size=67108864,mode=1777",
            "/workspace/home": "rw,nosuid,nodev,noexec,size=67108864,mode=0700,uid=10001,gid=10001",
        },
    }


def test_the_launch_has_the_last_word_on_the_environment() -> None:
    launch = replace(CHAT, env=(("HOME", "/elsewhere"),))

    assert "HOME=/elsewhere" in specification(launch)["Env"]
    assert "HOME=/workspace/home" not in specification(launch)["Env"]


def test_the_engines_other_runtimes_can_be_asked_for() -> None:
    assert specification(replace(CHAT, runtime="runsc"))["HostConfig"]["Runtime"] == "runsc"


@pytest.mark.parametrize(
    "call", ["io_uring_setup", "io_uring_enter", "io_uring_register", "socketcall", "mount", "bpf"]
)
def test_the_seccomp_profile_allows_no(call: str) -> None:
    rules = json.loads(SECCOMP)["syscalls"]

    assert not [rule for rule in rules if call in rule["names"]]


@pytest.mark.parametrize(
    ("family", "allowed"), [(1, True), (2, True), (10, True), (16, True), (38, False), (40, False)]
)
def test_the_seccomp_profile_filters_socket_by_family(family: int, allowed: bool) -> None:
    tests = {"SCMP_CMP_LT": int.__lt__, "SCMP_CMP_EQ": int.__eq__}
    rules = [rule for rule in json.loads(SECCOMP)["syscalls"] if "socket" in rule["names"]]

    assert all([argument["index"] for argument in rule["args"]] == [0] for rule in rules)
    assert any(tests[rule["args"][0]["op"]](family, rule["args"][0]["value"]) for rule in rules) is allowed
