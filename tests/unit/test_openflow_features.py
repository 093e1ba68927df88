"""What each feature adds, by name: a change of these lines is a change of what the network does."""

from textwrap import dedent

import pytest

from openflow import example
from openflow.features import base, node, pod
from openflow.fields import OfPort
from openflow.render import named
from openflow.tables import Table


def listing(flows, *tables):
    """The flows of these tables (all of them if none is named), a line each, without their owner."""
    chosen = [flow for flow in flows if flow.table in (tables or Table)]
    columns = (named(flow, example.NAMES) for flow in sorted(chosen, key=lambda flow: (flow.table, -flow.priority)))
    return "".join(f"{c.table} {c.priority} [{c.match}] {c.actions}\n" for c in columns)


def lines(text):
    """Dedent; a line that starts deeper belongs to the one before it."""
    return dedent(text).lstrip("\n").replace("\n    ", " ")


BASE = tuple(base.flows(example.PORTS))


def test_base_sorts_packets_by_where_they_come_from():
    assert listing(BASE, Table.CLASSIFY, Table.SPOOF_GUARD) == lines("""
        Classify 40000 [in_port=weft-tun0, tun_id=0x1] Src:=TUNNEL, →SpoofGuard
        Classify 40000 [in_port=weft-gw0] Src:=GATEWAY, →SpoofGuard
        SpoofGuard 30000 [Src=GATEWAY, eth_src=gateway, ip] →Neighbor
        SpoofGuard 30000 [Src=GATEWAY, eth_src=gateway, ipv6] →Neighbor
        SpoofGuard 30000 [Src=GATEWAY, eth_src=gateway, arp] →Neighbor
    """)


def test_base_answers_arp_for_everybody_and_drops_discovery():
    assert listing(BASE, Table.NEIGHBOR) == lines("""
        Neighbor 40000 [arp_op=request] eth_dst:=eth_src, eth_src:=router, arp_op:=reply, arp_tha:=arp_sha,
            arp_sha:=router, scratch:=arp_spa, arp_spa:=arp_tpa, arp_tpa:=scratch, output(IN_PORT)
        Neighbor 40000 [icmp6, icmpv6_type=133] drop
        Neighbor 40000 [icmp6, icmpv6_type=134] drop
        Neighbor 40000 [icmp6, icmpv6_type=135] drop
        Neighbor 40000 [icmp6, icmpv6_type=136] drop
        Neighbor 40000 [icmp6, icmpv6_type=137] drop
        Neighbor 30000 [arp] drop
        Neighbor 0 [any] →Conntrack
    """)


def test_base_tracks_connections_and_lets_replies_skip_what_was_judged():
    tables = (Table.CONNTRACK, Table.CONNTRACK_STATE, Table.INGRESS_IDENTITY, Table.COMMIT)
    assert listing(BASE, *tables) == lines("""
        Conntrack 40000 [ip] ct(zone=IPV4, →ConntrackState, nat)
        Conntrack 40000 [ipv6] ct(zone=IPV6, →ConntrackState, nat)
        ConntrackState 60000 [ct=+inv+trk] drop
        ConntrackState 50000 [Verdict=BLOCKED, ct=+rpl+trk] drop
        ConntrackState 50000 [Verdict=BLOCKED, ct=+rel+trk] drop
        ConntrackState 40000 [ct=+rpl+trk] Direction:=REPLY, →Route
        ConntrackState 40000 [ct=+rel+trk] Direction:=REPLY, →Route
        ConntrackState 0 [any] →Service
        IngressIdentity 50000 [Direction=REPLY] →Commit
        IngressIdentity 50000 [Dst=TUNNEL] →Commit
        IngressIdentity 50000 [Dst=GATEWAY] →Commit
        IngressIdentity 40000 [Src=POD] →IngressAdmin
        IngressIdentity 0 [any] →IngressAdmin
        Commit 60000 [Disposition=EGRESS_DENIED, Verdict=ALLOWED, ct=+est+trk, ip]
            ct(commit, zone=IPV4, Verdict:=BLOCKED)
        Commit 60000 [Disposition=EGRESS_DENIED, Verdict=ALLOWED, ct=+est+trk, ipv6]
            ct(commit, zone=IPV6, Verdict:=BLOCKED)
        Commit 60000 [Disposition=INGRESS_DENIED, Verdict=ALLOWED, ct=+est+trk, ip]
            ct(commit, zone=IPV4, Verdict:=BLOCKED)
        Commit 60000 [Disposition=INGRESS_DENIED, Verdict=ALLOWED, ct=+est+trk, ipv6]
            ct(commit, zone=IPV6, Verdict:=BLOCKED)
        Commit 55000 [Disposition=EGRESS_DENIED] drop
        Commit 55000 [Disposition=INGRESS_DENIED] drop
        Commit 50000 [Src=GATEWAY, ct=+new+trk, ip] ct(commit, zone=IPV4, Origin:=GATEWAY,
            AllowedEgress:=EgressRule, AllowedIngress:=IngressRule), →Output
        Commit 50000 [Src=GATEWAY, ct=+new+trk, ipv6] ct(commit, zone=IPV6, Origin:=GATEWAY,
            AllowedEgress:=EgressRule, AllowedIngress:=IngressRule), →Output
        Commit 40000 [ct=+new+trk, ip] ct(commit, zone=IPV4,
            AllowedEgress:=EgressRule, AllowedIngress:=IngressRule), →Output
        Commit 40000 [Verdict=BLOCKED, ct=+est+trk, ip] ct(commit, zone=IPV4,
            Verdict:=ALLOWED, AllowedEgress:=EgressRule, AllowedIngress:=IngressRule), →Output
        Commit 40000 [ct=+new+trk, ipv6] ct(commit, zone=IPV6,
            AllowedEgress:=EgressRule, AllowedIngress:=IngressRule), →Output
        Commit 40000 [Verdict=BLOCKED, ct=+est+trk, ipv6] ct(commit, zone=IPV6,
            Verdict:=ALLOWED, AllowedEgress:=EgressRule, AllowedIngress:=IngressRule), →Output
        Commit 0 [any] →Output
    """)


def test_base_routes_to_the_gateway_what_is_not_the_clusters():
    assert listing(BASE, Table.ROUTE, Table.OUTPUT) == lines("""
        Route 60000 [Origin=GATEWAY, ct=+rpl+trk] eth_src:=router, eth_dst:=gateway, Dst:=GATEWAY,
            OutPort:=weft-gw0, →SourceNat
        Route 50000 [ip_dst=224.0.0.0/4] drop
        Route 50000 [ip_dst=255.255.255.255] drop
        Route 50000 [ip_dst=169.254.0.0/16] drop
        Route 50000 [ip_dst=ff00::/8] drop
        Route 50000 [ip_dst=fe80::/10] drop
        Route 20000 [Src=TUNNEL] drop
        Route 0 [any] eth_src:=router, eth_dst:=gateway, Dst:=GATEWAY, OutPort:=weft-gw0, →SourceNat
        Output 40000 [Dst=POD] output(OutPort)
        Output 40000 [Dst=TUNNEL] output(OutPort)
        Output 40000 [Dst=GATEWAY] output(OutPort)
    """)


@pytest.mark.parametrize(
    "table",
    [
        Table.SERVICE, Table.SERVICE_ENDPOINT, Table.EGRESS_ADMIN, Table.EGRESS_POLICY,
        Table.EGRESS_BASELINE, Table.SOURCE_NAT, Table.INGRESS_ADMIN, Table.INGRESS_POLICY, Table.INGRESS_BASELINE,
    ],
)  # fmt: skip
def test_tables_of_features_to_come_pass_everything_on(table):
    assert listing(BASE, table) == f"{table.title} 0 [any] →{Table(table + 1).title}\n"


def test_ports_that_do_not_exist_yet_have_no_flows():
    bare = listing(base.flows(base.SystemPorts(gateway=None, tunnel=None)))
    assert "in_port" not in bare
    assert "OutPort:=" not in bare
    assert "Route 20000 [Src=TUNNEL] drop" in bare


def test_a_pod_sends_as_itself_only_and_is_reached_by_its_addresses():
    assert listing(pod.flows(example.WEB)) == lines("""
        Classify 40000 [in_port=web-1a2b3c] Src:=POD, →SpoofGuard
        SpoofGuard 50000 [in_port=web-1a2b3c, eth_src=0e:00:0a:0a:00:05, arp_spa=10.10.0.5, arp_tpa=10.10.0.5,
            arp_sha=0e:00:0a:0a:00:05] drop
        SpoofGuard 40000 [in_port=web-1a2b3c, eth_src=0e:00:0a:0a:00:05, ip_src=10.10.0.5] →Neighbor
        SpoofGuard 40000 [in_port=web-1a2b3c, eth_src=0e:00:0a:0a:00:05, arp_spa=10.10.0.5,
            arp_sha=0e:00:0a:0a:00:05] →Neighbor
        SpoofGuard 40000 [in_port=web-1a2b3c, eth_src=0e:00:0a:0a:00:05, ip_src=fd10::5] →Neighbor
        SourceIdentity 40000 [in_port=web-1a2b3c] SrcIdentity:=0x77eb, →EgressIdentity
        Route 40000 [ip_dst=10.10.0.5] eth_src:=router, eth_dst:=0e:00:0a:0a:00:05, dec_ttl, Dst:=POD,
            DstIdentity:=0x77eb, OutPort:=web-1a2b3c, →SourceNat
        Route 40000 [ip_dst=fd10::5] eth_src:=router, eth_dst:=0e:00:0a:0a:00:05, dec_ttl, Dst:=POD,
            DstIdentity:=0x77eb, OutPort:=web-1a2b3c, →SourceNat
    """)


def test_a_nodes_own_range_is_its_gateway_its_pods_and_nothing_else():
    assert listing(node.gateway_flows(example.ALPHA)) == lines("""
        Route 40000 [ip_dst=10.10.0.1] eth_src:=router, eth_dst:=gateway, Dst:=GATEWAY, OutPort:=weft-gw0, →SourceNat
        Route 40000 [ip_dst=fd10::1] eth_src:=router, eth_dst:=gateway, Dst:=GATEWAY, OutPort:=weft-gw0, →SourceNat
        Route 30000 [ip_dst=10.10.0.0/24] drop
        Route 30000 [ip_dst=fd10::/64] drop
        IngressIdentity 60000 [Src=GATEWAY, ip_src=10.10.0.1] →Commit
        IngressIdentity 60000 [Src=GATEWAY, ip_src=fd10::1] →Commit
    """)


def test_another_node_is_behind_the_tunnel_and_speaks_for_its_own_range_only():
    assert listing(node.remote_flows(example.BETA)) == lines("""
        SpoofGuard 40000 [Src=TUNNEL, ip_src=10.10.1.0/24, tun_src=192.0.2.2] →Neighbor
        SpoofGuard 40000 [Src=GATEWAY, ip_src=10.10.1.0/24] drop
        SpoofGuard 40000 [Src=TUNNEL, ip_src=fd10:0:0:1::/64, tun_src=192.0.2.2] →Neighbor
        SpoofGuard 40000 [Src=GATEWAY, ip_src=fd10:0:0:1::/64] drop
        Route 10000 [ip_dst=10.10.1.0/24] eth_src:=router, eth_dst:=router, dec_ttl, tun_id:=0x1,
            tun_dst:=192.0.2.2, Dst:=TUNNEL, OutPort:=weft-tun0, →SourceNat
        Route 10000 [ip_dst=fd10:0:0:1::/64] eth_src:=router, eth_dst:=router, dec_ttl, tun_id:=0x1,
            tun_dst:=192.0.2.2, Dst:=TUNNEL, OutPort:=weft-tun0, →SourceNat
    """)


def test_no_two_flows_of_a_node_have_the_same_key():
    keys = [(flow.table, flow.priority, flow.match) for flow in example.flows()]
    assert len(set(keys)) == len(keys)


def test_a_pod_is_one_port_of_its_node():
    other = pod.LocalPod("shop", "db", OfPort(9), "0e:00:00:00:00:09", example.WEB.ips, example.WEB.identity)
    assert "in_port=9" in listing(pod.flows(other))
    assert "OutPort:=9" in listing(pod.flows(other))
