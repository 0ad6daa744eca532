"""The experiment behind each claim: which figures are compared, measured from the models now."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from statistics import fmean

from ..hardware.profile_files import load_profile, profile_names
from ..models.baselines import tunnels
from ..models.baselines.procedure import Procedure, Service
from ..models.errors import InputError
from ..models.esp import esp_packet_bytes
from ..models.ikev1 import exchanges
from ..models.ikev2 import children, work
from ..models.ikev2.proposals import suite_of
from ..models.implementation import load_implementation
from ..models.notation import parse_ike
from . import baselines, ikev1, paper_demo
from .claims import INNER_BYTES, MS, Comparison, Measured, Sense, Side, Study, crossing_rtt_s
from .run import run

#: Smaller suites than the study's: what IKEv1 was used with, and a curve.
OTHER_SUITES = ("aes128-sha1-modp1536", "aes256-sha256-ecp256")
#: The IKE halves of Suite B: AES-CBC with SHA-2 and a curve (RFC 6379 3.1 to 3.4).
SUITE_B = ("aes128-sha256-ecp256", "aes256-sha384-ecp384")
#: One prefix of the configuration payload (RFC 7296 3.15.1); an EIGRP hello with IP and EIGRP headers, parameters and
#: version, and its usual interval (RFC 7868). [bytes, bytes, s]
PREFIX_BYTES, EIGRP_HELLO_BYTES, EIGRP_HELLO_S, DAY_S = 12, 20 + 20 + 12 + 8, 5.0, 86400.0
#: Families that the study names, and those that it calls older.
NAMED_FAMILIES, OLDER_FAMILIES = ("ISR G2", "ISR 4000", "ASR 1000", "CSR 1000V"), ("ISR G1",)
PUBLISHED_S = 300.0
#: Block of AES. [bytes]
BLOCK_BYTES = 16
IKEV1_MODES = ("IKEv1 main", "IKEv1 aggressive")
FEATURES = ("cookie", "nat", "virtual-ip", "redirect")


def counts(
    what: str, unit: str, ours: tuple[str, float], theirs: tuple[str, float], sense: Sense = "less"
) -> Comparison:
    """Return a comparison of two figures that no parameter set moves."""
    return Comparison(what, unit, sense, Side(*ours), Side(*theirs))


def _further(study: Study) -> float:
    """Return the messages of a further pair of SAs."""
    added = study.set_up(baselines.CRYPTO_MAP).messages - study.set_up("IKEv2").messages
    return added / (baselines.CRYPTO_MAP_LINES - 1)


def exchange_structure(study: Study) -> Measured:
    """Compare the exchanges of a set-up and of further pairs of SAs with those that the study names."""
    first = study.set_up("IKEv2")
    names = [packet.name for packet in first.packets]
    return Measured(
        (
            counts("messages of IKE_SA_INIT", "", ("model", names.count("IKE_SA_INIT")), ("study", 2), "equal"),
            counts("messages of IKE_AUTH", "", ("model", names.count("IKE_AUTH")), ("study", 2), "equal"),
            counts("messages of a further pair of SAs", "", ("model", _further(study)), ("study", 2), "equal"),
        ),
        "The first pair of IPsec SAs needs no exchange of its own: IKE_AUTH makes it.",
    )


def fewer_messages(study: Study) -> Measured:
    """Compare messages of a set-up and of a further pair of SAs with both modes of IKEv1."""
    own = study.set_up("IKEv2")
    rows = [
        counts(f"messages, {mode}", "", ("IKEv2", own.messages), (mode, study.set_up(mode).messages))
        for mode in IKEV1_MODES
    ]
    # A further pair of SAs is a quick mode there, a CREATE_CHILD_SA exchange here.
    rows.append(
        counts("messages, further pair of SAs", "", ("IKEv2", _further(study)), ("IKEv1", _quick_messages(study)))
    )
    return Measured(tuple(rows))


def _quick_messages(study: Study) -> int:
    return len(exchanges.quick_mode(baselines.ikev1_peers(study.suites, "ios", study.ledger)))


def set_up_bytes(study: Study) -> Measured:
    """Compare bytes of a set-up with both modes of IKEv1, for the study's suite and smaller ones, two makers each."""
    rows = []
    for text in (study.ike, *OTHER_SUITES):
        suites = baselines.Suites(parse_ike(text, "--ike"), study.suites.esp)
        for maker, second, first in baselines.IMPLEMENTATIONS:
            own = baselines.ikev2(suites, second, study.ledger)
            for mode in ikev1.MODES:
                other = baselines.ikev1_set_up(suites, first, study.ledger, mode)
                what = f"{maker}, {text}, {mode} mode"
                rows.append(counts(what, "bytes", ("IKEv2", own.ip_bytes), (other.name, other.ip_bytes)))
    return Measured(tuple(rows), _banner(rows))


def _banner(rows: Sequence[Comparison]) -> str:
    """Return how far the comparisons that fail depend on the longest assumed payload."""
    attributes = load_implementation("ios-xe-16.9").config_request
    value = next(a.bytes for a in attributes if a.name == "APPLICATION_VERSION")
    low, high = value.range or (value.value, value.value)
    # Shorter text saves at most a block of padding more.
    saved = value.value - low + BLOCK_BYTES
    still = sum(c.ours.value - saved >= c.theirs.value for c in rows if not c.holds)
    return (
        f"IOS XE sends a version text of {value.value:g} bytes in IKE_AUTH (assumed, {low:g} to {high:g}). Of the "
        f"{sum(not c.holds for c in rows)} comparisons that fail, {still} would fail with the shortest text too."
    )


def upkeep_bytes(study: Study) -> Measured:
    """Compare bytes of a rekey with the deletion of the old SA, and of dead peer detection, with IKEv1."""
    rows = []
    for maker, second, first in baselines.IMPLEMENTATIONS:
        ends = baselines.ikev1_peers(study.suites, first, study.ledger)
        own = baselines.ikev2(study.suites, second, study.ledger)

        def step(name: str, second: str = second, own: Procedure = own) -> int:
            return baselines.part(baselines.ikev2(study.suites, second, study.ledger, name), own).ip_bytes

        # The old pair is deleted by IKEv2 with two messages, by IKEv1 with one that nobody answers.
        rekey = sum(m.ip_len for m in (*exchanges.quick_mode(ends), exchanges.delete(ends)[0]))
        probe = sum(m.ip_len for m in exchanges.dead_peer_detection(ends))
        rows.append(counts(f"{maker}, rekey of a Child SA", "bytes", ("IKEv2", step("rekey-child")), ("IKEv1", rekey)))
        rows.append(counts(f"{maker}, dead peer detection", "bytes", ("IKEv2", step("dpd")), ("IKEv1", probe)))
    return Measured(tuple(rows))


def traffic(study: Study, other: str) -> Measured:
    """Compare the outer packets around user packets with those of another protocol of `baselines.packet_bytes`."""
    lengths = baselines.packet_bytes(study.suites)
    rows = tuple(
        counts(f"outer packet around {n} bytes", "bytes", ("IKEv2", lengths["IKEv2"](n)), (other, lengths[other](n)))
        for n in INNER_BYTES
    )
    return Measured(rows, _bare_l2tp(study) if other == "L2TP/IPsec" else "")


def _bare_l2tp(study: Study) -> str:
    bare = tunnels.l2tp((), None, study.ledger)
    return (
        f"L2TP without IPsec adds {tunnels.l2tp_packet_bytes(0, None)} bytes and is set up by {bare.messages} packets "
        f"in {bare.round_trips():g} round trips; it protects nothing."
    )


def faster_set_up(study: Study, name: str) -> Measured:
    """Compare round trips, and set-up times over every path of the study, with those of another set-up."""
    own, other = study.set_up("IKEv2"), study.set_up(name)
    rows = [counts("round trips", "", ("IKEv2", own.round_trips()), (name, other.round_trips()))]
    rows += [
        study.compared(
            f"set-up, RTT {rtt_s * MS:g} ms",
            "ms",
            ("IKEv2", _setup(own, rtt_s)),
            (name, _setup(other, rtt_s)),
            scale=MS,
        )
        for rtt_s in study.rtts_s
    ]
    at_s = crossing_rtt_s(own, other, study.services[0])
    if math.isinf(at_s):
        where = f"Nowhere is IKEv2 ready before {name}"
    else:
        where = "IKEv2 is ready first " + (f"from an RTT of {at_s * MS:.2g} ms on" if at_s else "at any RTT")
    return Measured(tuple(rows), f"{where}, with the profile's values.")


def _setup(procedure: Procedure, rtt_s: float) -> Callable[[Service], float]:
    return lambda service_s: procedure.setup_s(rtt_s, service_s)


def cpu(study: Study) -> Measured:
    """Compare the CPU time of the responder with both modes of IKEv1."""
    own = study.set_up("IKEv2")
    rows = []
    for mode in IKEV1_MODES:
        other = study.set_up(mode)
        rows.append(
            study.compared(
                f"CPU time of the responder, {mode}",
                "ms",
                ("IKEv2", partial(own.cpu_s, initiator=False)),
                (mode, partial(other.cpu_s, initiator=False)),
                scale=MS,
            )
        )
    return Measured(
        tuple(rows),
        "Both make one key exchange; what differs is the number of messages. On the strongSwan testbed it did not "
        "show: 2.79 ms with main mode, 2.75 ms with IKEv2, deletion included.",
    )


def port(study: Study) -> Measured:
    """Compare what user packets gain from UDP port 500."""
    own, other = study.set_up("IKEv2"), study.set_up("IKEv1 main")
    lengths = baselines.packet_bytes(study.suites)
    esp = children.suite_of(study.suites.esp)
    behind_nat = esp_packet_bytes(1400, esp.encryption, esp.integrity, nat_t=True)
    return Measured(
        (
            counts(
                "outer packet around 1400 bytes",
                "bytes",
                ("IKEv2", lengths["IKEv2"](1400)),
                ("IKEv1", lengths["IKEv1 main"](1400)),
            ),
        ),
        f"Port 500 carries the {own.messages} messages of the set-up, as it carries the {other.messages} of IKEv1. The "
        f"user's packets are ESP, without a port, or behind a NAT UDP on port 4500 "
        f"({behind_nat} instead of {lengths['IKEv2'](1400)} bytes).",
    )


def cookie(study: Study) -> Measured:
    """Compare what a spoofed request costs the responder with and without the demand of a cookie."""
    own = study.set_up("IKEv2").packets
    # What a request without state behind it costs: all that it sets off, and the answer.
    without = (*own[0].receiver, *own[1].sender)
    with_cookie = tuple(work.stateless_answer())
    row = study.compared(
        "CPU time of the responder for one spoofed request",
        "ms",
        ("with cookie", lambda s: s(with_cookie)),
        ("without", lambda s: s(without)),
        scale=MS,
    )
    rates = [1.0 / study.services[0](operations) for operations in (with_cookie, without)]
    return Measured(
        (row,),
        f"One core answers {rates[0]:.0f} spoofed requests a second with cookies, {rates[1]:.0f} without. Cookies are "
        "off unless configured, and do nothing against attackers who can receive at the address that they use.",
    )


def suite_b(study: Study) -> Measured:
    """Count the suites of RFC 6379 that IKEv1 cannot negotiate."""

    def negotiable(first: bool) -> int:
        number = 0
        for text in SUITE_B:
            suites = baselines.Suites(parse_ike(text), study.suites.esp)
            try:
                if first:
                    baselines.ikev1_set_up(suites, "strongswan", study.ledger, "main")
                else:
                    baselines.ikev2(suites, "strongswan", study.ledger)
            except InputError:
                continue
            number += 1
        return number

    own = suite_of(study.suites.ike)
    used = any(suite_of(parse_ike(text)) == own for text in SUITE_B)
    return Measured(
        (
            counts(
                "Suite B sets that IKEv1 cannot negotiate",
                "",
                ("found", len(SUITE_B) - negotiable(True)),
                ("needed", 1),
                "at least",
            ),
        ),
        f"IKEv2 negotiates {negotiable(False)} of {len(SUITE_B)}, IKEv1 {negotiable(True)}: RFC 6379 defines them for "
        "both. "
        f"IKEv2 alone has combined modes for IKE itself (RFC 5282). The suite compared here, the study's own unless "
        f"told otherwise, is {'' if used else 'not '}one of them.",
    )


def eap(study: Study) -> Measured:
    """Set up with EAP and count who gets through."""
    method = "eap-mschapv2:rsa2048"
    found = baselines.ikev2(study.suites, "ios-xe-16.9", study.ledger, auth=method)
    done = baselines.completes(baselines.ikev2_talk(study.suites, "ios-xe-16.9", study.ledger, auth=method))
    return Measured(
        (counts("set-ups that authenticate by EAP", "", ("IKEv2", float(done)), ("needed", 1), "at least"),),
        f"EAP-MSCHAPv2 takes {found.messages} packets and {found.round_trips():g} round trips instead of "
        f"{study.set_up('IKEv2').messages} and {study.set_up('IKEv2').round_trips():g}. By default it is not on: the "
        "server needs a certificate, an AAA list and a profile that asks for EAP.",
    )


def features(study: Study) -> Measured:
    """Play a conversation with each feature that can be played."""
    talks = [baselines.ikev2_talk(study.suites, "strongswan", study.ledger, name) for name in FEATURES]
    done = sum(map(baselines.completes, talks))
    return Measured(
        (counts("features that complete a conversation", "", ("model", done), ("named", len(FEATURES)), "at least"),),
        f"Played: {', '.join(FEATURES)}.",
    )


def crypto_map(study: Study) -> Measured:
    """Compare a tunnel interface with a crypto map that protects several pairs of networks."""
    own, other = study.set_up("IKEv2"), study.set_up(baselines.CRYPTO_MAP)
    lines = baselines.CRYPTO_MAP_LINES
    return Measured(
        (
            counts(
                f"messages, {lines} pairs of networks",
                "",
                ("tunnel interface", own.messages),
                ("crypto map", other.messages),
            ),
            counts(
                f"bytes, {lines} pairs of networks",
                "bytes",
                ("tunnel interface", own.ip_bytes),
                ("crypto map", other.ip_bytes),
            ),
            counts(f"pairs of SAs, {lines} pairs of networks", "", ("tunnel interface", 1), ("crypto map", lines)),
        )
    )


def dual_stack(study: Study) -> Measured:
    """Compare one tunnel of GRE for IPv4 and IPv6 with two of native IPsec."""
    own = study.set_up("IKEv2")
    lengths = baselines.packet_bytes(study.suites)
    inner = range(INNER_BYTES[0], INNER_BYTES[-1] + 1)
    added = [lengths["IKEv2, GRE inside"](n) - lengths["IKEv2"](n) for n in inner]
    return Measured(
        (
            counts(
                "messages for IPv4 and IPv6",
                "",
                ("GRE, one tunnel", own.messages),
                ("native, two tunnels", 2 * own.messages),
            ),
            counts("pairs of SAs for IPv4 and IPv6", "", ("GRE", 1), ("native", 2)),
        ),
        f"The price is GRE's header: after padding {min(added)} to {max(added)} bytes a packet, {fmean(added):.1f} on "
        f"average over lengths of {inner[0]} to {inner[-1]} bytes.",
    )


def routing(study: Study) -> Measured:
    """Compare the bytes that keep a prefix known for a day with the hellos of a routing protocol."""
    esp = children.suite_of(study.suites.esp)
    hello = esp_packet_bytes(EIGRP_HELLO_BYTES, esp.encryption, esp.integrity)
    hellos = round(2 * DAY_S / EIGRP_HELLO_S)
    return Measured(
        (
            counts(
                "one prefix for a day", "bytes", ("IKEv2 configuration", PREFIX_BYTES), ("EIGRP hellos", hellos * hello)
            ),
        ),
        f"EIGRP: {hellos} hellos of {EIGRP_HELLO_BYTES} bytes, {hello} in ESP. The study configures EIGRP all the "
        "same.",
    )


def platforms(study: Study) -> Measured:  # noqa: ARG001
    """Count the hardware profiles that can run IKEv2 among the families that the study names and older ones."""
    profiles = [load_profile(name) for name in profile_names()]
    named = [p for p in profiles if p.family in NAMED_FAMILIES]
    older = [p for p in profiles if p.family in OLDER_FAMILIES]
    return Measured(
        (
            counts(
                "profiles of the named families with IKEv2",
                "",
                ("can", sum(p.ikev2.supported for p in named)),
                ("all", len(named)),
                "equal",
            ),
            counts(
                "profiles of older families with IKEv2",
                "",
                ("can", sum(p.ikev2.supported for p in older)),
                ("claimed", 0),
                "equal",
            ),
        ),
        f"Named: {', '.join(NAMED_FAMILIES)}; older: {', '.join(OLDER_FAMILIES)}. From data sheets, not from a "
        "simulation.",
    )


def printed(study: Study) -> Measured:  # noqa: ARG001
    """Simulate the configurations as they are printed."""
    up = {
        version: run(paper_demo.configurations(version), duration_s=PUBLISHED_S, traffic=False).up
        for version in ("published", "working")
    }
    return Measured(
        (
            counts(
                "tunnels that come up, configuration as printed",
                "",
                ("found", float(up["published"])),
                ("claimed", 1),
                "at least",
            ),
        ),
        f"With the least repair of identities and keys it comes {'up' if up['working'] else 'up neither'}; the "
        "routers of the "
        "study must have had other lines than those printed. See `flexvpn-sim demo` and `flexvpn-sim lint`.",
    )
