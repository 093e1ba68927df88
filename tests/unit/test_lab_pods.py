"""What a container's specification runs in a lab without images."""

from __future__ import annotations

from typing import Any

import pytest

from lab.netexec import Netexec
from lab.pods import Command, ContainerError, Pause, container


def _spec(**fields: Any) -> dict[str, Any]:
    return {"name": "c", "image": "registry.k8s.io/e2e-test-images/agnhost:2.53", **fields}


def test_agnhost_netexec_is_served() -> None:
    assert container(_spec(args=["netexec", "--http-port=8080"])).workload == Netexec(8080, 8081)


def test_a_command_is_run_with_its_arguments_and_environment() -> None:
    spec = _spec(command=["sleep"], args=["1"], env=[{"name": "A", "value": "b"}, {"name": "IP", "valueFrom": {}}])
    assert container(spec).workload == Command(("sleep", "1"), (("A", "b"),))


@pytest.mark.parametrize(
    "fields",
    [
        {"args": ["pause"]},
        {"image": "registry.k8s.io/pause:3.9"},
        {"image": "pause"},
        {"image": "k8s/pause@sha256:0"},
    ],
)
def test_pause_runs_nothing(fields: dict[str, Any]) -> None:
    assert container(_spec(**fields)).workload == Pause()


@pytest.mark.parametrize("image", ["nginx", "pause-not:1", "my/pauser"])
def test_an_image_cannot_be_run_and_the_error_says_what_can(image: str) -> None:
    with pytest.raises(ContainerError) as error:
        container({"name": "web", "image": image})
    assert "web" in str(error.value)
    assert repr(image) in str(error.value)
    assert "netexec" in str(error.value)


def test_a_wrong_netexec_flag_names_the_container() -> None:
    with pytest.raises(ContainerError, match=r"container c: netexec: .*--tls"):
        container(_spec(args=["netexec", "--tls"]))
