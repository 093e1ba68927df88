"""Benchmarks: what Weft promises about speed and size, measured beside the peers it is compared with.

    python -m bench CASE [--json]     one case
    python -m bench all               every case, and bench/results.md

A ratio is always cost of ours over cost of the peer, from one run in which both took turns: machines differ and
are never idle, so a figure without its neighbour says little.
"""
