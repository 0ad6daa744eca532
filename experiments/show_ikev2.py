"""``show crypto ikev2 sa | session | stats`` (fact sheet F.1 to F.4)."""

from __future__ import annotations

from ..models.algorithms import ENCRYPTIONS, INTEGRITIES, PRFS, SIGNATURES
from .snapshot import Row, Snapshot

_HEADER = "Tunnel-id Local                 Remote                fvrf/ivrf            Status "
_ANY_PORT = 65535
_RULE = "-" * 80
#: How IOS calls a method of authentication.
_METHODS = {"rsa": "RSA", "ecdsa": "ECDSA", "eddsa": "EDDSA", "mldsa": "MLDSA"}


def ikev2_sa(state: Snapshot, *, detailed: bool) -> str:
    """Return the IKE SAs of a router."""
    lines = []
    for family in (4, 6):
        lines += [f" IPv{family} Crypto IKEv2  SA ", ""]
        for ike in _of_family(state.ike_sas, family):
            lines += [_HEADER, *_sa_lines(state, ike)]
            if detailed:
                lines += _detail_lines(state, ike)
            lines.append("")
    return "\n".join(lines).rstrip("\n") + "\n"


def _of_family(ike_sas: list[Row], family: int) -> list[Row]:
    """Return the IKE SAs between addresses of one IP version."""
    return [ike for ike in ike_sas if (":" in ike["local_address"]) == (family == 6)]


def ikev2_session(state: Snapshot, *, detailed: bool) -> str:
    """Return the sessions of a router: each peer with its IKE SAs and Child SAs."""
    lines = [" IPv4 Crypto IKEv2 Session ", ""]
    sessions: dict[int, list[Row]] = {}
    for ike in state.ike_sas:
        sessions.setdefault(state.session_id(ike), []).append(ike)
    for number, sas in sessions.items():
        children = [child for ike in sas for child in state.children_of(ike)]
        status = "UP-ACTIVE" if children else "UP-IDLE"
        counts = f"IKE count:{len(sas)}, CHILD count:{len(children)}"
        lines += [f"Session-id:{number}, Status:{status}, {counts}", ""]
        for ike in sas:
            lines += [_HEADER, *_sa_lines(state, ike)]
            if detailed:
                lines += _detail_lines(state, ike)
            for child in state.children_of(ike):
                lines += _child_lines(child, detailed=detailed)
            lines.append("")
    lines.append(" IPv6 Crypto IKEv2 Session ")
    return "\n".join(lines) + "\n"


def _sa_lines(state: Snapshot, ike: Row) -> list[str]:
    local, remote = f"{ike['local_address']}/500", f"{ike['remote_address']}/500"
    cipher, prf = ENCRYPTIONS[ike["encryption"]], PRFS[ike["prf"]]
    size = f", keysize: {cipher.key_bits}" if cipher.key_bits else ""
    hashing = INTEGRITIES[ike["integrity"]].ios if ike["integrity"] else "None"
    age_s = int(state.time_s - ike["established_s"])
    signed, verified = _authentication(state, ike)
    return [
        f"{state.tunnel_id(ike):<10}{local:<22}{remote:<22}{'none/none':<21}{'READY':<7}",
        f"      Encr: {cipher.ios}{size}, PRF: {prf.name.upper()}, Hash: {hashing}, DH Grp:{ike['group']},"
        f" Auth sign: {signed}, Auth verify: {verified}{', QR' if ike['ppk'] else ''}",
        f"      Life/Active Time: {int(ike['lifetime_s'])}/{age_s} sec",
    ]


def _authentication(state: Snapshot, ike: Row) -> tuple[str, str]:
    """Return how this end and the peer proved who they are, by what was done in IKE_AUTH of the set-up.

    A rekeyed IKE SA was not authenticated again: it has the methods of the one that it goes back to.
    """
    table = state.result.ike_sas
    own = table[(table["router"] == state.router) & (table["spi_local"] == state.lineage(ike)[-1])]
    first = own.to_dict("records")[0]
    spi_i = first["spi_local"] if first["initiator"] else first["spi_remote"]
    messages = state.result.messages
    exchanged = messages[(messages["spi_i"] == spi_i) & (messages["exchange"] == "IKE_AUTH")]
    eap = bool(exchanged["payloads"].str.contains(r"\bEAP\(").any())
    works = state.result.tables["works"]
    numbers = works[(works["router"] == state.router) & (works["spi_i"] == spi_i)]["work"]
    operations = state.result.tables["operations"]
    own_work = operations[operations["work"].isin(numbers)]
    judging = own_work[own_work["operation"].str.startswith("CheckCertificate")]["work"].max()
    # Signatures that are checked after the work that judges the certificate are those of CRLs.
    done = [
        text.split()
        for number, text in zip(own_work["work"], own_work["operation"], strict=True)
        if not (text.startswith("Verify") and number > judging)
    ]

    def method(operation: str, by_client: bool) -> str:
        # The last check is that of AUTH; those before it belong to the chain of certificates.
        algorithms = [words[1] for words in done if words[0] == operation]
        if algorithms:
            return _METHODS[SIGNATURES[algorithms[-1]].kind]
        return "EAP" if eap and by_client else "PSK"

    return method("Sign", first["initiator"]), method("Verify", not first["initiator"])


def _detail_lines(state: Snapshot, ike: Row) -> list[str]:
    ours, theirs = state.message_ids(ike)
    ends = (state.settings(), state.settings(ike["peer"]))
    windows = [end["ikev2"]["window"] for end in ends]
    # Both ends must announce it, else it is not used (RFC 7383 2.3).
    fragments = all(any(i["fragmentation_mtu"] for i in end["interfaces"].values()) for end in ends)

    def both(label: str, one: int, other: int) -> str:
        return f"      {f'Local {label}:':<19}{one:<15}{f'Remote {label}:':<20}{other:<10}"

    return [
        f"      CE id: {1000 + state.tunnel_id(ike)}, Session-id: {state.session_id(ike)}",
        "      Status Description: Negotiation done",
        f"      Local spi: {ike['spi_local']}       Remote spi: {ike['spi_remote']}",
        f"      Local id: {ike['local_identity']}",
        f"      Remote id: {ike['remote_identity']}",
        both("req msg id", ours, theirs),
        both("next msg id", ours, theirs),
        both("req queued", ours, theirs),
        both("window", *windows),
        f"      DPD configured for {int(ike['dpd_interval_s'])} seconds, retry {int(ike['dpd_retry_s'])}",
        "      IETF Std Fragmentation  enabled." if fragments else "      Fragmentation not  configured.",
        "      Dynamic Route Update: enabled",
        "      Extended Authentication not configured.",
        "      NAT-T is not detected  ",
        "      Cisco Trust Security SGT is disabled",
        f"      Initiator of SA : {'Yes' if ike['initiator'] else 'No'}",
        *(["      Quantum-safe Encryption using Manual PPK"] if ike["ppk"] else []),
    ]


def _child_lines(child: Row, *, detailed: bool) -> list[str]:
    def selector(text: str) -> str:
        first, _, rest = text.partition("-")
        last, _, _ = rest.partition("/")
        return f"{first}/0 - {last}/{_ANY_PORT}"

    # A Child SA without encryption is one of AH.
    spis, none = f"0x{child['spi_in']:X}/0x{child['spi_out']:X}", "0x0/0x0"
    lines = [
        f"Child sa: local selector  {selector(child['local_selectors'])}",
        f"          remote selector {selector(child['remote_selectors'])}",
        f"          ESP spi in/out: {spis if child['encryption'] else none}  ",
    ]
    if not detailed:
        return lines
    cipher, size = "None", ""
    if child["encryption"]:
        algorithm = ENCRYPTIONS[child["encryption"]]
        cipher, size = algorithm.ios, f", keysize: {algorithm.key_bits}" if algorithm.key_bits else ""
    hashing = INTEGRITIES[child["integrity"]].ios if child["integrity"] else "None"
    esp_hmac, ah_hmac = (hashing, "None") if child["encryption"] else ("None", hashing)
    return [
        *lines,
        f"          AH spi in/out: {none if child['encryption'] else spis}  ",
        "          CPI in/out: 0x0/0x0  ",
        f"          Encr: {cipher}{size}, esp_hmac: {esp_hmac}",
        f"          ah_hmac: {ah_hmac}, comp: IPCOMP_NONE, mode {child['mode']}",
    ]


def ikev2_stats(state: Snapshot) -> str:
    """Return the counters of negotiations. A session that was rekeyed keeps the direction of its set-up."""
    settings = state.settings()["ikev2"]
    begun_out = set(state.events("attempt")["spi_local"])
    half_open = state.events("half_open")
    refused = state.events("refused")
    # What is refused or dropped at its first message leaves no SA, only an event without an SPI.
    turned_away = int((refused["spi_local"] == "").sum())
    dropped = len(state.events("rejected_by_admission"))
    in_ok, in_failed, negotiating_in = _outcomes(state, set(half_open["spi_local"]))
    out_ok, out_failed, negotiating_out = _outcomes(state, begun_out)
    in_rejected = in_failed + turned_away + dropped
    in_total = len(half_open) + turned_away + dropped
    active_out = sum(1 for ike in state.ike_sas if state.lineage(ike)[-1] in begun_out)
    active_in = len(state.ike_sas) - active_out
    challenged = len(state.events("cookie_demanded"))
    answered = int(half_open["spi_i"].isin(state.cookie_bearers()).sum())
    most = f"{settings['max_in_negotiation_incoming']}/{settings['max_in_negotiation_outgoing']}"
    limit = settings["max_sa"]
    return "\n".join(
        [
            _RULE,
            f"{'':26}Crypto IKEv2 SA Statistics",
            _RULE,
            f"System Resource Limit:   {0:<9}Max IKEv2 SAs: {limit:<9}Max in nego(in/out): {most}",
            _sa_count("incoming", active_in, negotiating_in),
            _sa_count("outgoing", active_out, negotiating_out),
            _requests("Incoming", in_total, in_ok, in_rejected),
            _requests("Outgoing", len(begun_out), out_ok, out_failed),
            f"Rejected IKEv2 Requests: {dropped:<9}rsrc low:      {0:<9}SA limit:    {dropped:<8}",
            f"IKEv2 packets dropped at dispatch: {0:<8}",
            f"Incoming Requests dropped as LOW Q limit reached : {0:<8}",
            f"Incoming IKEV2 Cookie Challenged Requests: {challenged:<8}",
            f"    accepted: {answered:<9}rejected: {0:<9}rejected no cookie: {challenged:<8}",
            f"Total Deleted sessions of Cert Revoked Peers: {_revoked(state):<8}",
            "",
        ]
    )


def _revoked(state: Snapshot) -> int:
    """Return how many sessions this end has deleted because the peer's certificate was revoked."""
    closed = state.events("ike_closed")
    up = set(state.events("ike_established", "ike_rekeyed")["spi_local"])
    return int(((closed["cause"] == "certificate revoked") & closed["spi_local"].isin(up)).sum())


def _outcomes(state: Snapshot, begun: set[str]) -> tuple[int, int, int]:
    """Return how many of these first exchanges made an IKE SA, came to nothing, and are on their way."""
    accepted = begun & set(state.events("ike_established")["spi_local"])
    ended = begun & set(state.events("ike_closed", "attempt_failed", "refused")["spi_local"])
    rejected = ended - accepted
    return len(accepted), len(rejected), len(begun - accepted - rejected)


def _sa_count(direction: str, active: int, negotiating: int) -> str:
    total = active + negotiating
    return f"Total {direction} IKEv2 SA Count:    {total:<9}active:        {active:<9}negotiating: {negotiating:<6}"


def _requests(direction: str, total: int, accepted: int, rejected: int) -> str:
    return f"{direction} IKEv2 Requests: {total:<9}accepted:      {accepted:<9}rejected:    {rejected:<8}"
