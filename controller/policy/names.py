"""Names for what policies put into a switch: owners behind cookies, and identities."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from controller.policy.engine import Engine
from controller.policy.members import ActiveRule, Identity
from controller.policy.verdict import Known
from kube.netpol import NetworkPolicy
from kube.objects import Namespace, Pod
from openflow.features import pod
from openflow.flow import Feature, cookie
from openflow.match import PortMatch
from openflow.net import IPNetwork


def identity_owner(identity: Identity) -> str:
    return f"identity/{identity.traits.namespace}/{identity.id:016x}"


def network_owner(network: IPNetwork) -> str:
    return f"network/{network}"


def ports_owner(match: PortMatch) -> str:
    return f"port/{match}"


def rule_owner(rule: ActiveRule) -> str:
    """Of several policies that say the same, the first by name."""
    return str(min(rule.origins))


def address_owner(of: Pod) -> str:
    return pod.owner(of.meta.namespace, of.meta.name)


@dataclass(frozen=True, slots=True)
class PolicyNames:
    """What to call the owners of flows, by cookie, and identities, by number."""

    owners: Mapping[int, str] = field(default_factory=dict)
    identities: Mapping[int, str] = field(default_factory=dict)


NO_POLICIES = PolicyNames()


@dataclass(frozen=True)
class PolicyObjects:
    """The objects that policies are about, as a cluster has them. Engine and names are made when they are first asked
    for, and then kept: on a large cluster that takes a while."""

    pods: tuple[Pod, ...]
    namespaces: tuple[Namespace, ...]
    policies: tuple[NetworkPolicy, ...]

    @cached_property
    def engine(self) -> Engine:
        """An engine that has heard of everything."""
        engine = Engine()
        for namespace in self.namespaces:
            engine.set_namespace(namespace)
        for each in self.pods:
            engine.set_pod(each)
        engine.set_policies(self.policies)
        return engine

    @cached_property
    def known(self) -> Known:
        """The same, to judge connections by."""
        return Known(self.engine, {each.meta.name: each.meta.labels for each in self.namespaces})

    @cached_property
    def names(self) -> PolicyNames:
        """Names for everything in the switches of a cluster that has these objects."""
        engine = self.engine
        owners = {identity_owner(each): f"identity/{identity_title(each)}" for each in engine.identities.values()}
        plain = [*map(rule_owner, engine.rules.values()), *map(address_owner, self.pods)]
        plain += [network_owner(network) for _, network in engine.networks]
        plain += [ports_owner(match) for _, match in engine.ports]
        owners |= {name: name for name in plain}
        return PolicyNames(
            {cookie(Feature.POLICY, owner): shown for owner, shown in owners.items()},
            {each.id: identity_title(each) for each in engine.identities.values()},
        )


def identity_title(identity: Identity) -> str:
    """As people know it: `shop[app=web]`."""
    words = [f"{key}={value}" for key, value in identity.traits.labels]
    words += (f"{port.name}={number}/{port.protocol}" for port, number in identity.traits.ports)
    return f"{identity.traits.namespace}[{','.join(words)}]"
