"""A real Kubernetes cluster on this machine, for the end-to-end tests.

Control plane, kubelets, container runtimes and kube-proxies are the real ones, compiled from their Go modules
(`tools.py`). What a lab plays is only the wire: the networks between the nodes and each node's network namespace are
the lab's (`lab/underlay.py`), and so are the records of processes and the sweep at the end.

    make cluster-up
    build/e2e/kubectl get nodes
    make cluster-down
"""
