"""How a kubelet reads a CNI result, and how patient it is."""

from __future__ import annotations

import pytest

from lab.kubelet import backoff
from lab.sandbox import SandboxError, addresses


def test_addresses_come_without_prefix_length_ipv4_first() -> None:
    result = {"ips": [{"address": "fd57::2/128"}, {"address": "10.244.1.2/32"}]}
    assert addresses(result) == ("10.244.1.2", "fd57::2")


@pytest.mark.parametrize("result", [{}, {"ips": []}])
def test_a_result_without_addresses_fails_the_pod(result: dict[str, object]) -> None:
    with pytest.raises(SandboxError, match="no addresses"):
        addresses(result)


def test_retries_come_later_and_later_up_to_a_limit() -> None:
    waits = [backoff(failures) for failures in range(1, 8)]
    assert waits == [1.0, 2.0, 4.0, 8.0, 10.0, 10.0, 10.0]
