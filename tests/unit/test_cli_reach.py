"""The matrix of `weftctl reach`, for people and for programs."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_network

import pytest
from policy_objects_fixture import WORLD, Obj, apps, block, objects, pod, policy

from cli.directory import Directory, NodeInfo
from cli.errors import CliError
from cli.layout import plain
from cli.main import run
from cli.reach import Question, as_json, ask, lines
from controller.policy.verdict import Traffic

NODES = {"alpha": NodeInfo("alpha", True, (ip_network("10.1.0.0/16"), ip_network("fd00::/64")), None)}
WEB = policy(
    "shop/web",
    "web",
    ingress=[{"from": [apps("cart")], "ports": [{"port": "http"}, {"port": 53, "protocol": "UDP"}]}],
)
LEGEND = (
    "* everything, - nothing; pods that no rule tells apart are one row and one column; "
    "a node always reaches its own pods"
)


def _told(question: Question, *policies: Obj, width: int | None = None, **world: tuple[Obj, ...]) -> list[str]:
    directory = Directory(nodes=NODES, objects=objects(*policies, **world))
    return [plain(line) for line in lines(ask(directory, question), width)]


def test_a_cell_says_everything_nothing_or_which_ports() -> None:
    assert _told(Question(), WEB) == [
        "whom policies let whom reach over IPv4",
        "",
        "   FROM \\ TO                             1  2  3                 4",
        "1  bank[http=8080/TCP] (1 pod)              *  -                 *",
        "2  shop[app=cart,http=8080/TCP] (1 pod)  *     TCP 8080, UDP 53  *",
        "3  shop[app=web,http=8080/TCP] (2 pods)  *  *  -                 *",
        "4  outside                               *  *  -",
        "",
        LEGEND,
    ]


def test_for_a_port_it_says_yes_or_no() -> None:
    told = _told(Question(traffic=Traffic("UDP", 53)), WEB)
    assert told[0] == "whom policies let whom reach over IPv4, UDP port 53"
    assert told[4].split()[-3:] == ["yes", "yes", "yes"]
    assert _told(Question(traffic=Traffic("UDP", 54)), WEB)[4].split()[-3:] == ["yes", "no", "yes"]


def test_around_a_namespace_there_are_both_directions() -> None:
    told = _told(Question(namespace="bank"), WEB)
    assert told[2:13] == [
        "who reaches bank",
        "   FROM \\ TO                             1",
        "1  bank[http=8080/TCP] (1 pod)",
        "2  shop[app=cart,http=8080/TCP] (1 pod)  *",
        "3  shop[app=web,http=8080/TCP] (2 pods)  *",
        "4  outside                               *",
        "",
        "whom bank reaches",
        "   TO \\ FROM                             1",
        "1  bank[http=8080/TCP] (1 pod)",
        "2  shop[app=cart,http=8080/TCP] (1 pod)  *",
    ]
    assert told[13] == "3  shop[app=web,http=8080/TCP] (2 pods)  -"


def test_where_it_is_too_wide_letters_stand_for_ports_and_are_explained() -> None:
    told = _told(Question(), WEB, width=60)
    assert told[4].split()[-3:] == ["*", "a", "*"]
    assert "a: TCP 8080, UDP 53" in told
    assert max(map(len, told[1:8])) <= 60
    assert "a: TCP 8080, UDP 53" not in _told(Question(), WEB, width=118)


def test_the_other_family_is_mentioned_where_networks_are_named() -> None:
    named = policy("shop/web", "web", ingress=[{"from": [block("203.0.113.0/24")]}])
    assert _told(Question(), named)[-1] == "rules name networks, so IPv6 may differ: --family ipv6"
    assert _told(Question(family=4), named)[-1] == LEGEND
    assert _told(Question(), WEB)[-1] == LEGEND


def test_the_family_is_the_one_that_pods_have() -> None:
    only = (pod("shop/web-1", "alpha", "fd00::2"),)
    assert _told(Question(), pods=only)[0].endswith("over IPv6")
    with pytest.raises(CliError, match="no pod has an IPv4 address: leave --family out"):
        _told(Question(family=4), pods=only)


def test_what_cannot_be_told_is_an_error() -> None:
    with pytest.raises(CliError, match="give --kubeconfig"):
        ask(Directory(), Question())
    with pytest.raises(CliError, match="no pods in namespace 'nope'; there are in bank, shop"):
        _told(Question(namespace="nope"))


def test_for_programs() -> None:
    block_of = policy(
        "shop/cart", "cart", policyTypes=["Egress"], egress=[{"to": [block("203.0.113.0/24", "203.0.113.8/29")]}]
    )
    directory = Directory(nodes=NODES, objects=objects(WEB, block_of))
    made = as_json(ask(directory, Question()))
    assert (made["family"], made["namespace"], made["traffic"]) == ("ipv4", None, None)
    assert made["identities"][-1] == {
        "name": "shop[app=web,http=8080/TCP]",
        "namespace": "shop",
        "labels": {"app": "web"},
        "ports": [{"protocol": "TCP", "name": "http", "port": 8080}],
        "pods": ["shop/web-1", "shop/web-2"],
        "networks": [],
    }
    outside = "outside 203.0.113.0/24 except 203.0.113.8/29"
    assert made["outside"][1] == {
        "name": outside, "networks": [{"cidr": "203.0.113.0/24", "except": ["203.0.113.8/29"]}],
    }  # fmt: skip
    cells = {(each["from"], each["to"]): (each["allowed"], each["ports"]) for each in made["reach"]}
    web, cart, bank = (each["name"] for each in made["identities"][::-1])
    assert cells[web, cart] == ("everything", [])
    assert cells[bank, web] == ("nothing", [])
    assert cells[cart, web] == ("nothing", [])
    assert cells[cart, outside] == ("everything", [])
    assert (cart, cart) not in cells
    assert (outside, outside) not in cells


def test_for_programs_with_ports_and_a_question() -> None:
    directory = Directory(nodes=NODES, objects=objects(WEB))
    made = as_json(ask(directory, Question("bank", Traffic("TCP", 8080))))
    assert made["traffic"] == {"protocol": "TCP", "port": 8080}
    assert {each["from"].partition("[")[0] for each in made["reach"] if each["to"].startswith("shop")} == {"bank"}
    whole = as_json(ask(directory, replace(Question(), traffic=Traffic("TCP", 8080))))
    (cell,) = [each for each in whole["reach"] if "cart" in each["from"] and "web" in each["to"]]
    assert cell["ports"] == [
        {"protocol": "TCP", "first": 8080, "last": 8080}, {"protocol": "UDP", "first": 53, "last": 53},
    ]  # fmt: skip
    assert (cell["allowed"], cell["reaches"]) == ("ports", True)


def test_every_row_is_a_kind_and_all_pods_are_in_one() -> None:
    directory = Directory(nodes=NODES, objects=objects(WEB))
    made = as_json(ask(directory, Question()))
    assert sorted(pod for each in made["identities"] for pod in each["pods"]) == sorted(
        f"{each['metadata']['namespace']}/{each['metadata']['name']}" for each in WORLD
    )


def test_two_protocols_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["reach", "--tcp", "1", "--udp", "2"]) == 2
    assert "--tcp and --udp exclude each other" in capsys.readouterr().err
