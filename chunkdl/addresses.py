"""Which IP addresses a mirror on the public internet may send us to.

Decides from the address alone; names are resolved elsewhere.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network

# mirrors.md §8, measured with ``ipaddress``: Clash and sing-box answer every name with a fake address
# out of the first, carriers' NAT uses the second; neither is a way into somebody's network.
_PUBLIC_AFTER_ALL = (ip_network("198.18.0.0/15"), ip_network("100.64.0.0/10"))

# RFC 6052: behind this well-known prefix stands an IPv4 address, which is_global does not look at.
_NAT64 = IPv6Network("64:ff9b::/96")


def parse_literal(host: str) -> IPv4Address | IPv6Address | None:
    """The address that ``host`` spells (brackets and zone ignored), or None if it is a name."""
    try:
        return ip_address(host.strip("[]").partition("%")[0])
    except ValueError:
        return None


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """True if reaching ``address`` cannot mean reaching into a private network, loopback or metadata service."""
    plain = _unwrapped(address)
    if any(plain in network for network in _PUBLIC_AFTER_ALL if plain.version == network.version):
        return True
    return plain.is_global and not plain.is_multicast


def _unwrapped(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    if isinstance(address, IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.sixtofour or address


def is_loopback_host(host: str) -> bool:
    """True for ``localhost`` (RFC 6761) and for addresses of this machine's loopback: 127.0.0.0/8, ::1."""
    literal = parse_literal(host)
    if literal is None:
        name = host.lower().rstrip(".")
        return name == "localhost" or name.endswith(".localhost")
    return _unwrapped(literal).is_loopback


def is_private_host(host: str) -> bool | None:
    """Whether a URL's host is private by its spelling alone; None for a name that must be resolved."""
    literal = parse_literal(host)
    if literal is not None:
        return not is_public(literal)
    return True if is_loopback_host(host) else None
