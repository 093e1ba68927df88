"""What is tested: images, and a cluster for each module of tests that asks for one.

The first use compiles Kubernetes, which takes minutes.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator

import images_fixture
import pytest
import weft_fixture
from cluster import cluster as clusters
from cluster import tools
from cluster.cluster import Cluster
from images_fixture import Built


def pytest_configure() -> None:
    # As for ctrl-C, pytest then ends what it is doing and takes down every fixture. By default it would just be gone.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)


@pytest.fixture(scope="session")
def built() -> Built:
    """Images of this checkout."""
    return images_fixture.built("0.0.1-test")


def pytest_collection_finish(session: pytest.Session) -> None:
    # Before the tests, as compiling takes longer than any of them may.
    if not session.config.option.collectonly and any("programs" in item.fixturenames for item in session.items):
        tools.programs()


@pytest.fixture(scope="session")
def programs() -> None:
    """Those of Kubernetes are there. Tests that reach them through no other fixture use this one."""


@pytest.fixture(scope="module")
def bare(programs: None) -> Iterator[Cluster]:
    """Two nodes without a network."""
    cluster = clusters.up()
    try:
        yield cluster
    finally:
        clusters.keep_logs()
        clusters.down()


@pytest.fixture(scope="module")
def weft(bare: Cluster, built: Built) -> Cluster:
    """Two nodes with Weft, Ready."""
    weft_fixture.load(bare, built)
    weft_fixture.install(bare, built)
    return bare
