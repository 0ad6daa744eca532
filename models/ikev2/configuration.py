"""Configuration payloads: an initiator asks for an address inside the responder's network (RFC 7296 2.19, 3.15).

What this leaves out: netmasks, subnets and other attributes of a reply, IPv6, CFG_SET, addresses from RADIUS.
"""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import TYPE_CHECKING

from .message import Message
from .payloads import ConfigurationPayload
from .policy import AddressPool, IkeProfile

if TYPE_CHECKING:
    from .endpoint import Endpoint

#: Attribute types (RFC 7296 3.15.1).
_ADDRESS, _DNS = ("INTERNAL_IP4_ADDRESS", 1), ("INTERNAL_IP4_DNS", 3)
_IPV4_BYTES = 4


class Addresses:
    """Addresses of pools that are in use at one endpoint."""

    def __init__(self) -> None:
        self._taken: set[IPv4Address] = set()

    def take(self, pool: AddressPool) -> IPv4Address | None:
        """Return the lowest free address of a pool, or None when it is exhausted."""
        for number in range(pool.size):
            address = pool.first + number
            if address not in self._taken:
                self._taken.add(address)
                return address
        return None

    def release(self, address: IPv4Address) -> None:
        """Give an address back."""
        self._taken.discard(address)


def request(ep: Endpoint, profile: IkeProfile) -> ConfigurationPayload | None:
    """Return what an initiator asks for; None when it asks for nothing."""
    attributes = [(*_ADDRESS, 0)] if profile.virtual_address else []
    if profile.config_request:
        attributes += ep.implementation.config_attributes()
    return ConfigurationPayload("REQUEST", tuple(attributes)) if attributes else None


def asks_for_address(message: Message) -> bool:
    """Return whether a request of IKE_AUTH asks for an address."""
    asked = message.find(ConfigurationPayload)
    return asked is not None and any(name == _ADDRESS[0] for name, _, _ in asked.attributes)


def reply(pool: AddressPool, address: IPv4Address) -> ConfigurationPayload:
    """Return the responder's answer: the address and the name servers of its pool."""
    attributes = ((*_ADDRESS, _IPV4_BYTES), *((*_DNS, _IPV4_BYTES) for _ in pool.name_servers))
    return ConfigurationPayload("REPLY", attributes, address)
