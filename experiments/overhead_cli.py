"""``flexvpn-sim overhead``: what a tunnel adds to a packet, and what leaves when the path is too narrow."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, cast, get_args

import typer

from ..models.errors import InputError, unknown_name
from .cli_common import AsJson, plain_table, print_section, reports_bad_input

if TYPE_CHECKING:
    from ..models.encapsulation import Carrier, Encapsulation, IpVersion
    from ..models.esp import Mode
    from ..models.path_mtu import Passage, TunnelPath

#: Path MTU unless told otherwise. [bytes]
PATH_MTU = 1500
#: Preamble, Ethernet header, check sequence and the gap between two frames. [bytes]
ETHERNET_BYTES = 38
#: Longest IP packet. [bytes]
IP_MAX_BYTES = 65535
#: Carrier and ESP mode behind each word of ``--mode``.
MODES: dict[str, tuple[str, str]] = {
    "tunnel": ("native", "tunnel"),
    "transport": ("host", "transport"),
    "gre": ("gre", "transport"),
    "gre-tunnel": ("gre", "tunnel"),
    "l2tp": ("l2tp", "transport"),
}
FAMILIES: dict[str, tuple[int, ...]] = {"4": (4,), "6": (6,), "both": (4, 6)}


@reports_bad_input
def overhead(
    esp: Annotated[
        str | None, typer.Option(help="As 'aes256-sha512' (strongSwan) or 'esp-gcm 256' (IOS); without it no ESP.")
    ] = None,
    ah: Annotated[
        str | None, typer.Option(metavar="INTEGRITY", help="Authentication Header, as sha256 or ah-sha256-hmac.")
    ] = None,
    mode: Annotated[
        str | None,
        typer.Option(
            help="tunnel, transport (host to host), gre (GRE in transport mode), gre-tunnel (in tunnel mode) or l2tp "
            "[default: tunnel, with --gre gre]."
        ),
    ] = None,
    gre: Annotated[bool, typer.Option("--gre", help="GRE inside; in transport mode unless --mode tunnel.")] = False,
    gre_key: Annotated[bool, typer.Option("--gre-key", help="GRE with a key.")] = False,
    gre_sequence: Annotated[bool, typer.Option("--gre-sequence", help="GRE with a sequence number.")] = False,
    gre_checksum: Annotated[bool, typer.Option("--gre-checksum", help="GRE with a checksum.")] = False,
    nat_t: Annotated[bool, typer.Option("--nat-t", "--nat", help="UDP encapsulation on port 4500.")] = False,
    outer: Annotated[str, typer.Option("--outer", "--outer-ip", metavar="4|6", help="IP version outside.")] = "4",
    inner_ip: Annotated[
        str | None,
        typer.Option(
            "--inner-ip", metavar="4|6|both", help="IP version inside [default: 4, between hosts as outside]."
        ),
    ] = None,
    dual_overlay: Annotated[
        bool,
        typer.Option("--dual-overlay", help="A selector of each family in one SA (tunnel mode ipsec dual-overlay)."),
    ] = False,
    inner: Annotated[
        str, typer.Option(metavar="BYTES[,BYTES...]", help="Lengths of inner IP packets with their headers.")
    ] = "64,576,1400",
    path_mtu: Annotated[int, typer.Option(metavar="BYTES", help="MTU of the path between the ends.")] = PATH_MTU,
    link_mtu: Annotated[
        int | None, typer.Option(metavar="BYTES", help="MTU of the router's own link [default: --path-mtu].")
    ] = None,
    no_pmtud: Annotated[
        bool, typer.Option("--no-pmtud", help="No path MTU discovery: the router knows the MTU of its own link alone.")
    ] = False,
    ip_mtu: Annotated[
        int | None, typer.Option(metavar="BYTES", help="'ip mtu' of the tunnel interface [default: what fits].")
    ] = None,
    fragment: Annotated[
        str, typer.Option(metavar="before|after", help="Encryption: cut before or after it.")
    ] = "before",
    df: Annotated[str, typer.Option(metavar="copy|set|clear", help="The DF bit of the outer header.")] = "copy",
    inner_df: Annotated[bool, typer.Option("--inner-df", help="The inner packets have the DF bit.")] = False,
    as_json: AsJson = False,
) -> None:
    """Print how long a packet is once ESP, AH or GRE has wrapped it, and what leaves (lengths with the IP header)."""
    from ..models.path_mtu import DfPolicy, TunnelPath, When, advice, passage

    options = sum((gre_key, gre_sequence, gre_checksum))
    wrapped = _encapsulation(
        esp, ah, mode, options, outer, inner_ip, gre=gre or options > 0, nat_t=nat_t, dual=dual_overlay
    )
    for word, allowed, where in ((fragment, get_args(When), "--fragment"), (df, get_args(DfPolicy), "--df")):
        if word not in allowed:
            raise unknown_name("choice", word, allowed, where)
    link = path_mtu if link_mtu is None else link_mtu
    tunnel = TunnelPath(wrapped, link, path_mtu, not no_pmtud, ip_mtu, cast(When, fragment), cast(DfPolicy, df))
    version: IpVersion = wrapped.inner[0]
    rows = []
    for size in _sizes(inner, wrapped.smallest_inner_bytes):
        length = wrapped.packet_bytes(size)
        if length > IP_MAX_BYTES:
            raise InputError(f"{size} bytes become {length}, more than an IP packet holds ({IP_MAX_BYTES})", "--inner")
        rows.append((size, length, passage(tunnel, size, df=inner_df, version=version)))
    advised = advice(tunnel)
    if as_json:
        typer.echo(
            json.dumps(
                _as_json(wrapped, tunnel, rows)
                | {"advised": {"ip_mtu": advised.ip_mtu, "adjust_mss": advised.adjust_mss}},
                indent=1,
            )
        )
        return
    table = plain_table("inner B", "outer B", "overhead B", "efficiency", "on Ethernet", "what leaves")
    for size, length, passed in rows:
        shares = (f"{size / length:.1%}", f"{size / (length + ETHERNET_BYTES):.1%}")
        table.add_row(str(size), str(length), str(length - size), *shares, _leaves(passed))
    print_section(str(wrapped), table)
    print_section(f"Largest inner packet at MTU {path_mtu}", f"{advised.ip_mtu} bytes")
    print_section("So that nothing is cut", f"ip mtu {advised.ip_mtu}, ip tcp adjust-mss {advised.adjust_mss}")


def _encapsulation(
    esp: str | None,
    ah: str | None,
    mode: str | None,
    gre_options: int,
    outer: str,
    inner_ip: str | None,
    *,
    gre: bool,
    nat_t: bool,
    dual: bool,
) -> Encapsulation:
    from ..models.encapsulation import Encapsulation
    from ..models.ikev2.children import suite_of
    from ..models.notation import parse_esp, parse_integrity

    if esp is None and ah is None and not gre and mode not in ("gre", "l2tp"):
        raise InputError("nothing to add: --esp, --ah or --gre is needed", "--esp")
    if mode is None:
        mode = "gre" if gre else "tunnel"
    if mode not in MODES:
        raise unknown_name("mode", mode, MODES, "--mode")
    if gre and mode in ("tunnel", "transport"):
        mode = "gre-tunnel" if mode == "tunnel" else "gre"
    if gre and mode == "l2tp":
        raise InputError("GRE and L2TP are not put into each other", "--mode")
    for text, allowed, where in ((outer, ("4", "6"), "--outer"), (inner_ip or "4", FAMILIES, "--inner-ip")):
        if text not in allowed:
            raise unknown_name("IP version", text, allowed, where)
    suite = None if esp is None else suite_of(parse_esp(esp, "--esp", authenticated=ah is not None))
    carrier, esp_mode = MODES[mode]
    families = FAMILIES[inner_ip or (outer if carrier == "host" else "4")]
    return Encapsulation(
        "" if suite is None else suite.encryption,
        "" if suite is None else suite.integrity,
        "" if ah is None else parse_integrity(ah, "--ah"),
        cast("Carrier", carrier),
        cast("Mode", esp_mode),
        gre_options,
        cast("IpVersion", int(outer)),
        cast("tuple[IpVersion, ...]", families),
        dual,
        nat_t,
    )


def _as_json(wrapped: Encapsulation, tunnel: TunnelPath, rows: Sequence[tuple[int, int, Passage]]) -> dict[str, Any]:
    return {
        "encapsulation": str(wrapped),
        "path_mtu": tunnel.path_mtu,
        "largest_inner": wrapped.max_inner_bytes(tunnel.path_mtu),
        "sizes": [
            {
                "inner": size,
                "outer": length,
                "fate": passed.fate,
                "encrypted": list(passed.inner),
                "packets": [list(pieces) for pieces in passed.outer],
                "told_mtu": passed.told_mtu or None,
                "reassembled_by": passed.reassembled_by,
            }
            for size, length, passed in rows
        ],
    }


def _leaves(passed: Passage) -> str:
    """Return in words what becomes of a packet."""
    if passed.fate == "too big":
        return f"refused, ICMP tells MTU {passed.told_mtu}"
    if passed.fate == "black hole":
        return "lost on the path: nobody tells the sender"
    pieces = " | ".join(" + ".join(map(str, packets)) for packets in passed.outer)
    return pieces if passed.reassembled_by == "nobody" else f"{pieces} (reassembled by {passed.reassembled_by})"


def _sizes(text: str, smallest: int) -> list[int]:
    """Return the sizes of a list with commas. [bytes]"""
    sizes = []
    for word in text.split(","):
        try:
            size = int(word)
        except ValueError:
            raise InputError(f"found '{word.strip()}', a list of bytes such as 64,1400 is needed", "--inner") from None
        if not smallest <= size <= IP_MAX_BYTES:
            message = f"found {size}, an IP packet has {smallest} to {IP_MAX_BYTES} bytes"
            raise InputError(message, "--inner")
        sizes.append(size)
    return sizes
