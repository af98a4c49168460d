"""Sockets that a process and all that it started listen on, as the kernel knows them."""

import os
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import NamedTuple

LISTENS, UNCONNECTED = "0A", "07"  # states of /proc/net: of TCP, and of UDP
ACCEPTS = 1 << 16  # flag of a Unix socket that listens


class Listener(NamedTuple):
    """Socket that others can reach."""

    program: str  # envoy or python
    kind: str  # tcp, udp or unix
    host: str  # address, or the path of a Unix socket
    port: int = 0


def listeners_of(database_url: str) -> set[Listener]:
    """Listeners of `up` with this database, and of all processes below it."""
    inodes = _inodes()
    return {
        Listener(
            Path(os.readlink(f"/proc/{pid}/exe")).name.partition("3")[0].partition("-")[0], *inodes[inode]
        )
        for pid in _family(_root(database_url))
        for inode in _sockets(pid)
        if inode in inodes
    }


def _root(database_url: str) -> int:
    wanted = f"GENAI_DATABASE_URL={database_url}".encode()
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            if b"up" in words and wanted in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
                return int(pid)
        except OSError:  # it has ended, or is somebody else's
            continue
    raise LookupError(f"no `up` with {database_url}")


def _family(pid: int) -> Iterator[int]:
    yield pid
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            children = (task / "children").read_text().split()
        except OSError:  # the thread has ended
            continue
        for child in children:
            yield from _family(int(child))


def _sockets(pid: int) -> Iterator[int]:
    for name in Path(f"/proc/{pid}/fd").iterdir():
        try:
            target = os.readlink(name)
        except OSError:
            continue
        if target.startswith("socket:["):
            yield int(target[8:-1])


def _inodes() -> dict[int, tuple[str, str, int]]:
    """Kind, host and port of every listening socket of the machine, by its inode."""
    found: dict[int, tuple[str, str, int]] = {}
    for kind, state in (("tcp", LISTENS), ("tcp6", LISTENS), ("udp", UNCONNECTED), ("udp6", UNCONNECTED)):
        for line in Path(f"/proc/net/{kind}").read_text().splitlines()[1:]:
            words = line.split()
            if words[3] == state:
                host, port = words[1].split(":")
                found[int(words[9])] = (kind[:3], _address(host), int(port, 16))
    for line in Path("/proc/net/unix").read_text().splitlines()[1:]:
        words = line.split(maxsplit=7)
        if int(words[3], 16) & ACCEPTS:
            found[int(words[6])] = ("unix", words[7] if len(words) > 7 else "", 0)
    return found


def _address(text: str) -> str:
    """Address of the kernel's hexadecimal words, each of which is little-endian."""
    words = [bytes.fromhex(text[place : place + 8])[::-1] for place in range(0, len(text), 8)]
    found = ip_address(b"".join(words))
    return str(getattr(found, "ipv4_mapped", None) or found)
