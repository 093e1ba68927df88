"""The parts of the cases that compute: what a case counts is what it says it counts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench import reference
from bench.cni_add_storm import given_twice
from bench.flows import pod_flows
from bench.iperf import received
from bench.plugin import Called, PluginError, execute
from bench.stage import BenchError, metric_sum, wait_for
from lab.names import Family
from openflow.codec import encode
from openflow.ofctl import ofctl


def _called(*addresses: str) -> Called:
    return Called(1.0, {"ips": [{"address": address} for address in addresses]})


def test_addresses_given_twice_are_counted_over_all_pods() -> None:
    assert given_twice([_called("10.0.0.1/32", "fd00::1/128"), _called("10.0.0.2/32", "fd00::2/128")]) == 0
    assert given_twice([_called("10.0.0.1/32"), _called("10.0.0.1/32"), _called("10.0.0.1/32")]) == 2


def test_as_many_flows_as_asked_for_and_no_two_in_one_place() -> None:
    flows = pod_flows(1000)
    assert len({encode(flow).key for flow in flows}) == len(flows) == 1000


def test_both_sides_of_program_get_the_same_flows() -> None:
    lines = [ofctl(flow) for flow in pod_flows(50)]
    assert len(set(lines)) == 50
    assert all(line.startswith("cookie=0x5f02") for line in lines)


def test_the_goodput_is_what_the_receiver_saw() -> None:
    sums = {"sum_sent": {"bits_per_second": 9e9}, "sum_received": {"bits_per_second": 1.5e9}}
    assert received(json.dumps({"end": sums})) == 1500.0


def test_iperf_that_failed_is_told_in_its_own_words() -> None:
    with pytest.raises(BenchError, match="unable to connect"):
        received('{"error": "unable to connect to server"}')


def test_a_metric_is_summed_over_its_labels_and_not_over_others() -> None:
    text = (
        '# TYPE weft_pods gauge\nweft_pods 3.0\nweft_pods_ready 9.0\nweft_flows{node="a"} 2\nweft_flows{node="b"} 5\n'
    )
    assert metric_sum(text, "weft_pods") == 3
    assert metric_sum(text, "weft_flows") == 7
    assert metric_sum(text, "weft_nothing") == 0


def test_waiting_ends_with_what_was_waited_for() -> None:
    with pytest.raises(BenchError, match=r"no socket after 0 s"):
        wait_for(lambda: False, "no socket", seconds=0)
    wait_for(lambda: True, "never", seconds=0)


@pytest.mark.parametrize(("family", "ranges"), [(Family.DUAL, 2), (Family.IPV4, 1), (Family.IPV6, 1)])
def test_the_reference_plugins_are_set_up_cheaply_for_the_same_families(family: Family, ranges: int) -> None:
    config = reference.config("/tmp/leases", family)
    assert (config["type"], config["ipam"]["type"], config["ipam"]["dataDir"]) == (
        "bridge",
        "host-local",
        "/tmp/leases",
    )
    assert len(config["ipam"]["ranges"]) == len(config["ipam"]["routes"]) == ranges
    assert "ipMasq" not in config


def _plugin(directory: Path, script: str) -> Path:
    path = directory / "plugin"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def test_a_plugin_gets_its_input_and_its_result_is_read(tmp_path: Path) -> None:
    called = execute(_plugin(tmp_path, "cat"), {"CNI_COMMAND": "ADD"}, b'{"cniVersion": "1.1.0"}')
    assert called.result == {"cniVersion": "1.1.0"}
    assert called.ms > 0


def test_a_plugin_may_print_nothing(tmp_path: Path) -> None:
    assert execute(_plugin(tmp_path, "exit 0"), {"CNI_COMMAND": "DEL"}, b"{}").result == {}


def test_a_plugin_that_fails_is_told_in_its_own_words(tmp_path: Path) -> None:
    with pytest.raises(PluginError, match="no addresses left"):
        execute(_plugin(tmp_path, "echo no addresses left; exit 1"), {"CNI_COMMAND": "ADD"}, b"{}")
