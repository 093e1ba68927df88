"""Offload switches of an interface, by the ethtool ioctl (<linux/ethtool.h>, <linux/sockios.h>).

A userspace datapath reads packets as they are in memory: a checksum left for "the hardware" would go out
wrong, and a packet that was merged from several would not fit the tunnel.
"""

from __future__ import annotations

import ctypes
import fcntl
import socket
import struct

_SIOCETHTOOL = 0x8946
_SET_TX_CHECKSUM = 0x17
_GET_GRO, _SET_GRO = 0x2B, 0x2C
_VALUE = struct.Struct("=II")  # ethtool_value: command, data


def set_tx_checksum(ifname: str, *, enabled: bool) -> None:
    """Off: the kernel finishes every checksum (and gives up segmentation offload) before the packet is seen."""
    _ioctl(ifname, _SET_TX_CHECKSUM, int(enabled))


def gro(ifname: str) -> bool:
    """Whether received packets of one stream are merged."""
    return bool(_ioctl(ifname, _GET_GRO, 0))


def set_gro(ifname: str, *, enabled: bool) -> None:
    _ioctl(ifname, _SET_GRO, int(enabled))


def _ioctl(ifname: str, command: int, value: int) -> int:
    """Run one ethtool command with one number. Raises OSError naming the interface."""
    data = ctypes.create_string_buffer(_VALUE.pack(command, value), _VALUE.size)
    request = struct.pack("16sP16x", ifname.encode(), ctypes.addressof(data))  # struct ifreq, 40 bytes
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        try:
            fcntl.ioctl(control, _SIOCETHTOOL, request)
        except OSError as e:
            raise OSError(e.errno, f"cannot set offloads of {ifname}: {e.strerror}") from e
    return int(_VALUE.unpack(data.raw)[1])
