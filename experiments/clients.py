"""Which remote-access clients can connect to which FlexVPN server, and why one cannot: by talking, not by a table.

Each client is tried as it comes, with its defaults, against a server that is an IOS configuration. The conversation
goes on to the first rekey of the Child SA, because a client may fail there alone. What is refused names a repair
(`client_repairs`), lines that are added to the server's configuration; the client is tried again until it works or
nothing helps. So every repair that is told has been tried, and in the order in which they are needed.

What this leaves out: NAT, losses, the answers of a RADIUS server and its time, what a client does with its routes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

from ..hardware.cost import CostModel
from ..hardware.profile import HardwareProfile
from ..models.errors import InputError, unknown_name
from ..models.ikev2 import rekey
from ..models.ikev2.endpoint import Endpoint
from ..models.ikev2.events import Refusal
from ..models.ikev2.identity import Identity
from ..models.ikev2.operations import Operation
from ..models.ikev2.policy import IkeProfile
from ..models.ikev2.sa import IkeSa
from ..models.implementation import ClientMethod, Implementation, client_names, load_implementation
from ..models.ios.reader import ENDINGS
from ..models.remote_access import TUNNEL, UserSetUp, client_policy, identity_of, served_by, usual_method
from ..models.secret import Secret
from ..models.values import Ledger
from .client_repairs import Diagnosis, Failure, Met, Stage, diagnose
from .client_servers import ACCOUNT, AUTHS, KEY, SERVER, Server, configured_server, default_server
from .conversation import Talk

#: Where the client is (RFC 5737).
CLIENT = IPv4Address("192.0.2.1")
#: A client that needs more repairs than this is given up.
MAX_REPAIRS = 8
#: Servers that are tried when none is named.
SERVERS = ("ios-xe-16.9", "ios-xe-17")


@dataclass(frozen=True)
class Attempt:
    """One conversation of a client with a server, from IKE_SA_INIT to the first rekey of the Child SA.

    ``failure``: what went wrong, if anything did. ``messages``, ``bytes`` (of IP packets), ``round_trips`` and
    ``server_cpu_s`` are those of the set-up alone, without the rekey. [bytes, s] ``configuration``: names of the
    attributes that the server has given.
    """

    failure: Failure | None
    up: bool
    messages: int
    bytes: int
    round_trips: int
    server_cpu_s: float
    first_bytes: int
    ike: str = ""
    esp: str = ""
    address: str = ""
    selectors: tuple[str, ...] = ()
    configuration: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return the figures as a JSON object."""
        return {
            "messages": self.messages,
            "bytes": self.bytes,
            "round_trips": self.round_trips,
            "server_cpu_s": self.server_cpu_s,
            "first_request_bytes": self.first_bytes,
            "ike": self.ike,
            "esp": self.esp,
            "address": self.address,
            "selectors": list(self.selectors),
            "configuration": list(self.configuration),
        }


@dataclass
class Outcome:
    """A client against a server: as both come, and after the repairs that it took."""

    client: str
    title: str
    server: str
    method: str
    attempts: list[Attempt] = field(default_factory=list)
    #: What was wrong with each attempt that failed.
    diagnoses: list[Diagnosis] = field(default_factory=list)

    @property
    def connects(self) -> str:
        """``yes``, ``no``, or ``until the first rekey``."""
        first = self.attempts[0]
        if first.failure is None:
            return "yes"
        return "until the first rekey" if first.up else "no"

    @property
    def repaired(self) -> bool:
        """Whether it works after the repairs."""
        return self.attempts[-1].failure is None

    def as_json(self) -> dict[str, Any]:
        """Return the outcome as a JSON object."""
        return {
            "client": self.client,
            "title": self.title,
            "server": self.server,
            "method": self.method,
            "connects": self.connects,
            "failures": [diagnosis.as_json() for diagnosis in self.diagnoses],
            "repaired": self.repaired,
            "as_configured": self.attempts[0].as_json(),
            "after_repair": self.attempts[-1].as_json() if self.repaired else None,
        }


def clients(
    hardware: HardwareProfile,
    names: tuple[str, ...] = (),
    servers: tuple[str, ...] = SERVERS,
    auth: str = "eap-mschapv2:rsa2048",
) -> tuple[list[Outcome], Ledger]:
    """Return the outcome of each client against each server, and the values that were read.

    ``names``: implementation profiles of clients; none: all that ship. ``servers``: IOS releases by profile name, or
    paths of configurations. ``auth``: what a server of defaults wants, one of `AUTHS`; a configuration says so itself.
    ``hardware``: of the server.

    Raises InputError for an unknown client, server or authentication, and for a configuration without clients.
    """
    if auth not in AUTHS:
        raise unknown_name("authentication", auth, AUTHS, "--auth")
    known = client_names()
    ledger = Ledger()
    cost = CostModel(hardware, ledger)
    chosen = [
        configured_server(Path(name), auth, ledger) if name.endswith(ENDINGS) else default_server(name, auth, ledger)
        for name in servers
    ]
    for name in names:
        if name not in known and not name.endswith((".yaml", ".yml")):
            raise unknown_name("client", name, known, "--client")
        if load_implementation(name).client is None:
            raise InputError(f"{name} is no client: it has no 'client' in its profile", "--client")
    return [
        try_client(Implementation(load_implementation(name), ledger), server, cost.service_s)
        for name in names or known
        for server in chosen
    ], ledger


def try_client(client: Implementation, server: Server, service_s: Callable[[list[Operation]], float]) -> Outcome:
    """Try a client, and repair the server's configuration until the client works or nothing helps."""
    outcome = Outcome(client.name, client.profile.title, server.name, "")
    for _ in range(MAX_REPAIRS + 1):
        endpoint = server.endpoint()
        served = served_by(endpoint.policy, identity(client))
        # A server without a profile for clients has been refused before.
        assert served is not None
        method = usual_method(client.profile, served)
        outcome.method = outcome.method or method
        talk = Talk(client_endpoint(client, served, method), endpoint, service_s)
        attempt = converse(talk, client)
        outcome.attempts.append(attempt)
        if attempt.failure is None:
            break
        proposed = tuple(served.authentication.remote)
        met = Met(server.config(), endpoint.policy, SERVER, served.name, ACCOUNT.user, proposed)
        diagnosis = diagnose(attempt.failure, client, method, met)
        done = [earlier.repair for earlier in outcome.diagnoses]
        outcome.diagnoses.append(diagnosis)
        if not diagnosis.repair or diagnosis.repair in done:
            break
        server = server.with_lines(diagnosis.repair)
    return outcome


# -- The client ------------------------------------------------------------------------------------------------


def identity(client: Implementation) -> Identity:
    """Return what a client calls itself."""
    return identity_of(client.profile, CLIENT, ACCOUNT.user)


def client_endpoint(client: Implementation, served: IkeProfile, method: ClientMethod) -> Endpoint:
    """Return the client as it comes, told where the server is and what it calls itself, and given its user's password.

    The user has installed the CA of the server's certificate, or the server's pre-shared key.
    """
    user = UserSetUp(SERVER, ACCOUNT, Secret(KEY))
    return Endpoint(client_policy(client.name, client.profile, CLIENT, served, method, user), client)


# -- The conversation ------------------------------------------------------------------------------------------


def converse(talk: Talk, client: Implementation) -> Attempt:
    """Let a client connect, then rekey its Child SA; return what came of it."""
    talk.take(talk.initiator.start(TUNNEL, 0), initiator=True)
    talk.run()
    setup = list(talk.turns)
    sa = talk.sa(initiator=True)
    failure = _setup_failure(talk, sa, client)
    up = failure is None
    if up and sa is not None:
        talk.phase = "rekey"
        child = next(iter(sa.children.values()))
        rekey.want(sa, child.serial)
        talk.initiator.advance(sa)
        talk.take(talk.initiator.on_timer(talk.now_ns), initiator=True)
        talk.run()
        failed = next((e for by, e in talk.events if by and e.kind == "rekey_failed"), None)
        if failed is not None:
            failure = Failure("rekey", failed.refusal or Refusal("refused by the peer"), identity(client))
        suite, esp = sa.suite, child.suite
        words = (
            f"{suite.encryption} {suite.integrity or suite.prf} group {suite.group}" if suite is not None else "",
            f"{esp.encryption} {esp.integrity}".strip(),
            str(sa.virtual_address or ""),
        )
        selectors = tuple(str(s) for s in child.local_selectors)
        configuration = tuple(given.name for given in sa.configured)
    else:
        words, selectors, configuration = ("", "", ""), (), ()
    operations = [o for turn in setup for o in turn.operations_of(initiator=False)]
    return Attempt(
        failure,
        up,
        len(setup),
        sum(turn.datagram.ip_len for turn in setup),
        sum(1 for turn in setup if turn.by_initiator and not turn.datagram.message.response),
        talk.service_s(operations) if operations else 0.0,
        setup[0].datagram.ike_bytes,
        *words,
        selectors,
        configuration,
    )


def _setup_failure(talk: Talk, sa: IkeSa | None, client: Implementation) -> Failure | None:
    """Return why there is no Child SA, or a client has no address; the server's reason comes before the client's."""
    own = identity(client)
    if sa is not None and sa.children and not sa.negotiating:
        if sa.virtual_address is None and sa.virtual_address6 is None:
            return Failure("address", Refusal("no address left in the pool"), own)
        return None
    refusals = [(by, event.refusal) for by, event in talk.events if event.refusal is not None]
    # An end that only heard of a refusal does not know why.
    told = ("deleted by the peer", "refused by the peer")
    by_server = [refusal for by, refusal in refusals if not by and refusal.cause not in told]
    by_client = [refusal for by, refusal in refusals if by]
    established = any(event.kind == "ike_established" for _, event in talk.events)
    authenticating = any(turn.datagram.message.message_id > 0 for turn in talk.turns)
    stage: Stage = "child" if established else "authentication" if authenticating else "proposal"
    refusal = (by_server or by_client or [Refusal("no answer")])[0]
    return Failure(stage, refusal, own, by_server=bool(by_server))
