"""Addresses that a caller must not make this server talk to: everything that is not the public internet.

Judged is the address of a connection, after the name was resolved, and not the name: names of an attacker
resolve to whatever he likes. Forms that carry an IPv4 address inside of an IPv6 one are judged by both.
"""

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

# Blocks that ipaddress calls global in some version of Python, or that carry what is not.
# https://www.iana.org/assignments/iana-ipv4-special-registry/ and the same for IPv6 (2026-11-29)
REFUSED = [
    ip_network(block)
    for block in (
        *("0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.88.99.0/24", "198.18.0.0/15", "224.0.0.0/3"),
        *("168.63.129.16/32", "64:ff9b:1::/48", "100::/64", "2001::/23", "3fff::/20", "5f00::/16"),
        *("fec0::/10", "ff00::/8", "::ffff:0:0:0/96"),
    )
]
NAT64 = ip_network("64:ff9b::/96")


def is_public(text: str) -> bool:
    """Whether an IP address is one of the public internet. Errors: ValueError where it is none."""
    address = ip_address(text.partition("%")[0])
    if "%" in text:
        return False  # of one network of this machine
    return all(_is_public(one) for one in (address, *_inside(address)))


def _is_public(address: IPv4Address | IPv6Address) -> bool:
    refused = any(address in block for block in REFUSED if block.version == address.version)
    return address.is_global and not address.is_multicast and not refused


def _inside(address: IPv4Address | IPv6Address) -> list[IPv4Address]:
    """IPv4 addresses that an IPv6 address leads to: mapped, 6to4, Teredo, NAT64, compatible."""
    if isinstance(address, IPv4Address):
        return []
    found = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
    if address in NAT64 or int(address) >> 32 == 0:
        found.append(IPv4Address(int(address) & 0xFFFFFFFF))
    return [one for one in found if one is not None]
