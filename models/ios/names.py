"""Interface names in full: ``gi0/0/0`` is GigabitEthernet0/0/0, ``tun 0`` is Tunnel0."""

from __future__ import annotations

import re

#: In the order in which a prefix that fits several is decided (``t`` alone is taken as Tunnel).
_TYPES = (
    "GigabitEthernet",
    "FastEthernet",
    "Ethernet",
    "Serial",
    "Loopback",
    "Tunnel",
    "TenGigabitEthernet",
    "TwoGigabitEthernet",
    "TwentyFiveGigE",
    "FiveGigabitEthernet",
    "FortyGigabitEthernet",
    "HundredGigE",
    "Virtual-Template",
    "Virtual-Access",
    "VirtualPortGroup",
    "Vlan",
    "Port-channel",
    "Cellular",
    "Dialer",
    "Multilink",
    "BVI",
    "BDI",
    "Null",
    "ATM",
    "Async",
)
_NAME = re.compile(r"([A-Za-z][A-Za-z-]*?)(\d[\d/.:]*)")


def interface_name(word: str) -> str:
    """Return the full name; a word that is no interface of IOS comes back unchanged.

    >>> interface_name("g0/0/0"), interface_name("virtual-template1"), interface_name("outside")
    ('GigabitEthernet0/0/0', 'Virtual-Template1', 'outside')
    """
    match = _NAME.fullmatch(word)
    if match is None:
        return word
    letters, number = match.groups()
    for kind in _TYPES:
        if kind.lower().startswith(letters.lower()):
            return kind + number
    return word
