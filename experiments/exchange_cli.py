"""``flexvpn-sim exchange | overhead``: what one conversation costs, and what ESP adds to a packet."""

from __future__ import annotations

import json
import math
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..models.errors import InputError, unknown_name
from .cli_common import reports_bad_input

if TYPE_CHECKING:
    from rich.table import Table

    from ..models.algorithms import Kem
    from ..models.ikev2.proposals import EspProposal

REPORT_WIDTH = 150
ENDS = ("initiator", "responder")
#: Operations that are named for each message; the rest is added up.
OPERATIONS_SHOWN = 4
#: Path MTU for which the largest inner packet is told. [bytes]
PATH_MTU = 1500
#: Preamble, Ethernet header, check sequence and the gap between two frames. [bytes]
ETHERNET_BYTES = 38
#: Longest IPv4 packet, and the header that each has at least. [bytes]
IP_MAX_BYTES, IP_MIN_BYTES = 65535, 20
ESP_MODES = ("tunnel", "transport")
MODES = ("tunnel", "transport", "gre")
#: GRE header without key, sequence number and checksum. [bytes]
GRE_BYTES = 4
#: Lengths of a certificate that are believed. [bytes]
CERTIFICATE_MIN_BYTES, CERTIFICATE_MAX_BYTES = 100, 60_000
#: Longest value of a KE payload (RFC 7296 3.2: a payload has at most 65535 bytes). [bytes]
KE_MAX_BYTES = 60_000
#: First number for private use among the key exchange methods (IANA "IKEv2 Transform Type 4").
PRIVATE_METHOD = 1024

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]


@reports_bad_input
def exchange(
    ike: Annotated[
        str, typer.Option(help="As 'aes256-sha512-modp2048' (strongSwan) or 'aes-cbc-256 sha512 14' (IOS).")
    ],
    esp: Annotated[str, typer.Option(help="As 'aes256-sha512'; a group in it is that of --pfs.")],
    hardware: Annotated[str, typer.Option(metavar="PROFILE", help="Hardware profile of both routers.")],
    auth: Annotated[
        str,
        typer.Option(help="psk; a certificate at both ends, as rsa2048, ecdsa256 or mldsa65; or eap-mschapv2:rsa2048."),
    ] = "psk",
    cert_bytes: Annotated[
        str | None,
        typer.Option(metavar="I,R", help="DER lengths of both certificates, as 812,810; without it an estimate."),
    ] = None,
    ca: Annotated[
        int | None, typer.Option(metavar="N", help="CAs that both ends trust [default: 1, with psk 0].", min=0)
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
            help="What happens, as 'rekey-child,delete'. The set-up alone: setup, init-only. Settings of it: cookie, "
            "invalid-ke, no-proposal, no-proposal-child, ts-unacceptable, auth-failed, peer-unreachable, nat, "
            "childless, virtual-ip, redirect-init, mobike, fragment=BYTES. Steps after it, in their order: "
            "rekey-child, rekey-ike, dpd, delete, delete-by-responder, delete-child, delete-child-then-ike, "
            "second-child, mobike-move, redirect.",
        ),
    ] = "setup",
    esp_mode: Annotated[str, typer.Option(metavar="MODE", help="tunnel or transport.")] = "tunnel",
    ts: Annotated[
        str, typer.Option(metavar="SELECTORS", help="any, or networks as '10.1.0.0/24,10.1.8.0/24=10.2.0.0/16'.")
    ] = "any",
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
        typer.Option(
            metavar="ID", help="FQDN, e-mail or IPv4 address, DN as 'C=IT, CN=BR1', or kind:text as fqdn:BR1."
        ),
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
    mermaid: Annotated[bool, typer.Option("--mermaid", help="Print a sequence diagram and nothing else.")] = False,
    as_json: AsJson = False,
) -> None:
    """Print one IKEv2 conversation, message by message, with the CPU time of every operation at both ends."""
    from ..hardware.profile_files import load_profile
    from ..models.notation import parse_ike_list
    from .exchange import exchange as converse
    from .exchange import parse_selectors

    if esp_mode not in ESP_MODES:
        raise unknown_name("mode", esp_mode, ESP_MODES, "--esp-mode")
    if mermaid and as_json:
        raise InputError("one of --mermaid and --json can be printed, not both", "--mermaid")
    added = [name for name, wanted in (("nat", nat), ("mobike", mobike)) if wanted]
    methods = _methods(ke or [])
    result = converse(
        parse_ike_list(ike, "--ike", methods),
        _esp_proposals(esp, pfs, "--esp"),
        load_profile(hardware, profiles or ()),
        implementation=initiator_implementation or implementation,
        responder_implementation=responder_implementation or implementation,
        scenario=",".join([scenario, *added]),
        selectors=parse_selectors(ts, "--ts"),
        responder_ike=None if responder_ike is None else parse_ike_list(responder_ike, "--responder-ike", methods),
        responder_esp=None if responder_esp is None else _esp_proposals(responder_esp, pfs, "--responder-esp"),
        mode="transport" if esp_mode == "transport" else "tunnel",
        initiator_id=initiator_id,
        responder_id=responder_id,
        auth=auth,
        certificate_bytes=_certificate_bytes(cert_bytes),
        authorities=ca,
        fragmentation=fragment != "off",
        fragment_bytes=_fragment_bytes(fragment),
        samples=samples,
        seed=seed,
        pcap=pcap,
    )
    if mermaid:
        from .exchange_diagram import mermaid as diagram

        typer.echo(diagram(result))
    elif as_json:
        typer.echo(json.dumps(result, indent=1, allow_nan=False))
    else:
        _print_exchange(result)


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


def _esp_proposals(text: str, pfs: str | None, where: str) -> list[EspProposal]:
    from ..models.notation import parse_esp_list

    return [_with_pfs(proposal, pfs) for proposal in parse_esp_list(text, where)]


def _with_pfs(esp: EspProposal, pfs: str | None) -> EspProposal:
    from dataclasses import replace

    from ..models.notation import parse_group

    if pfs is None:
        return esp
    group = parse_group(pfs, "--pfs")
    if esp.groups not in ((), (group,)):
        raise InputError(f"'{pfs}' differs from the group of the ESP proposal, '{esp}'", "--pfs")
    return replace(esp, groups=(group,))


def _print_exchange(result: dict[str, Any]) -> None:
    what = f"{result['scenario']}: {result['ike']}; ESP {result['esp']}; {_authentication(result)}"
    names = (result["implementation"], result["responder_implementation"])
    speaking = names[0] if names[0] == names[1] else f"{names[0]} (initiator) and {names[1]} (responder)"
    _print(what, f"{speaking} on {result['hardware']}, at both ends")
    messages = _table("#", "phase", "sent at", "from", "exchange", "id", "UDP B", "IP B", "payloads")
    work = _table("#", "end", "took", "of which")
    ends = {"i>r": ("initiator", "responder"), "r>i": ("responder", "initiator")}
    for number, row in enumerate(result["messages"], start=1):
        sender, receiver = ends[row["direction"]]
        exchange_name = row["exchange"] + (" response" if row["response"] else " request")
        if row["transmission"]:
            exchange_name += " again"
        sizes = (str(row[name]) for name in ("msgid", "udp_len", "ip_len"))
        messages.add_row(str(number), row["phase"], _at(row["t_s"]), sender, exchange_name, *sizes, row["payloads"])
        for end, verb, side in ((sender, "sends", "sender"), (receiver, "receives", "receiver")):
            if row[f"{side}_operations"]:
                parts = _operations_text(row[f"{side}_operations"])
                work.add_row(str(number), f"{end} {verb}", _ms(row[f"{side}_cpu_s"]), parts)
    _print("Messages", messages)
    _print("The work behind each message", work)
    _print("CPU time", "\n".join([*(_cpu_text(result, end) for end in ENDS), *_phase_lines(result)]))
    _print("Outcome", "\n".join(_outcome_lines(result)))
    lines = [
        f"{len(result['assumed'])} of the {result['values_read']} values behind these times and sizes are assumed."
    ]
    for value in result["assumed"]:
        unit = f" {value['unit']}" if value["unit"] else ""
        lines.append(f"  {value['owner']}: {value['name']} = {value['value']:g}{unit} ({value['spread']})")
    _print("How sure is this", "\n".join(lines))
    if "capture" in result:
        _print("Capture", "\n".join(_capture_lines(result["capture"])))


def _capture_lines(capture: dict[str, Any]) -> list[str]:
    """Return what was written, how Wireshark reads it, and what is not real in it."""
    table, *others = capture["tables"]
    lines = [
        f"{capture['packets']} packets in {capture['pcap']}; keys for Wireshark in {table}",
        "  Copy it as 'ikev2_decryption_table' into Wireshark's folder of settings.",
    ]
    return lines + [f"  {other}" for other in others] + [f"  {note}" for note in capture["notes"]]


def _cpu_text(result: dict[str, Any], end: str) -> str:
    text = f"{end}: {_ms(result[f'{end}_cpu_s'])}"
    if "samples" not in result:
        return text
    median, low, high = (_ms(result[f"{end}_cpu_{name}_s"]) for name in ("median", "low", "high"))
    return f"{text}; over {result['samples']} parameter sets {median} (5 % to 95 %: {low} to {high})"


def _phase_lines(result: dict[str, Any]) -> list[str]:
    """Return the CPU time of both ends in each phase, where there are several."""
    if len(result["phases"]) == 1:
        return []
    return [
        f"  {phase}: " + ", ".join(f"{end} {_ms(times[f'{end}_cpu_s'])}" for end in ENDS)
        for phase, times in result["phases"].items()
    ]


def _outcome_lines(result: dict[str, Any]) -> list[str]:
    """Return which SAs are left at either end, and what was refused or given up."""
    lines = [f"{end}: IKE SAs {sas['ike']}, Child SAs {sas['child']}" for end, sas in result["sas"].items()]
    for event in result["events"]:
        if event["cause"]:
            notify = f" ({event['notify']})" if event["notify"] else ""
            lines.append(f"  {_at(event['t_s'])} {event['end']}: {event['event']}: {event['cause']}{notify}")
    return lines


def _at(time_s: float) -> str:
    return f"{time_s:.3f} s" if time_s >= 1 else f"{time_s * 1e3:.3f} ms"


def _authentication(result: dict[str, Any]) -> str:
    """Return in words how both ends authenticate."""
    method, _, algorithm = result["auth"].rpartition(":")
    if algorithm == "psk":
        return "pre-shared keys"
    initiator, responder = result["certificate_bytes"]
    if method:
        return f"{method} against an {algorithm} certificate of {responder} bytes"
    return f"{algorithm} certificates of {initiator} and {responder} bytes"


def _operations_text(operations: list[dict[str, Any]]) -> str:
    """Return the longest operations in words, the others as a sum; equal ones are counted together."""
    durations_s: dict[str, list[float]] = {}
    for row in operations:
        durations_s.setdefault(row["operation"], []).append(row["duration_s"])
    longest = sorted(durations_s.items(), key=lambda item: -sum(item[1]))
    parts = [
        f"{_ms(sum(times))} {f'{len(times)} x ' if len(times) > 1 else ''}{name}"
        for name, times in longest[:OPERATIONS_SHOWN]
    ]
    if longest[OPERATIONS_SHOWN:]:
        parts.append(f"{_ms(sum(sum(times) for _, times in longest[OPERATIONS_SHOWN:]))} others")
    return ", ".join(parts)


@reports_bad_input
def overhead(
    esp: Annotated[str, typer.Option(help="As 'aes256-sha512' (strongSwan) or 'esp-gcm 256' (IOS).")],
    mode: Annotated[
        str, typer.Option(help="tunnel, transport (host to host) or gre (GRE in transport mode).")
    ] = "tunnel",
    nat_t: Annotated[bool, typer.Option("--nat-t", help="UDP encapsulation on port 4500.")] = False,
    inner: Annotated[
        str, typer.Option(metavar="BYTES[,BYTES...]", help="Lengths of inner IP packets with their headers.")
    ] = "64,576,1400",
    as_json: AsJson = False,
) -> None:
    """Print how long an IPv4 packet is once ESP has wrapped it (lengths with the IP header)."""
    from ..models.esp import Mode, esp_packet_bytes, max_inner_bytes
    from ..models.notation import parse_esp

    proposal = parse_esp(esp, "--esp")
    if mode not in MODES:
        raise unknown_name("mode", mode, MODES, "--mode")
    esp_mode: Mode = "tunnel" if mode == "tunnel" else "transport"
    gre = GRE_BYTES if mode == "gre" else 0
    rows = []
    for size in _sizes(inner):
        outer = esp_packet_bytes(
            size, proposal.encryption, proposal.integrity, mode=esp_mode, nat_t=nat_t, gre_bytes=gre
        )
        if outer > IP_MAX_BYTES:
            raise InputError(f"{size} bytes become {outer}, more than an IP packet holds ({IP_MAX_BYTES})", "--inner")
        rows.append({"inner": size, "outer": outer})
    if as_json:
        typer.echo(json.dumps({"sizes": rows}, indent=1))
        return
    table = _table("inner B", "outer B", "overhead B", "efficiency", "on Ethernet")
    for row in rows:
        size, outer = row["inner"], row["outer"]
        shares = (f"{size / outer:.1%}", f"{size / (outer + ETHERNET_BYTES):.1%}")
        table.add_row(str(size), str(outer), str(outer - size), *shares)
    _print(f"ESP {proposal}, {mode}{', NAT traversal' if nat_t else ''}", table)
    longest = max_inner_bytes(
        PATH_MTU, proposal.encryption, proposal.integrity, mode=esp_mode, nat_t=nat_t, gre_bytes=gre
    )
    _print(f"Largest inner packet at MTU {PATH_MTU}", f"{longest} bytes")


def _sizes(text: str) -> list[int]:
    """Return the sizes of a list with commas. [bytes]"""
    sizes = []
    for word in text.split(","):
        try:
            size = int(word)
        except ValueError:
            raise InputError(f"found '{word.strip()}', a list of bytes such as 64,1400 is needed", "--inner") from None
        if not IP_MIN_BYTES <= size <= IP_MAX_BYTES:
            message = f"found {size}, an IP packet has {IP_MIN_BYTES} to {IP_MAX_BYTES} bytes"
            raise InputError(message, "--inner")
        sizes.append(size)
    return sizes


def _print(heading: str, content: str | Table) -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console(width=None if sys.stdout.isatty() else REPORT_WIDTH, highlight=False, soft_wrap=False)
    console.print(Text(heading, style="bold"))
    console.print(Text(content) if isinstance(content, str) else content)
    console.print()


def _table(*columns: str) -> Table:
    """Return an empty table; what is no name or text stands to the right."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    words = {"phase", "from", "end", "exchange", "payloads", "of which"}
    for column in columns:
        table.add_column(column, justify="left" if column in words else "right", overflow="fold")
    return table


def _ms(value_s: float) -> str:
    return f"{value_s * 1e3:.3f} ms" if value_s >= 1e-5 else f"{value_s * 1e6:.2f} us"
