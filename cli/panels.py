"""The panels of Weft's dashboard, as data: what is asked of Prometheus, and what it means. Pure."""

from __future__ import annotations

from dataclasses import dataclass

_RANGE = "$__rate_interval"


@dataclass(frozen=True, slots=True)
class Query:
    """A PromQL expression, and how its lines are called: labels in {{ }}."""

    expr: str
    legend: str = ""


@dataclass(frozen=True, slots=True)
class Panel:
    """What is shown, in which unit of Grafana's, and what it means to somebody who does not know Weft: what is
    normal, and where to look if it is not. `kind` is Grafana's; `width` of 24. Line breaks of a description do not
    count."""

    title: str
    unit: str
    description: str
    queries: tuple[Query, ...]
    kind: str = "timeseries"
    width: int = 8


@dataclass(frozen=True, slots=True)
class Section:
    """Panels under a heading."""

    title: str
    panels: tuple[Panel, ...]


def _number(title: str, expr: str, description: str) -> Panel:
    """A number as it is now."""
    return Panel(title, "short", description, (Query(expr),), "stat", 4)


def _rate(metric: str, *by: str) -> tuple[Query, ...]:
    """Of a counter, per second."""
    return (Query(f"sum by ({', '.join(by)}) (rate({metric}[{_RANGE}]))", _legend(*by)),)


def _hourly(metric: str, *by: str) -> tuple[Query, ...]:
    """Of a counter that seldom moves, how often in the last hour."""
    return (Query(f"sum by ({', '.join(by)}) (increase({metric}[1h]))", _legend(*by)),)


def _legend(*by: str) -> str:
    return " ".join(f"{{{{{each}}}}}" for each in by)


def _quantile(q: float, name: str, metric: str, *by: str, where: str = "") -> Query:
    """Of a histogram."""
    labels = ", ".join(("le", *by))
    buckets = f"sum by ({labels}) (rate({metric}_bucket{where}[{_RANGE}]))"
    return Query(f"histogram_quantile({q}, {buckets})", name or _legend(*by))


def _quantiles(metric: str, where: str = "") -> tuple[Query, ...]:
    """The median and the slowest of a hundred."""
    return _quantile(0.5, "p50", metric, where=where), _quantile(0.99, "p99", metric, where=where)


_OVERVIEW = (
    _number("Nodes", "max(weft_nodes)", "Nodes that the controller knows."),
    _number(
        "Switches without a controller",
        "max(weft_nodes) - sum(weft_switches_connected)",
        """Nodes whose switch has no session with a controller. They go on forwarding as they did, and changes wait.
        If it stays so for more than a minute, `weftctl check` says why.""",
    ),
    _number("Pods", "max(weft_pods)", "Pods that the controller knows, also those on their nodes' own network."),
    _number("Pod ports", "sum(weft_pod_ports)", "Ports of pods on all nodes' bridges, as the agents count them."),
    _number("Policies", "max(weft_policies)", "NetworkPolicies that the controller knows."),
    _number(
        "Problems in the last hour",
        "sum(increase(weft_problems_total[1h]))",
        """Objects and nodes that the controller could not use as they are. Its log, and Events on the objects, say
        which and why.""",
    ),
)
_TRUST = (
    Panel(
        "Active controllers",
        "short",
        "Controllers that program switches: one. None for longer than some seconds: changes wait.",
        (Query("sum(weft_controller_active)", "active"),),
    ),
    Panel(
        "Until certificates expire",
        "s",
        "Of each daemon. New connections fail afterwards; docs/tls.md says how to renew them.",
        (Query("weft_tls_certificate_expires_seconds - time()", "{{instance}}"),),
    ),
    Panel(
        "TLS connections refused",
        "short",
        """TLS connections with the controller that came to nothing, in an hour, by channel and reason (docs/tls.md).
        Normal is none.""",
        _hourly("weft_tls_refused_total", "channel", "reason"),
    ),
)
_ATTACHING = (
    Panel(
        "CNI requests",
        "reqps",
        "What runtimes ask of the agents, by verb. STATUS is asked all the time.",
        _rate("weft_cni_request_seconds_count", "verb"),
    ),
    Panel(
        "Time of an ADD",
        "s",
        """How long a pod waits for its network: half of them no longer than p50, 99 of 100 no longer than p99. Tens
        of milliseconds are normal.""",
        _quantiles("weft_cni_request_seconds", '{verb="ADD"}'),
    ),
    Panel(
        "Failed CNI requests",
        "short",
        """Requests that agents refused, in an hour, by verb and code. `weftctl cni` has the last of them with their
        reasons.""",
        _hourly("weft_cni_failures_total", "verb", "code"),
    ),
    Panel(
        "Steps of an ADD",
        "s",
        "p99 of each step. `program` is the wait for the controller; the others are the agent's own work.",
        (_quantile(0.99, "", "weft_cni_step_seconds", "step", where='{verb="ADD"}'),),
        width=12,
    ),
    Panel(
        "Pod ports by node",
        "short",
        "Pods on each node's bridge.",
        (Query("weft_pod_ports", "{{instance}}"),),
        width=12,
    ),
)
_SWITCHES = (
    Panel(
        "Flows by node",
        "short",
        """Flows that each node's switch should hold. They grow with the node's own pods and the policies that select
        them.""",
        (Query("weft_flows", "{{node}}"),),
    ),
    Panel(
        "Flows by table",
        "short",
        "Flows that all switches should hold, by table of the pipeline (docs/pipeline.md).",
        (Query("weft_table_flows", "{{table}}"),),
    ),
    Panel(
        "Flow changes",
        "ops",
        """Flows that the controller adds and deletes. A switch that is as it should be gets none, also when a
        controller starts anew.""",
        _rate("weft_flow_mods_total", "kind"),
    ),
    Panel(
        "Flows repaired",
        "short",
        """Flows that somebody else had changed on a switch and the controller put back, in an hour. Normal is none:
        find out what writes to the bridge.""",
        _hourly("weft_flow_repairs_total", "node"),
    ),
    Panel(
        "Flows refused",
        "short",
        """Flows that a switch did not take, in an hour. What they are for is not in force there; the controller's log
        names them.""",
        _hourly("weft_flow_failures_total", "node"),
    ),
    Panel(
        "OpenFlow peers turned away",
        "short",
        """Who came to the controller's OpenFlow port and was sent away, in an hour. The controller's log says who it
        was and why.""",
        (Query("sum(increase(weft_switches_refused_total[1h]))", "turned away"),),
    ),
    Panel(
        "Time until a change is in a switch",
        "s",
        """From sending a change until the switch has confirmed it. A few milliseconds are normal; more means that
        nodes are busy.""",
        _quantiles("weft_program_seconds"),
    ),
    Panel(
        "Time to read a switch",
        "s",
        "How long reading all flows of a switch takes, which happens when it connects and every minute.",
        _quantiles("weft_read_flows_seconds"),
    ),
    Panel(
        "Changes by agents",
        "short",
        """What agents put right in their node's own network, and purges of what its datapath remembers, in an hour.
        Many of the first: somebody changes it back. Purges follow changes of policies where Open vSwitch needs
        them.""",
        (
            Query("sum by (instance) (increase(weft_host_changes_total[1h]))", "{{instance}} host"),
            Query("sum by (instance) (increase(weft_datapath_purges_total[1h]))", "{{instance}} purges"),
        ),
    ),
)
_POLICIES = (
    Panel(
        "Packets that policies deny",
        "pps",
        "Dropped because no rule allows them, by node and direction. `weftctl explain SRC DST` says why.",
        _rate("weft_policy_denied_packets_total", "node", "direction"),
    ),
    Panel(
        "Identities and rules",
        "short",
        """Kinds of pods that no policy can tell apart, and different rules in force. Flow tables grow with these, not
        with pods.""",
        (Query("max(weft_policy_identities)", "identities"), Query("max(weft_policy_rules)", "rules")),
    ),
    Panel(
        "Problems",
        "short",
        "What the controller reported in an hour, by reason. Its log and Events say more.",
        _hourly("weft_problems_total", "reason"),
    ),
    Panel(
        "Events",
        "ops",
        "What the controller hears of, by kind.",
        _rate("weft_event_seconds_count", "event"),
        width=12,
    ),
    Panel(
        "Time to work out an event",
        "s",
        "p99 of how long working out takes what an event changes, by kind. A few milliseconds are normal.",
        (_quantile(0.99, "", "weft_event_seconds", "event"),),
        width=12,
    ),
)
SECTIONS = (
    Section("Overview", _OVERVIEW),
    Section("Controllers and certificates", _TRUST),
    Section("Pods that come and go", _ATTACHING),
    Section("Switches and flows", _SWITCHES),
    Section("Policies and the controller", _POLICIES),
)
