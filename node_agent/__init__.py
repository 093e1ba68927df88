"""The node agent: serves the CNI, wires pods, owns the node's Open vSwitch configuration and host networking."""
