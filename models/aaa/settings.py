"""What a router is told about its AAA servers: servers, groups and method lists, with the defaults of IOS.

What this leaves out: TACACS+, LDAP, per-VRF servers, load balancing between the servers of a group.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from typing import Literal

from ..ikev2.policy import AddressPool, AuthorizationPolicy
from ..secret import Secret
from ..values import RECOLLECTION, Ledger, Value

#: Time after which an unanswered request is repeated or given up. [s]
TIMEOUT = Value(value=5, unit="s", kind="assumed", source=RECOLLECTION, range=(2, 10), note="radius-server timeout")
#: How often a request is repeated before the next server is asked.
RETRANSMIT = Value(value=3, kind="assumed", source=RECOLLECTION, range=(2, 5), note="radius-server retransmit")
#: How long a dead server is passed over; 0 is what the YANG model of IOS XE 26.1 states. [s]
DEADTIME = Value(value=0, unit="s", kind="published", source="yang", note="radius-server deadtime")
#: Timeouts in a row, and silence, after which a server is dead: the command reference gives 10 to 100 and 10 to 60 s,
#: by the rate of transactions and the number of retransmissions.
DEAD_TRIES = Value(value=10, kind="assumed", source="radius-commands", range=(10, 100), note="dead-criteria tries")
DEAD_TIME = Value(
    value=10, unit="s", kind="assumed", source="radius-commands", range=(10, 60), note="dead-criteria time"
)
#: Ports (RFC 2865 3, RFC 2866 3); IOS takes 1645 and 1646 where ``address`` names none (fact sheet E.2).
AUTH_PORT, ACCT_PORT = 1645, 1646

#: Asks one of the router's own lists, or a group of servers.
Method = tuple[Literal["local", "group", "none"], str]
#: What a method list is for.
Purpose = Literal["login", "network", "accounting"]


@dataclass(frozen=True, slots=True)
class RadiusServer:
    """``radius server NAME``. ``timeout_s`` and ``retransmit``: how long and how often it is asked. [s]"""

    name: str
    address: IPv4Address
    key: Secret | None = None
    auth_port: int = AUTH_PORT
    acct_port: int = ACCT_PORT
    timeout_s: float = TIMEOUT.value
    retransmit: int = int(RETRANSMIT.value)


@dataclass(frozen=True, slots=True)
class ServerGroup:
    """``aaa group server radius NAME``: servers in the order in which they are asked.

    A server that is dead is passed over for ``deadtime_s``; 0: never. [s]
    """

    name: str
    servers: tuple[RadiusServer, ...]
    deadtime_s: float = DEADTIME.value


@dataclass(frozen=True, slots=True)
class MethodList:
    """``aaa authentication|authorization|accounting ... LIST METHOD...``: the next one is for when nobody answers."""

    purpose: Purpose
    name: str
    methods: tuple[Method, ...]
    #: An accounting list that tells the end of a session only.
    stop_only: bool = False


@dataclass(frozen=True, slots=True)
class AaaSettings:
    """Everything that a router's AAA is told.

    ``dead_tries`` timeouts in a row and ``dead_time_s`` without a valid answer make a server dead. ``interim_s``: time
    between two interim accounting records; 0: there are none. [s]
    """

    groups: Mapping[str, ServerGroup] = field(default_factory=dict)
    #: ``crypto ikev2 authorization policy`` and ``ip local pool`` by name.
    policies: Mapping[str, AuthorizationPolicy] = field(default_factory=dict)
    pools: Mapping[str, AddressPool] = field(default_factory=dict)
    lists: Mapping[tuple[Purpose, str], MethodList] = field(default_factory=dict)
    dead_tries: int = int(DEAD_TRIES.value)
    dead_time_s: float = DEAD_TIME.value
    interim_s: float = 0.0
    #: The router's own users (``username``), whom the method ``local`` of a login list knows.
    users: Mapping[str, Secret] = field(default_factory=dict, repr=False)

    def servers(self) -> tuple[RadiusServer, ...]:
        """Return every server of every group once, in the order of the groups."""
        return tuple(dict.fromkeys(server for group in self.groups.values() for server in group.servers))


def note_defaults(ledger: Ledger, router: str, used: Mapping[str, bool]) -> None:
    """Note which defaults a router's AAA leans on; ``used`` says of each name whether the default holds."""
    named = {
        "RADIUS timeout": TIMEOUT,
        "RADIUS retransmit": RETRANSMIT,
        "RADIUS deadtime": DEADTIME,
        "RADIUS dead-criteria tries": DEAD_TRIES,
        "RADIUS dead-criteria time": DEAD_TIME,
    }
    for name, value in named.items():
        if used.get(name):
            ledger.read(router, name, value)
