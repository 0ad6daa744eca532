"""``show crypto ipsec sa`` (fact sheet F.6)."""

from __future__ import annotations

from ipaddress import IPv4Address, ip_address

from ..models import ah
from ..models.algorithms import ENCRYPTIONS
from ..models.esp import IP_BYTES, Mode, max_inner_bytes
from ..models.topology import LINK_MTU_BYTES
from .snapshot import Row, Snapshot

#: Bits of ``sibling_flags`` as captured outputs suggest them: nothing that Cisco publishes explains the word.
_FLAGS, _TUNNEL_FLAG, _INITIATOR_FLAG = 0xFFFFFFFF80000008, 0x40, 0x4000
_HMAC = {"sha1": "esp-sha-hmac", "md5": "esp-md5-hmac"}


def ipsec_sa(state: Snapshot) -> str:
    """Return the ESP and AH SAs of a router, by tunnel interface."""
    blocks = []
    for interface, settings in state.settings()["interfaces"].items():
        own = [c for c in state.child_sas if c["interface"] == interface]
        if own or interface.startswith("Tunnel"):
            blocks.append(_interface(state, interface, settings, own))
    cloned = dict.fromkeys(c["interface"] for c in state.child_sas if c["interface"].startswith("Virtual-Access"))
    template: Row = next((s for n, s in state.settings()["interfaces"].items() if n.startswith("Virtual-Template")), {})
    for interface in cloned:
        own = [c for c in state.child_sas if c["interface"] == interface]
        blocks.append(_interface(state, interface, template, own))
    return "\n".join(blocks)


def _interface(state: Snapshot, interface: str, settings: Row, children: list[Row]) -> str:
    ike = next((s for s in reversed(state.ike_sas) if s["interface"] == interface), None)
    local = ike["local_address"] if ike else settings.get("local_address") or "0.0.0.0"
    remote = ike["remote_address"] if ike else settings.get("remote_address") or "0.0.0.0"
    newest = children[-1] if children else None
    selectors = (newest["local_selectors"], newest["remote_selectors"]) if newest else ("", "")
    totals = state.interface_counters(interface, newest["peer"] if newest else "")
    # AH has nothing to encrypt; an interface is taken to have had one protocol all the time.
    encrypts = newest is None or newest["encryption"] != ""
    path_mtu = settings.get("path_mtu") or LINK_MTU_BYTES
    lines = [
        f"interface: {interface}",
        f"    Crypto map tag: {interface}-head-0, local addr {local}",
        "",
        "   protected vrf: (none)",
        *(f"   local  ident (addr/mask/prot/port): {_ident(one)}" for one in selectors[0].split() or [""]),
        *(f"   remote ident (addr/mask/prot/port): {_ident(one)}" for one in selectors[1].split() or [""]),
        f"   current_peer {remote} port 500",
        "     PERMIT, flags={origin_is_acl,}",
        f"    #pkts encaps: {totals.sent}, #pkts encrypt: {totals.sent * encrypts}, #pkts digest: {totals.sent}",
        f"    #pkts decaps: {totals.received}, #pkts decrypt: {totals.received * encrypts},"
        f" #pkts verify: {totals.received}",
        "    #pkts compressed: 0, #pkts decompressed: 0",
        "    #pkts not compressed: 0, #pkts compr. failed: 0",
        "    #pkts not decompressed: 0, #pkts decompress failed: 0",
        f"    #send errors 0, #recv errors {totals.late}",
        "",
        f"     local crypto endpt.: {local}, remote crypto endpt.: {remote}",
        f"     plaintext mtu {_plaintext_mtu(newest, path_mtu)}, path mtu {path_mtu}, ip mtu {path_mtu},"
        f" ip mtu idb {settings.get('source') or '(none)'}",
        f"     current outbound spi: {_spi(newest['spi_out'] if newest else 0)}",
        f"     PFS (Y/N): {_pfs(newest)}",
        "",
    ]
    for direction in ("inbound", "outbound"):
        for protocol in ("esp", "ah"):
            lines.append(f"     {direction} {protocol} sas:")
            for child in children:
                if bool(child["encryption"]) == (protocol == "esp"):
                    lines += _sa(state, interface, child, direction)
            lines.append("")
        lines += [f"     {direction} pcp sas:", ""]
    return "\n".join(lines)


def _ident(selector: str) -> str:
    if not selector:
        return "(0.0.0.0/0.0.0.0/0/0)"
    first, _, rest = selector.partition("-")
    last, _, protocol = rest.partition("/")
    low, high = ip_address(first), ip_address(last)
    if low.version == 6:
        # IOS writes the length of an IPv6 prefix where a mask stands for IPv4.
        return f"({first}/{128 - (int(low) ^ int(high)).bit_length()}/{protocol}/0)"
    mask = IPv4Address(0xFFFFFFFF ^ int(low) ^ int(high))
    return f"({first}/{mask}/{protocol}/0)"


def _spi(spi: int) -> str:
    return f"0x{spi:X}({spi})"


def _plaintext_mtu(child: Row | None, path_mtu: int) -> int:
    if child is None:
        return path_mtu
    # What ESP takes in: with GRE that is the GRE packet with its IP header, so that GRE is not taken off here.
    mode: Mode = "transport" if child["mode"] == "transport" else "tunnel"
    if not child["encryption"]:
        # The IP header of transport mode is the packet's own.
        outer = 0 if mode == "transport" else IP_BYTES
        return path_mtu - outer - ah.header_bytes(child["integrity"])
    return max_inner_bytes(path_mtu, child["encryption"], child["integrity"], mode=mode)


def _pfs(child: Row | None) -> str:
    group = child["pfs_group"] if child else 0
    return f"Y, DH group: group{group}" if group else "N, DH group: none"


def _sa(state: Snapshot, interface: str, child: Row, direction: str) -> list[str]:
    inbound = direction == "inbound"
    counters = state.counters(child)
    used = counters.received_kilobytes if inbound else counters.sent_kilobytes
    conn = state.conn_id(child) + (not inbound)
    flow = f"flow_id: ESG:{conn - 2000}"
    left_s = int(child["lifetime_s"] - (state.time_s - child["installed_s"]))
    # Packets in clear count, and rekeys by volume those that are encrypted: a little more than allowed may have passed.
    left_kilobytes = max(child["lifetime_kilobytes"] - used, 0)
    timing = [f"        sa timing: remaining key lifetime (k/sec): ({left_kilobytes}/{left_s})"]
    if not child["lifetime_kilobytes"]:
        timing = [
            f"        sa timing: remaining key lifetime (sec): {left_s}",
            "        Kilobyte Volume Rekey has been disabled",
        ]
    flags = _FLAGS | (_TUNNEL_FLAG if child["mode"] == "tunnel" else 0) | (_INITIATOR_FLAG if child["initiator"] else 0)
    return [
        f"      spi: {_spi(child['spi_in'] if inbound else child['spi_out'])}",
        f"        transform: {transform(child['encryption'], child['integrity'])} ,",
        f"        in use settings ={{{child['mode'].capitalize()}, }}",
        f"        conn id: {conn}, {flow}, sibling_flags {flags:016X}, crypto map: {interface}-head-0",
        *timing,
        *([f"        IV size: {ENCRYPTIONS[child['encryption']].iv_bytes} bytes"] if child["encryption"] else []),
        "        replay detection support: Y",
        "        Status: ACTIVE(ACTIVE)",
    ]


def transform(encryption: str, integrity: str) -> str:
    """Return a transform as IOS prints it.

    >>> transform("aes-cbc-256", "sha512")
    'esp-256-aes esp-sha512-hmac'
    >>> transform("aes-gcm-128", "")
    'esp-gcm'
    >>> transform("", "sha1")
    'ah-sha-hmac'
    """
    if not encryption:
        return _HMAC.get(integrity, f"esp-{integrity}-hmac").replace("esp-", "ah-")
    cipher = ENCRYPTIONS[encryption]
    family = cipher.ios.removeprefix("AES-").lower() if cipher.aead else "aes"
    if cipher.has_key_length:
        name = f"esp-{family}" if cipher.key_bits == 128 else f"esp-{cipher.key_bits}-{family}"
        if cipher.aead and cipher.key_bits != 128:
            name = f"esp-{family} {cipher.key_bits}"
    else:
        name = f"esp-{cipher.name}"
    return f"{name} {_HMAC.get(integrity, f'esp-{integrity}-hmac')}" if integrity else name
