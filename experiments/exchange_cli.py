"""``flexvpn-sim exchange``: one conversation, message by message, and what it costs."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from ..models.errors import InputError, unknown_name
from .cli_common import AsJson, reports_bad_input
from .exchange_words import MEANINGS

if TYPE_CHECKING:
    from ..models.algorithms import Kem
    from ..models.ikev2.proposals import EspProposal
    from ..models.implementation import ImplementationProfile

ESP_MODES = ("tunnel", "transport")
#: Lengths of a certificate that are believed. [bytes]
CERTIFICATE_MIN_BYTES, CERTIFICATE_MAX_BYTES = 100, 60_000
#: Longest value of a KE payload (RFC 7296 3.2: a payload has at most 65535 bytes). [bytes]
KE_MAX_BYTES = 60_000
#: First number for private use among the key exchange methods (IANA "IKEv2 Transform Type 4").
PRIVATE_METHOD = 1024


@reports_bad_input
def exchange(
    context: typer.Context,
    ike: Annotated[
        str, typer.Option(help="As 'aes256-sha512-modp2048' (strongSwan), 'aes-cbc-256 sha512 14' (IOS) or default.")
    ],
    hardware: Annotated[str, typer.Option(metavar="PROFILE", help="Hardware profile of both routers.")],
    esp: Annotated[
        str | None, typer.Option(help="As 'aes256-sha512' or default; a group in it is that of --pfs.")
    ] = None,
    ah: Annotated[
        str | None, typer.Option(metavar="INTEGRITY", help="AH instead of ESP, as sha256 or ah-sha256-hmac.")
    ] = None,
    ike_version: Annotated[int, typer.Option(metavar="1|2", help="Version of IKE.")] = 2,
    mode: Annotated[
        str | None, typer.Option(metavar="main|aggressive", help="Phase 1 of IKEv1 [default: main].")
    ] = None,
    auth: Annotated[
        str,
        typer.Option(
            help="psk; a certificate at both ends, as rsa2048, ecdsa256 or mldsa65; or EAP against one, as "
            "eap-mschapv2:rsa2048, eap-gtc, eap-md5, eap-tls, anyconnect-eap."
        ),
    ] = "psk",
    eap_identity: Annotated[
        str | None,
        typer.Option(metavar="query|none", help="Whether the responder asks for the EAP identity [default: query]."),
    ] = None,
    eap_offer: Annotated[
        str | None,
        typer.Option(
            metavar="METHODS", help="EAP methods that the responder proposes, in order [default: that of --auth]."
        ),
    ] = None,
    tls: Annotated[str | None, typer.Option(metavar="1.2|1.3", help="Highest of EAP-TLS [default: 1.2].")] = None,
    cert_bytes: Annotated[
        str | None,
        typer.Option(metavar="I,R", help="DER lengths of both certificates, as 812,810; without it an estimate."),
    ] = None,
    ca: Annotated[
        int | None, typer.Option(metavar="N", help="CAs that both ends trust [default: 1, with psk 0].", min=0)
    ] = None,
    chain: Annotated[
        int, typer.Option(metavar="N", help="Intermediate CAs, whose certificates either end sends with its own.")
    ] = 0,
    chain_bytes: Annotated[
        int | None,
        typer.Option(metavar="BYTES", help="DER length of each of their certificates; without it an estimate."),
    ] = None,
    ke: Annotated[
        list[str] | None,
        typer.Option(
            metavar="METHOD",
            help="A key exchange of your own for ke1_NAME in --ike, as "
            "NAME:PUBLIC_BYTES:CIPHERTEXT_BYTES:KEYGEN_US:ENCAPS_US:DECAPS_US.",
        ),
    ] = None,
    fragment: Annotated[
        str | None,
        typer.Option(
            metavar="BYTES|off",
            help="Longest IP packet that is sent whole (RFC 7383); off: fragmentation is not announced "
            "[default: as the implementation does it].",
        ),
    ] = None,
    implementation: Annotated[
        str | None,
        typer.Option(metavar="PROFILE", help="IKEv2 implementation [default: strongswan on Linux, else ios-xe-16.9]."),
    ] = None,
    initiator_implementation: Annotated[
        str | None, typer.Option(metavar="PROFILE", help="That of the initiator, where the ends differ.")
    ] = None,
    responder_implementation: Annotated[
        str | None, typer.Option(metavar="PROFILE", help="That of the responder, where the ends differ.")
    ] = None,
    scenario: Annotated[
        str,
        typer.Option(
            metavar="NAME[,NAME...]",
            help=f"What happens, as 'rekey-child,delete', in this order; 'flexvpn-sim protocol' says what each is: "
            f"{', '.join(MEANINGS)}.",
        ),
    ] = "setup",
    esp_mode: Annotated[str, typer.Option(metavar="MODE", help="tunnel or transport.")] = "tunnel",
    ts: Annotated[
        str,
        typer.Option(
            metavar="SELECTORS",
            help="any (IPv4), any-ipv6, any-dual, or networks as '10.1.0.0/24,2001:db8:1::/64=10.2.0.0/16'.",
        ),
    ] = "any",
    ip: Annotated[int, typer.Option(metavar="4|6", help="IP version in which both ends talk.")] = 4,
    nat: Annotated[bool, typer.Option("--nat", help="As the scenario nat: port 4500 as behind a NAT.")] = False,
    mobike: Annotated[bool, typer.Option("--mobike", help="As the scenario mobike: both ends offer it.")] = False,
    responder_ike: Annotated[
        str | None, typer.Option(metavar="IKE", help="What the responder accepts [default: --ike].")
    ] = None,
    responder_esp: Annotated[
        str | None, typer.Option(metavar="ESP", help="What the responder accepts [default: --esp].")
    ] = None,
    pfs: Annotated[
        str | None, typer.Option(metavar="GROUP", help="Group of perfect forward secrecy, as ecp256 or 19.")
    ] = None,
    initiator_id: Annotated[
        str,
        typer.Option(metavar="ID", help="FQDN, e-mail or IP address, DN as 'C=IT, CN=BR1', or kind:text as fqdn:BR1."),
    ] = "BR1.cptl.local",
    responder_id: Annotated[str, typer.Option(metavar="ID", help="Identity of the responder.")] = "HQ.cptl.local",
    profiles: Annotated[
        list[Path] | None, typer.Option(metavar="DIR", help="Folder with hardware profiles of your own.")
    ] = None,
    samples: Annotated[
        int, typer.Option(metavar="N", help="Parameter sets drawn from the hardware's ranges, for bands of CPU time.")
    ] = 0,
    seed: Annotated[int, typer.Option(help="Seed of the draws.")] = 1,
    pcap: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write a capture, really encrypted, and its keys for Wireshark beside it."),
    ] = None,
    ppk: Annotated[
        str | None,
        typer.Option(metavar="NAME[:required]", help="Post-quantum pre-shared key of both ends (RFC 8784)."),
    ] = None,
    resumption: Annotated[
        str | None,
        typer.Option(metavar="KIND", help="Tickets by which sessions are resumed: value or reference (RFC 5723)."),
    ] = None,
    revocation: Annotated[
        str | None,
        typer.Option(metavar="METHODS", help="How both ends check certificates: crl, ocsp, none, with commas."),
    ] = None,
    crl_delay: Annotated[
        float | None, typer.Option(metavar="S", help="How long a CRL or an OCSP response takes to fetch.")
    ] = None,
    path_mtu: Annotated[
        int | None, typer.Option(metavar="BYTES", help="Longest packet of the path; longer ones become IP fragments.")
    ] = None,
    drops_fragments: Annotated[
        bool, typer.Option("--drops-fragments", help="A middlebox drops IP fragments: what exceeds --path-mtu is lost.")
    ] = False,
    smaller_fragments_after: Annotated[
        int | None,
        typer.Option(metavar="N", help="Sends after which smaller pieces are tried (RFC 7383 2.5.2)."),
    ] = None,
    mermaid: Annotated[bool, typer.Option("--mermaid", help="Print a sequence diagram and nothing else.")] = False,
    as_json: AsJson = False,
) -> None:
    """Print one conversation of IKEv2 or IKEv1, message by message, with the CPU time of every operation at both ends.

    The exit code is 0 when the conversation could be played, whatever its outcome, as a refusal that the scenario asks
    for, and 1 when a path that drops fragments lets a message never arrive.
    """
    from ..hardware.profile_files import load_profile
    from ..models.implementation import load_implementation
    from ..models.notation import parse_ike_list
    from .exchange import exchange as converse
    from .exchange import implementation_for, parse_selectors

    if esp_mode not in ESP_MODES:
        raise unknown_name("mode", esp_mode, ESP_MODES, "--esp-mode")
    if mermaid and as_json:
        raise InputError("one of --mermaid and --json can be printed, not both", "--mermaid")
    if ike_version == 1:
        from . import exchange_ikev1

        exchange_ikev1.check_options(_given(context))
        result = exchange_ikev1.converse(
            tuple(parse_ike_list(ike, "--ike", {})),
            tuple(_esp_proposals(_given_esp(esp), pfs, "--esp", None)),
            load_profile(hardware, profiles or ()),
            mode=mode or "main",
            scenario=scenario,
            nat=nat,
            implementation=implementation,
            initiator_id=initiator_id,
            responder_id=responder_id,
            auth=auth,
            certificate_bytes=_certificate_bytes(cert_bytes),
            authorities=ca,
            selectors=parse_selectors(ts, "--ts"),
            esp_mode="transport" if esp_mode == "transport" else "tunnel",
            fragmentation=fragment != "off",
            fragment_bytes=_fragment_bytes(fragment),
            samples=samples,
            seed=seed,
        )
        _tell(result, mermaid=mermaid, as_json=as_json)
        return
    if ike_version != 2:
        raise InputError(f"found {ike_version}, 1 or 2 is needed", "--ike-version")
    if mode is not None:
        raise InputError("belongs to IKEv1: add --ike-version 1", "--mode")
    added = [name for name, wanted in (("nat", nat), ("mobike", mobike)) if wanted]
    methods = _methods(ke or [])
    router = load_profile(hardware, profiles or ())
    ours, theirs = (
        load_implementation(name or implementation or implementation_for(router))
        for name in (initiator_implementation, responder_implementation)
    )
    result = converse(
        parse_ike_list(ike, "--ike", methods, ours.ike_proposals()),
        _child_proposals(esp, ah, pfs, ours),
        router,
        implementation=initiator_implementation or implementation,
        responder_implementation=responder_implementation or implementation,
        scenario=",".join([scenario, *added]),
        selectors=parse_selectors(ts, "--ts"),
        ip_version=_ip_version(ip),
        responder_ike=None
        if responder_ike is None
        else parse_ike_list(responder_ike, "--responder-ike", methods, theirs.ike_proposals()),
        responder_esp=None if responder_esp is None else _esp_proposals(responder_esp, pfs, "--responder-esp", theirs),
        mode="transport" if esp_mode == "transport" else "tunnel",
        initiator_id=initiator_id,
        responder_id=responder_id,
        auth=auth,
        certificate_bytes=_certificate_bytes(cert_bytes),
        authorities=ca,
        chain=chain,
        chain_bytes=chain_bytes,
        eap_identity=eap_identity,
        eap_offer=eap_offer,
        tls=tls,
        fragmentation=fragment != "off",
        fragment_bytes=_fragment_bytes(fragment),
        samples=samples,
        seed=seed,
        pcap=pcap,
        ppk=ppk,
        path_mtu_bytes=path_mtu,
        drops_fragments=drops_fragments,
        smaller_fragments_after=smaller_fragments_after,
        resumption=_ticket_kind(resumption),
        revocation=revocation,
        crl_delay_s=crl_delay,
    )
    _tell(result, mermaid=mermaid, as_json=as_json)
    raise typer.Exit(1 if result["path"]["failed"] else 0)


def _given(context: typer.Context) -> list[str]:
    """Return the parameters that the command line names."""
    default = ("DEFAULT", "DEFAULT_MAP")
    return [name for name in context.params if getattr(context.get_parameter_source(name), "name", "") not in default]


def _tell(result: dict[str, Any], *, mermaid: bool, as_json: bool) -> None:
    """Print a conversation as it was asked for."""
    if mermaid:
        from .exchange_diagram import mermaid as diagram

        typer.echo(diagram(result))
    elif as_json:
        typer.echo(json.dumps(result, indent=1, allow_nan=False))
    else:
        from .exchange_text import print_exchange

        print_exchange(result)


def _ip_version(number: int) -> Literal[4, 6]:
    if number not in (4, 6):
        raise InputError(f"found {number}, 4 or 6 is needed", "--ip")
    return 6 if number == 6 else 4


def _ticket_kind(text: str | None) -> Literal["value", "reference"] | None:
    if text is None or text == "value":
        return None if text is None else "value"
    if text != "reference":
        raise unknown_name("kind of tickets", text, ("value", "reference"), "--resumption")
    return "reference"


def _certificate_bytes(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    numbers = [word.strip() for word in text.split(",")]
    if len(numbers) != 2 or not all(word.isdecimal() for word in numbers):
        raise InputError(f"found '{text}', two lengths in bytes such as 812,810 are needed", "--cert-bytes")
    initiator, responder = map(int, numbers)
    for length in (initiator, responder):
        if not CERTIFICATE_MIN_BYTES <= length <= CERTIFICATE_MAX_BYTES:
            allowed = f"{CERTIFICATE_MIN_BYTES} to {CERTIFICATE_MAX_BYTES} bytes are allowed"
            raise InputError(f"found {length}, {allowed}", "--cert-bytes")
    return initiator, responder


def _fragment_bytes(text: str | None) -> int | None:
    if text is None or text == "off":
        return None
    if not text.isdecimal():
        raise InputError(f"found '{text}', a length in bytes such as 1280, or off, is needed", "--fragment")
    return int(text)


def _methods(texts: list[str]) -> dict[str, Kem]:
    """Return the key exchanges that the user describes, by name."""
    from ..models.algorithms import Kem

    methods = {}
    for number, text in enumerate(texts):
        name, *rest = text.lower().split(":")
        try:
            public_bytes, ciphertext_bytes, *times_us = (int(rest[0]), int(rest[1]), *map(float, rest[2:]))
            keygen_us, encapsulate_us, decapsulate_us = times_us
        except (IndexError, ValueError):
            example = "bike3:3083:3115:400:80:1500 (bytes, then microseconds)"
            raise InputError(f"found '{text}', a method such as {example} is needed", "--ke") from None
        times_s = (keygen_us * 1e-6, encapsulate_us * 1e-6, decapsulate_us * 1e-6)
        if not re.fullmatch("[a-z0-9_]+", name):
            raise InputError(f"found '{name}', a name of letters, digits and '_' is needed", "--ke")
        if not all(0 < n <= KE_MAX_BYTES for n in (public_bytes, ciphertext_bytes)):
            raise InputError(f"'{text}': 1 to {KE_MAX_BYTES} bytes are allowed", "--ke")
        if not all(0 <= t < math.inf for t in times_s):
            raise InputError(f"'{text}': a time cannot be negative or endless", "--ke")
        methods[name] = Kem(name, PRIVATE_METHOD + number, public_bytes, ciphertext_bytes, times_s)
    return methods


def _child_proposals(
    esp: str | None, ah: str | None, pfs: str | None, speaker: ImplementationProfile
) -> list[EspProposal]:
    """Return what --esp or --ah asks for."""
    from ..models.notation import parse_ah

    if ah is None:
        return _esp_proposals(_given_esp(esp), pfs, "--esp", speaker)
    if esp is not None:
        raise InputError("AH and ESP in one Child SA are not simulated: --esp or --ah, not both", "--ah")
    return [_with_pfs(parse_ah(part, "--ah"), pfs) for part in ah.split(",")]


def _given_esp(esp: str | None) -> str:
    if esp is None:
        raise InputError("what protects the packets is missing: --esp, as aes256-sha512, or --ah, as sha256", "--esp")
    return esp


def _esp_proposals(text: str, pfs: str | None, where: str, speaker: ImplementationProfile | None) -> list[EspProposal]:
    """Return the proposals of a text; ``default`` in it stands for what ``speaker`` offers by itself."""
    from ..models.notation import parse_esp_list

    defaults = () if speaker is None else speaker.esp_proposals()
    return [_with_pfs(proposal, pfs) for proposal in parse_esp_list(text, where, defaults)]


def _with_pfs(esp: EspProposal, pfs: str | None) -> EspProposal:
    from dataclasses import replace

    from ..models.notation import parse_group

    if pfs is None:
        return esp
    group = parse_group(pfs, "--pfs")
    if esp.groups not in ((), (group,)):
        raise InputError(f"'{pfs}' differs from the group of the ESP proposal, '{esp}'", "--pfs")
    return replace(esp, groups=(group,))
