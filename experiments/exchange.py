"""``flexvpn-sim exchange``: a conversation of two IKEv2 ends, message by message, with what each operation costs.

Two IKEv2 endpoints talk in memory, without network delay or loss; the hardware profile prices every operation.

What this leaves out: losses, waiting for a core that does something else, ends on different routers.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any, Literal

from ..hardware.cost import CostModel
from ..hardware.profile import HardwareProfile
from ..models.certificate_length import STRONGSWAN_FRAME, estimated_der_bytes
from ..models.errors import InputError, unknown_name
from ..models.ikev2.identity import Identity
from ..models.ikev2.operations import Operation
from ..models.ikev2.payloads import ANY_IPV4, ANY_IPV6, Selector
from ..models.ikev2.policy import Ppk, ResumptionPolicy
from ..models.ikev2.proposals import EspProposal, IkeProposal
from ..models.ikev2.resumption import BY_REFERENCE_BYTES, BY_VALUE_BYTES
from ..models.ikev2.sa import NS_PER_S
from ..models.implementation import Implementation, load_implementation
from ..models.pki import OWNER as CA_OWNER
from ..models.secret import Secret
from ..models.values import Ledger
from ..simulate.records import operation_name
from .capture import write_capture
from .conversation import Talk, Turn
from .exchange_authentication import (
    AUTHENTICATIONS,
    CERTIFICATE_DEFAULT,
    EAP_DEFAULT,
    eap_method,
    parse_eap,
    parse_intermediates,
    second_proof,
)
from .exchange_certificates import CertificateLife, check_delay_s, parse_methods
from .exchange_plan import End, Plan, check_fragment_bytes, check_path, check_sends
from .exchange_scenarios import ASKING, OF_CERTIFICATES, SETUP, TICKET_S, converse, prepare, scenario_names

#: Values of an implementation that decide when and how often something happens, beside those in seconds: they decide
#: nothing while no timer runs.
_TIMING = ("rekey_jitter", "retransmit_factor", "retransmit_tries", "max_in_negotiation_incoming")


#: Longest name of a PPK. [bytes]
PPK_NAME_MAX_BYTES = 64


def implementation_for(hardware: HardwareProfile) -> str:
    """Return what speaks IKEv2 on a router unless told otherwise: strongSwan on Linux, else IOS."""
    return "strongswan" if hardware.family == "Linux" else "ios-xe-16.9"


def parse_identity(text: str, where: str) -> Identity:
    """Return the identity that a text names; its form tells the kind, unless ``kind:`` stands before it.

    >>> parse_identity("C=IT, O=cptl, CN=HQ.cptl.local", "").kind, parse_identity("198.51.100.1", "").kind
    ('dn', 'address')

    Raises InputError for an empty text, an FQDN or address that is none.
    """
    kinds: dict[str, Literal["fqdn", "email", "dn", "address", "key-id"]] = {
        "fqdn": "fqdn",
        "email": "email",
        "dn": "dn",
        "ipv4": "address",
        "ipv6": "address",
        "key-id": "key-id",
    }
    prefix, colon, rest = text.partition(":")
    kind = kinds.get(prefix) if colon else None
    name = rest if kind is not None else text
    if kind is None:
        kind = "dn" if "=" in name else "email" if "@" in name else "fqdn"
        if kind == "fqdn" and (name.replace(".", "").isdecimal() or name.count(":") > 1):
            kind = "address"
    if kind == "address":
        try:
            return Identity(kind, str(ip_address(name)))
        except ValueError:
            raise InputError(f"found '{name}', an address such as 198.51.100.1 is needed", where) from None
    if kind == "dn":
        if not all("=" in part for part in name.split(",")):
            raise InputError(f"found '{name}', a name such as C=IT, O=example, CN=HQ is needed", where)
    elif not name or name.split() != [name]:
        raise InputError(f"found '{name}', a name such as HQ.example.org is needed", where)
    return Identity(kind, name)


def parse_ppk(text: str, where: str) -> Ppk:
    """Return the post-quantum pre-shared key that a text names: an identity, and ``:required`` if both ends insist.

    >>> parse_ppk("ppk1:required", "").required
    True

    Raises InputError for an empty or overlong name and for another word behind the colon.
    """
    name, colon, word = text.rpartition(":")
    if not colon:
        name, word = text, ""
    elif word != "required":
        raise unknown_name("property of a PPK", word, ("required",), where)
    if not 1 <= len(name.encode()) <= PPK_NAME_MAX_BYTES or name.split() != [name]:
        raise InputError(f"found '{name}', a name of 1 to {PPK_NAME_MAX_BYTES} bytes such as ppk1 is needed", where)
    return Ppk(name, Secret("any PPK"), required=bool(word))


#: Words for selectors of everything: IPv4 as on a tunnel interface, IPv6, and both.
ANY: dict[str, tuple[Selector, ...]] = {
    "any": (ANY_IPV4,),
    "any-ipv6": (ANY_IPV6,),
    "any-dual": (ANY_IPV4, ANY_IPV6),
}


def parse_selectors(text: str, where: str) -> tuple[tuple[Selector, ...], tuple[Selector, ...]]:
    """Return the traffic selectors of both sides: a word of `ANY`, or the initiator's networks ``=`` the responder's.

    >>> [len(side) for side in parse_selectors("10.1.0.0/24,2001:db8:1::/64=10.2.0.0/16", "")]
    [2, 1]

    Raises InputError for what is no list of networks.
    """
    if text in ANY:
        return ANY[text], ANY[text]
    ours, equals, theirs = text.partition("=")
    try:
        sides = [[ip_network(part.strip()) for part in side.split(",")] for side in (ours, theirs)]
    except ValueError:
        sides = []
    if not equals or not sides:
        examples = f"{', '.join(ANY)} or networks such as 10.1.0.0/24,2001:db8:1::/64=10.2.0.0/16 are needed"
        raise InputError(f"found '{text}', {examples}", where)
    first, second = (tuple(Selector(0, str(n[0]), str(n[-1])) for n in side) for side in sides)
    return first, second


def exchange(
    ike: IkeProposal | Sequence[IkeProposal],
    esp: EspProposal | Sequence[EspProposal],
    hardware: HardwareProfile,
    *,
    implementation: str | None = None,
    responder_implementation: str | None = None,
    scenario: str = SETUP,
    initiator_id: str = "BR1.cptl.local",
    responder_id: str = "HQ.cptl.local",
    responder_ike: Sequence[IkeProposal] | None = None,
    responder_esp: Sequence[EspProposal] | None = None,
    auth: str = "psk",
    certificate_bytes: tuple[int, int] | None = None,
    authorities: int | None = None,
    chain: int = 0,
    chain_bytes: int | None = None,
    eap_identity: str | None = None,
    eap_offer: str | None = None,
    tls: str | None = None,
    fragmentation: bool = True,
    fragment_bytes: int | None = None,
    mode: Literal["tunnel", "transport"] = "tunnel",
    selectors: tuple[tuple[Selector, ...], tuple[Selector, ...]] = ((ANY_IPV4,), (ANY_IPV4,)),
    ip_version: Literal[4, 6] = 4,
    samples: int = 0,
    seed: int = 1,
    pcap: Path | None = None,
    ppk: str | None = None,
    path_mtu_bytes: int | None = None,
    drops_fragments: bool = False,
    smaller_fragments_after: int | None = None,
    revocation: str | None = None,
    crl_delay_s: float | None = None,
    resumption: Literal["value", "reference"] | None = None,
) -> dict[str, Any]:
    """Return a conversation and its CPU time at both ends as one JSON object.

    ``messages`` holds the whole conversation, a row a datagram, in the order in which they are sent at ``t_s``, while
    time passes by work alone, and by timers where the peer is unreachable; ``phase`` is ``setup`` or what a scenario
    adds to it. ``initiator_cpu_s`` and ``responder_cpu_s`` cover what the scenario adds (a
    rekey with the deletion of the old SA, a probe, the demand of a cookie), and the set-up where it adds nothing;
    ``phases`` has the times of each phase.

    Parameters
    ----------
    ike, esp: what both ends propose; a group in ``esp`` is that of perfect forward secrecy.
    hardware: profile of both routers.
    implementation: name or file of an implementation profile, of both ends unless ``responder_implementation`` is
        given; None: `implementation_for` the hardware.
    scenario: names of `exchange_scenarios.SCENARIOS` with commas between them.
    initiator_id, responder_id: identities as `parse_identity` reads them. The first label of the initiator's is its EAP
        user name.
    responder_ike, responder_esp: what the responder accepts, where it differs.
    auth: one of `AUTHENTICATIONS`, or a certificate and what follows it as ``rsa2048+eap-mschapv2`` (RFC 4739); with
        EAP-TLS both ends have certificates of the algorithm.
    certificate_bytes: DER length of both certificates; None: an estimate. [bytes]
    authorities: CAs that both ends trust; None: one, or none with pre-shared keys.
    chain, chain_bytes: intermediate CAs between them and each end's certificate, and the DER length of each of their
        certificates; None: an estimate. [bytes]
    eap_identity: ``query``, as by default: the responder asks who the EAP user is; ``none``: it is the IKE identity.
    eap_offer: EAP methods that the responder proposes in their order; None: the initiator's.
    tls: highest version of EAP-TLS; None: 1.2.
    fragmentation: False: N(FRAGMENTATION_SUPPORTED) is not even sent where the implementation does so by itself.
    fragment_bytes: longest IP packet that is sent whole; both ends announce fragmentation. None: as the implementation
        does it. [bytes]
    mode: of the Child SA.
    selectors: what the Child SA protects at the initiator's side and at the responder's.
    path_mtu_bytes, drops_fragments: longest packet of the path, and whether it drops the IP fragments of longer ones.
    smaller_fragments_after: sends without an answer after which the initiator tries smaller pieces; None: never.
    ppk: name of a post-quantum pre-shared key of both ends (RFC 8784), with ``:required`` where neither goes without.
    resumption: both ends resume sessions by tickets of this kind (RFC 5723), whatever their implementation can; None:
        where it can, by value.
    revocation: how both ends look up the status of certificates (`exchange_certificates.parse_methods`); None: as the
        scenario does.
    crl_delay_s: how long a CRL or OCSP response takes; None: `models.pki`. [s]
    samples, seed: parameter sets drawn from the hardware's ranges for bands of the CPU times: ``..._cpu_median_s``,
        ``..._cpu_low_s`` and ``..._cpu_high_s`` (5 % and 95 %); 0: no bands.
    pcap: where to write the conversation as a capture, really encrypted with keys that follow from ``seed``;
        ``capture`` then says what was written (`capture.write_capture`).

    Raises InputError for an unknown scenario, authentication or implementation, and for a router without IKEv2.
    """
    names = scenario_names(scenario)
    if "eap" in names and eap_method(auth) is None:
        auth = EAP_DEFAULT
    if auth == "psk" and set(names) & OF_CERTIFICATES:
        auth = CERTIFICATE_DEFAULT
    if samples < 0:
        raise InputError(f"found {samples}, 0 (no bands) or more parameter sets are needed", "--samples")
    stated, (auth, second) = auth, second_proof(auth)
    if auth not in AUTHENTICATIONS:
        raise unknown_name("authentication", auth, AUTHENTICATIONS, "--auth")
    if not hardware.ikev2.supported:
        raise InputError(f"{hardware.title} cannot run IKEv2: {hardware.ikev2.reason}", "--hardware")
    if authorities is None:
        authorities = 0 if auth == "psk" else 1
    if authorities < (auth != "psk"):
        raise InputError("found 0, certificates need at least one CA that both ends trust", "--ca")
    if fragment_bytes is not None:
        check_fragment_bytes(fragment_bytes, "--fragment")
    ledger = Ledger()
    cost = CostModel(hardware, ledger)
    name = implementation or implementation_for(hardware)
    behaviours = []
    for one in (name, responder_implementation or name):
        behaviour = load_implementation(one)
        if resumption is not None:
            behaviour = behaviour.model_copy(update={"session_resumption": True})
        if second is not None and not behaviour.has_multiple_authentication():
            raise InputError(f"{one} lets nobody prove itself twice (RFC 4739)", "--auth")
        behaviours.append(Implementation(behaviour, ledger))
    eap = parse_eap(auth, eap_identity, tls, eap_offer)
    estimate_bytes = 0
    if auth != "psk" and (certificate_bytes is None or (chain and chain_bytes is None)):
        algorithm = auth.rpartition(":")[2]
        frame = ledger.read("certificates", "bytes beside key and signature", STRONGSWAN_FRAME)
        estimate_bytes = estimated_der_bytes(frame, algorithm, algorithm)
        certificate_bytes = certificate_bytes or (estimate_bytes, estimate_bytes)
    intermediates = parse_intermediates(chain, chain_bytes, auth, estimate_bytes)
    offered = (ike,) if isinstance(ike, IkeProposal) else tuple(ike)
    child = (esp,) if isinstance(esp, EspProposal) else tuple(esp)
    identities = parse_identity(initiator_id, "--initiator-id"), parse_identity(responder_id, "--responder-id")
    plan = Plan(
        End(identities[0], offered, child, behaviours[0], selectors),
        End(
            identities[1],
            tuple(responder_ike or offered),
            tuple(responder_esp or child),
            behaviours[1],
            selectors[::-1],
        ),
        auth,
        certificate_bytes or (0, 0),
        authorities,
        identities[0].value if not eap.queries_identity else identities[0].value.partition(".")[0],
        fragmentation,
        fragment_bytes,
        mode,
        ip_version,
        ppks=(None, None) if ppk is None else (parse_ppk(ppk, "--ppk"),) * 2,
        life=_life(revocation, crl_delay_s),
        second=second,
        resumption=_resumption(resumption, names, ledger),
        eap=eap,
        intermediates=intermediates,
    )
    if ppk is not None:
        names = list(dict.fromkeys([*names, "ppk"]))
    if (revocation is not None or crl_delay_s is not None) and not set(names) & ASKING:
        names = [*names, "crl"]
    plan = replace(
        plan,
        path_mtu_bytes=check_path(path_mtu_bytes, drops_fragments=drops_fragments),
        drops_fragments=drops_fragments,
        smaller_fragments_after=check_sends(smaller_fragments_after),
    )
    talk = converse(prepare(plan, names), names, cost.service_s, ledger)
    own = [turn for turn in talk.turns if turn.phase != SETUP] or talk.turns
    rows = [
        row for row in ledger.rows() if row["owner"] == CA_OWNER or (row["unit"] != "s" and row["name"] not in _TIMING)
    ]
    return {
        "scenario": scenario,
        "ike": ", ".join(map(str, offered)),
        "esp": ", ".join(map(str, child)),
        "auth": stated,
        "certificate_bytes": None if auth == "psk" else list(plan.certificate_bytes),
        "authorities": authorities,
        "chain": intermediates.count,
        "hardware": hardware.name,
        "implementation": behaviours[0].name,
        "responder_implementation": behaviours[1].name,
        "initiator_id": initiator_id,
        "responder_id": responder_id,
        "selectors": [[str(s) for s in side] for side in selectors],
        "messages": [_message(turn, cost) for turn in talk.turns],
        **_cpu_s(own, cost),
        **_bands(own, hardware, samples, seed),
        "phases": {phase: _cpu_s(turns, cost) for phase, turns in _phases(talk).items()},
        "events": _events(talk),
        "path": _path(plan, talk),
        "sas": {end: _sas(talk, initiator=end == "initiator") for end in ("initiator", "responder")},
        "values_read": len(rows),
        "assumed": [row for row in rows if row["kind"] == "assumed"],
        **({} if pcap is None else {"capture": write_capture(talk, pcap, seed).as_json()}),
    }


def _resumption(kind: str | None, names: Iterable[str], ledger: Ledger) -> ResumptionPolicy | None:
    """Return which tickets both ends use; None where neither the option nor a scenario wants any."""
    if kind is None and not set(names) & {"ticket", "resume", "resume-refused"}:
        return None
    if kind == "reference":
        return ResumptionPolicy(TICKET_S, round(ledger.read("tickets", "by reference", BY_REFERENCE_BYTES)), False)
    return ResumptionPolicy(TICKET_S, round(ledger.read("tickets", "by value", BY_VALUE_BYTES)))


def _life(revocation: str | None, crl_delay_s: float | None) -> CertificateLife | None:
    """Return what the options say about certificates; None when they say nothing."""
    if revocation is None and crl_delay_s is None:
        return None
    if crl_delay_s is not None:
        check_delay_s(crl_delay_s, "--crl-delay")
    return CertificateLife(() if revocation is None else parse_methods(revocation, "--revocation"), crl_delay_s)


def _phases(talk: Talk) -> dict[str, list[Turn]]:
    """Return the datagrams of each phase, in the order of the conversation."""
    phases: dict[str, list[Turn]] = {}
    for turn in talk.turns:
        phases.setdefault(turn.phase, []).append(turn)
    return phases


def _cpu_s(turns: list[Turn], cost: CostModel) -> dict[str, float]:
    """Return the CPU time of both ends for some datagrams. [s]"""
    return {
        f"{end}_cpu_s": sum(cost.service_s(turn.operations_of(initiator=end == "initiator")) for turn in turns)
        for end in ("initiator", "responder")
    }


def _bands(turns: list[Turn], hardware: HardwareProfile, samples: int, seed: int) -> dict[str, float]:
    """Return median, low and high CPU time of both ends over drawn parameter sets. [s]"""
    if not samples:
        return {}
    # numpy is slow to load.
    from .bands import cpu_bands

    drawn = [_cpu_s(turns, CostModel(one, Ledger())) for one in hardware.sample(samples, seed)]
    return cpu_bands(drawn, samples, seed)


def _path(plan: Plan, talk: Talk) -> dict[str, Any]:
    """Return what the path does to long packets; ``failed``: a message that never arrived ended the conversation."""
    reasons = list(dict.fromkeys(turn.swallowed for turn in talk.turns if turn.swallowed))
    given_up = any(e.refusal is not None and e.refusal.cause == "no answer" for _, e in talk.events)
    return {
        "mtu_bytes": plan.path_mtu_bytes,
        "drops_fragments": plan.drops_fragments,
        "lost": reasons,
        "failed": bool(reasons) and given_up,
    }


def _events(talk: Talk) -> list[dict[str, Any]]:
    """Return what happened at either end beside the messages."""
    return [
        {
            "t_s": event.time_ns / NS_PER_S,
            "end": "initiator" if initiator else "responder",
            "event": event.kind,
            "cause": event.refusal.cause if event.refusal is not None else "",
            "notify": event.refusal.notify if event.refusal is not None else "",
            "detail": event.detail,
        }
        for initiator, event in talk.events
    ]


def _sas(talk: Talk, *, initiator: bool) -> dict[str, int]:
    """Return how many established IKE SAs and Child SAs an end has when the conversation is over."""
    sas = [sa for sa in talk.end(initiator=initiator).sas.values() if not sa.negotiating]
    return {"ike": len(sas), "child": sum(len(sa.children) for sa in sas)}


def _message(turn: Turn, cost: CostModel) -> dict[str, Any]:
    datagram = turn.datagram
    message = datagram.message
    return {
        "exchange": message.exchange.name,
        "msgid": message.message_id,
        "response": message.response,
        "direction": "i>r" if turn.by_initiator else "r>i",
        "phase": turn.phase,
        "t_s": turn.sent_ns / NS_PER_S,
        "transmission": datagram.transmission,
        "arrived": turn.arrived,
        "fragment": datagram.fragment or 1,
        "fragments": len(message.fragments) or 1,
        "message_bytes": message.ike_bytes,
        "ike_bytes": datagram.ike_bytes,
        "udp_len": datagram.udp_len,
        "ip_len": datagram.ip_len,
        "source_port": datagram.source_port,
        "destination_port": datagram.destination_port,
        "payloads": datagram.payload_text(),
        "sender_cpu_s": cost.service_s(turn.sender),
        "receiver_cpu_s": cost.service_s(turn.receiver),
        "sender_operations": _operations(turn.sender, cost),
        "receiver_operations": _operations(turn.receiver, cost),
    }


def _operations(operations: Iterable[Operation], cost: CostModel) -> list[dict[str, Any]]:
    """Return name, number of calls and time of all calls together; ``count`` is that of a PRF or an installation."""
    return [
        {
            "operation": operation_name(operation),
            "count": getattr(operation, "count", 1),
            "duration_s": cost.operation_s(operation),
        }
        for operation in operations
    ]
