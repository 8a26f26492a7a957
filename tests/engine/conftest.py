"""Real containers for tests: programs in a small image of our own, cleaned up by their label."""

from __future__ import annotations

import queue
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import docker
import pytest

from klad.runtime import Launch, Mount, calls, image
from klad.runtime.docker import DockerRuntime
from klad.runtime.recipe import Images
from klad.runtime.specification import MIB
from klad.words import Slot

T = TypeVar("T")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The first of these may have to build the images, which takes minutes."""
    for item in items:
        if "images" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.timeout(900))


@pytest.fixture(scope="session")
def images() -> Images:
    return image.build(print)


@pytest.fixture(scope="session")
def program_image(images: Images, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The lean image with another entry: it runs what stands in $PROGRAM."""
    directory = tmp_path_factory.mktemp("image")
    (directory / "Dockerfile").write_text(
        f"FROM {images.chat}\n"
        'ENTRYPOINT ["/bin/sh", "-c", "eval \\"$PROGRAM\\""]\n'
        "LABEL klad.chat=inherited other=1\n"
    )
    # A tag of our own: other test runs may share the engine.
    tag = f"klad-test:{uuid.uuid4().hex[:8]}"
    client = docker.APIClient()
    for news in client.build(path=str(directory), tag=tag, rm=True, decode=True):
        assert "error" not in news, news
    yield tag
    client.remove_image(tag, force=True)
    client.close()


@pytest.fixture
def client() -> Iterator[docker.APIClient]:
    """A look at the engine past the runtime."""
    with docker.APIClient() as one:
        yield one


@pytest.fixture
def install(client: docker.APIClient) -> Iterator[str]:
    """An installation's id; its containers are removed at the end."""
    name = f"test-{uuid.uuid4().hex[:8]}"
    yield name
    for left in client.containers(all=True, filters={"label": f"klad.install={name}"}):
        # It may be going by itself just now.
        calls.remove(client, left["Id"])


@pytest.fixture
def runtime() -> Iterator[DockerRuntime]:
    one = DockerRuntime()
    yield one
    one.close()


@pytest.fixture
def group(tmp_path: Path) -> Path:
    """A directory that a container's user may write, to be mounted as its group."""
    directory = tmp_path / "group"
    directory.mkdir()
    directory.chmod(0o777)
    return directory


@dataclass(frozen=True)
class Launcher:
    install: str
    image: str

    def __call__(
        self,
        program: str,
        slot: Slot = "worker",
        *,
        mounts: tuple[Mount, ...] = (),
        image: str = "",
        memory_bytes: int = 256 * MIB,
        runtime: str = "",
        tenant: str = "david",
        user: str = "10001:10001",
    ) -> Launch:
        return Launch(
            run=f"klad-{uuid.uuid4().hex[:12]}",
            tenant=tenant,
            install=self.install,
            chat="-100123:7",
            slot=slot,
            image=image or self.image,
            mounts=mounts,
            env=(("PROGRAM", program),),
            user=user,
            memory_bytes=memory_bytes,
            cpus=1,
            pids=128,
            runtime=runtime,
        )


@pytest.fixture
def launch(install: str, program_image: str) -> Launcher:
    return Launcher(install, program_image)


class Heard:
    """A report callback that remembers."""

    def __init__(self) -> None:
        self._queue: queue.Queue[object] = queue.Queue()

    def __call__(self, news: object) -> None:
        self._queue.put(news)

    def next(self, kind: type[T], timeout_s: float = 60) -> T:
        news = self._queue.get(timeout=timeout_s)
        assert isinstance(news, kind), news
        return news

    def nothing(self) -> bool:
        """Nothing has been heard that wasn't asked for."""
        return self._queue.empty()


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def run_to_end(runtime: DockerRuntime, launch: Launcher, group: Path) -> Callable[..., str]:
    """Run a program with its output in the group, and give the output."""
    from klad.runtime import Exited, Started

    def run(program: str, slot: Slot = "worker") -> str:
        heard = Heard()
        mounts = (Mount(str(group), "/workspace/group", read_only=False),)
        runtime.start(launch(f"exec >/workspace/group/out 2>&1\n{program}", slot, mounts=mounts), heard)
        heard.next(Started)
        heard.next(Exited)
        return (group / "out").read_text()

    return run
