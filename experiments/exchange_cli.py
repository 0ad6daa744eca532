"""``flexvpn-sim exchange | overhead``: what one conversation costs, and what ESP adds to a packet."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..models.errors import InputError, unknown_name
from .cli_common import reports_bad_input

if TYPE_CHECKING:
    from rich.table import Table

    from ..models.ikev2.proposals import EspProposal

REPORT_WIDTH = 150
#: Operations that are named for each message; the rest is added up.
OPERATIONS_SHOWN = 4
#: Path MTU for which the largest inner packet is told. [bytes]
PATH_MTU = 1500
#: Preamble, Ethernet header, check sequence and the gap between two frames. [bytes]
ETHERNET_BYTES = 38
#: Longest IPv4 packet, and the header that each has at least. [bytes]
IP_MAX_BYTES, IP_MIN_BYTES = 65535, 20
MODES = ("tunnel", "transport", "gre")
#: GRE header without key, sequence number and checksum. [bytes]
GRE_BYTES = 4

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]


@reports_bad_input
def exchange(
    ike: Annotated[
        str, typer.Option(help="As 'aes256-sha512-modp2048' (strongSwan) or 'aes-cbc-256 sha512 14' (IOS).")
    ],
    esp: Annotated[str, typer.Option(help="As 'aes256-sha512'; a group in it is that of --pfs.")],
    hardware: Annotated[str, typer.Option(metavar="PROFILE", help="Hardware profile of both routers.")],
    auth: Annotated[str, typer.Option(help="Authentication of both ends; only psk so far.")] = "psk",
    implementation: Annotated[
        str, typer.Option(metavar="PROFILE", help="IKEv2 implementation of both ends.")
    ] = "strongswan",
    scenario: Annotated[str, typer.Option(help="setup, init-only, cookie, rekey-child or rekey-ike.")] = "setup",
    pfs: Annotated[
        str | None, typer.Option(metavar="GROUP", help="Group of perfect forward secrecy, as ecp256 or 19.")
    ] = None,
    initiator_id: Annotated[str, typer.Option(metavar="FQDN", help="Identity of the initiator.")] = "BR1.cptl.local",
    responder_id: Annotated[str, typer.Option(metavar="FQDN", help="Identity of the responder.")] = "HQ.cptl.local",
    profiles: Annotated[
        list[Path] | None, typer.Option(metavar="DIR", help="Folder with hardware profiles of your own.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Print one IKEv2 conversation, message by message, with the CPU time of every operation at both ends."""
    from ..hardware.profile_files import load_profile
    from ..models.notation import parse_esp, parse_ike
    from .exchange import exchange as converse

    _check_authentication(auth)
    result = converse(
        parse_ike(ike, "--ike"),
        _with_pfs(parse_esp(esp, "--esp"), pfs),
        load_profile(hardware, profiles or ()),
        implementation=implementation,
        scenario=scenario,
        initiator_id=initiator_id,
        responder_id=responder_id,
    )
    if as_json:
        typer.echo(json.dumps(result, indent=1, allow_nan=False))
    else:
        _print_exchange(result)


def _check_authentication(auth: str) -> None:
    from .exchange import AUTHENTICATIONS

    if auth == "psk":
        return
    if auth in AUTHENTICATIONS or auth.startswith("eap-"):
        raise InputError(f"'{auth}' is not simulated: certificates and EAP come later, use psk", "--auth")
    raise unknown_name("authentication", auth, AUTHENTICATIONS, "--auth")


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
    what = f"{result['scenario']}: {result['ike']}; ESP {result['esp']}; pre-shared keys"
    _print(what, f"{result['implementation']} on {result['hardware']}, at both ends")
    messages = _table("#", "from", "exchange", "id", "IKE B", "UDP B", "IP B", "payloads")
    work = _table("#", "end", "took", "of which")
    ends = {"i>r": ("initiator", "responder"), "r>i": ("responder", "initiator")}
    for number, row in enumerate(result["messages"], start=1):
        sender, receiver = ends[row["direction"]]
        exchange_name = row["exchange"] + (" response" if row["response"] else " request")
        sizes = (str(row[name]) for name in ("id", "ike_bytes", "udp_len", "ip_len"))
        messages.add_row(str(number), sender, exchange_name, *sizes, row["payloads"])
        for end, verb, side in ((sender, "sends", "sender"), (receiver, "receives", "receiver")):
            if row[f"{side}_operations"]:
                parts = _operations_text(row[f"{side}_operations"])
                work.add_row(str(number), f"{end} {verb}", _ms(row[f"{side}_cpu_s"]), parts)
    _print("Messages", messages)
    _print("The work behind each message", work)
    _print("CPU time", "\n".join(f"{end}: {_ms(result[f'{end}_cpu_s'])}" for end in ("initiator", "responder")))
    lines = [
        f"{len(result['assumed'])} of the {result['values_read']} values behind these times and sizes are assumed."
    ]
    for value in result["assumed"]:
        unit = f" {value['unit']}" if value["unit"] else ""
        lines.append(f"  {value['owner']}: {value['name']} = {value['value']:g}{unit} ({value['spread']})")
    _print("How sure is this", "\n".join(lines))


def _operations_text(operations: list[dict[str, Any]]) -> str:
    """Return the longest operations in words, the others as a sum."""
    longest = sorted(operations, key=lambda row: -row["duration_s"])
    parts = [f"{_ms(row['duration_s'])} {row['operation']}" for row in longest[:OPERATIONS_SHOWN]]
    if longest[OPERATIONS_SHOWN:]:
        parts.append(f"{_ms(sum(row['duration_s'] for row in longest[OPERATIONS_SHOWN:]))} others")
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
    words = {"from", "end", "exchange", "payloads", "of which"}
    for column in columns:
        table.add_column(column, justify="left" if column in words else "right", overflow="fold")
    return table


def _ms(value_s: float) -> str:
    return f"{value_s * 1e3:.3f} ms" if value_s >= 1e-5 else f"{value_s * 1e6:.2f} us"
