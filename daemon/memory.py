"""Memory of long-running processes: the cyclic garbage collector, set for those that keep much and make few cycles,
and the heap, for those with many short-lived threads."""

import ctypes
import gc

THRESHOLDS = (250_000, 50, 50)
_M_ARENA_MAX = -8  # <malloc.h>


def calm_collector() -> None:
    """To be called once, when a daemon has imported everything.

    By default Python looks for cycles every 700 new objects and, from time to time, through all there are. A
    controller holds a million objects that stay: working 100,000 flows out took 4.0 s, of which 1.8 s was this
    search, and a pod that came at the wrong moment waited for it. Reference counting frees what we drop; cycles come
    from exceptions and os-ken's sessions only, and may wait.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)


def share_heap() -> None:
    """To be called before there are threads, by a daemon that starts one for every request.

    glibc gives threads up to eight heaps a core, so that they need not wait for each other; Python's wait anyway.
    What is left free in one heap is of no use in another: an agent grew from 50 to 60 MiB within 8,000 pods that came
    and went fifty at a time, with not one object more, and stays at 48 with one heap. Other C libraries have one.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, 1)
