"""Public and private network addresses."""

from __future__ import annotations

import ipaddress
from typing import TypeAlias, Union

Address: TypeAlias = Union[ipaddress.IPv4Address, ipaddress.IPv6Address]

_SPECIAL = tuple(
    map(
        ipaddress.ip_network,
        (
            # IANA IPv4 Special-Purpose Address Registry (RFC 6890 and later), and multicast.
            "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16",
            "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24",
            "192.88.99.0/24", "192.168.0.0/16", "192.175.48.0/24", "198.18.0.0/15",
            "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
            # Metadata of Azure, at a public address.
            "168.63.129.16/32",
        ),
    )
)  # fmt: skip
_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
_SPECIAL_WITHIN_IT = tuple(
    map(
        ipaddress.IPv6Network,
        # IANA IPv6 Special-Purpose Address Registry: protocol assignments with Teredo and ORCHID,
        # documentation, 6to4, AS112, segment routing.
        ("2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20"),
    )
)  # fmt: skip
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_ISATAP = (0x00005EFE, 0x02005EFE)


def is_public(address: Address) -> bool:
    """True if an address belongs to the public internet.

    No address in the special-purpose registries does: private, loopback, link-local with the
    metadata services of clouds, carrier-grade NAT, documentation, multicast. Of IPv6 only global
    unicast does, without the forms that carry an IPv4 address (mapped, 6to4, Teredo, ISATAP). An
    address with NAT64's own prefix is judged by its IPv4 address, since networks of IPv6 alone
    reach everything by it.
    """
    if isinstance(address, ipaddress.IPv4Address):
        return not any(address in network for network in _SPECIAL)
    if address in _NAT64:
        return is_public(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    if address not in _GLOBAL_UNICAST or address.scope_id:
        return False
    if (int(address) >> 32) & 0xFFFFFFFF in _ISATAP:
        return False
    return not any(address in network for network in _SPECIAL_WITHIN_IT)
