"""One API server for all tests of the chart."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from apiserver_fixture import ApiServer, running


@pytest.fixture(scope="session", autouse=True)
def _compiled(programs: None) -> None:
    """Every test of the chart runs programs of Kubernetes."""


@pytest.fixture(scope="session")
def api(_compiled: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    with running(tmp_path_factory.mktemp("api")) as server:
        yield server
