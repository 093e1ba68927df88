"""Values that cannot be meant: helm says which key is wrong and what it may be, and renders nothing."""

from __future__ import annotations

import pytest
from chart_fixture import CASES, CHART, helm

PEM = f"--values={CASES}/pem.yaml"

SCHEMA = [
    (["--set=tunelType=vxlan"], "at '': additional properties 'tunelType' not allowed"),
    (["--set=image.controller.name=x"], "at '/image/controller': additional properties 'name' not allowed"),
    (["--set=controller.resources.request.cpu=1"], "at '/controller/resources': additional properties 'request'"),
    (["--set=agent.tolerations[0].kee=x"], "at '/agent/tolerations/0': additional properties 'kee' not allowed"),
    (["--set=tunnelPort=geneve"], "at '/tunnelPort': got string, want integer"),
    (["--set=tunnelPort=70000"], "at '/tunnelPort': maximum: got 70,000, want 65,535"),
    (["--set=controller.replicas=0"], "at '/controller/replicas': minimum: got 0, want 1"),
    (["--set=metrics.enabled=yes"], "at '/metrics/enabled': got string, want boolean"),
    (["--set=image.agent=weft/agent:1"], "at '/image/agent': got string, want object"),
    (["--set=image.agent.tag=1"], "at '/image/agent/tag': got number, want string"),
    (["--set=tunnelType=gre"], "at '/tunnelType': value must be one of 'geneve', 'vxlan'"),
    (["--set=trafficEncapMode=noEncap"], "at '/trafficEncapMode': value must be 'encap'"),
    (["--set=placement=beside"], "at '/placement': value must be one of 'central', 'node'"),
    (["--set=logLevel=trace"], "at '/logLevel': value must be one of 'debug', 'info', 'warning', 'error'"),
    (["--set=metrics.bindAddress=localhost"], "at '/metrics/bindAddress': value must be one of '0.0.0.0', '::'"),
    (["--set=ovs.updateStrategy=Recreate"], "must be one of 'OnDelete', 'RollingUpdate'"),
    (["--set=transportInterface=an-interface-too-long"], "at '/transportInterface': maxLength: got 21, want 15"),
    (["--set=cni.binDir=opt/cni/bin"], "at '/cni/binDir': 'opt/cni/bin' does not match pattern '^/.'"),
    (["--set=image.agent.digest=1234"], "at '/image/agent/digest': "),
    (["--set=defaultMTU=100"], "at '/defaultMTU': minimum: got 100, want 576"),
    (["--set=tls.pem.ca=x"], "at '/tls/pem': additional properties 'ca' not allowed"),
    (["--set=agent.maxUnavailable=0%"], "at '/agent/maxUnavailable': '0%' does not match pattern"),
]

TOGETHER = [
    (["--set=datapathType=netdev"], "datapathType=netdev needs transportInterface: "),
    (["--set=kubeAPIServer.host=[fd00::1]"], "kubeAPIServer.host=[fd00::1]: give an address or a name alone"),
    (["--set=kubeAPIServer.host=https://192.0.2.1"], "kubeAPIServer.host=https://192.0.2.1: give an address"),
    (["--set=kubeAPIServer.host=192.0.2.1:6443"], "kubeAPIServer.host=192.0.2.1:6443: give an address"),
    (["--set=metrics.serviceMonitor.enabled=true"], "serviceMonitor.enabled=true needs metrics.enabled=true"),
    (["--set=cni.conflist=weft.json"], "cni.conflist is not a JSON object: "),
    (['--set-literal=cni.conflist={"plugins":[{"type":"bridge"}]}'], "cni.conflist has no plugin of type weft"),
    (["--set=agent.healthPort=9440"], "agent.healthPort and controller.healthPort are both 9440"),
    ([PEM, "--set=placement=node"], "tls.source=values is given, and placement=node uses no certificates"),
    (["--set=tls.source=secrets,tls.secrets.agent=a"], "tls.source=secrets needs tls.secrets.controller"),
    (["--set=tls.pem.controller.ca=x"], "tls.pem.controller.ca is given, and tls.source=generated would ignore it"),
    (["--set=tls.secrets.agent=a"], "tls.secrets.agent is given, and tls.source=generated would ignore it"),
    ([PEM, "--set=tls.pem.agent.key="], "tls.source=values needs tls.pem.agent.key"),
    ([PEM, "--set=tls.pem.agent.ca="], "tls.source=values needs tls.pem.agent.ca"),
    (
        [PEM, "--set=tls.pem.controller.ca=ca.crt"],
        "tls.pem.controller.ca is not PEM text, which has a line -----BEGIN",
    ),
    ([PEM, "--set=tls.source=generated"], "tls.pem.agent.ca is given, and tls.source=generated"),
]


@pytest.mark.parametrize(("arguments", "told"), SCHEMA + TOGETHER, ids=lambda each: str(each)[-40:])
def test_a_value_that_cannot_be_is_refused_by_its_key(arguments: list[str], told: str) -> None:
    done = helm("template", "weft", str(CHART), *arguments)
    assert done.returncode != 0
    assert told in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize("host", ["192.0.2.1", "fd00::1", "api.example.org"])
def test_an_api_server_may_be_a_name_or_an_address(host: str) -> None:
    done = helm("template", "weft", str(CHART), f"--set=kubeAPIServer.host={host}")
    assert done.returncode == 0, done.stderr
    assert f'value: "{host}"' in done.stdout
