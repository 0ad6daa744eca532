"""``show crypto ipsec sa`` (fact sheet F.6)."""

from __future__ import annotations

from ipaddress import IPv4Address

from ..models.algorithms import ENCRYPTIONS
from ..models.esp import Mode, max_inner_bytes
from .snapshot import Row, Snapshot

#: Path MTU of the underlay; it is not simulated yet.
PATH_MTU = 1500
#: Bits of ``sibling_flags`` as captured outputs suggest them: nothing that Cisco publishes explains the word.
_FLAGS, _TUNNEL_FLAG, _INITIATOR_FLAG = 0xFFFFFFFF80000008, 0x40, 0x4000
_HMAC = {"sha1": "esp-sha-hmac", "md5": "esp-md5-hmac"}


def ipsec_sa(state: Snapshot) -> str:
    """Return the ESP SAs of a router, by tunnel interface."""
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
    lines = [
        f"interface: {interface}",
        f"    Crypto map tag: {interface}-head-0, local addr {local}",
        "",
        "   protected vrf: (none)",
        f"   local  ident (addr/mask/prot/port): {_ident(selectors[0])}",
        f"   remote ident (addr/mask/prot/port): {_ident(selectors[1])}",
        f"   current_peer {remote} port 500",
        "     PERMIT, flags={origin_is_acl,}",
        f"    #pkts encaps: {totals.sent}, #pkts encrypt: {totals.sent}, #pkts digest: {totals.sent}",
        f"    #pkts decaps: {totals.received}, #pkts decrypt: {totals.received}, #pkts verify: {totals.received}",
        "    #pkts compressed: 0, #pkts decompressed: 0",
        "    #pkts not compressed: 0, #pkts compr. failed: 0",
        "    #pkts not decompressed: 0, #pkts decompress failed: 0",
        "    #send errors 0, #recv errors 0",
        "",
        f"     local crypto endpt.: {local}, remote crypto endpt.: {remote}",
        f"     plaintext mtu {_plaintext_mtu(newest)}, path mtu {PATH_MTU}, ip mtu {PATH_MTU},"
        f" ip mtu idb {settings.get('source') or '(none)'}",
        f"     current outbound spi: {_spi(newest['spi_out'] if newest else 0)}",
        f"     PFS (Y/N): {_pfs(newest)}",
        "",
    ]
    for direction in ("inbound", "outbound"):
        lines.append(f"     {direction} esp sas:")
        for child in children:
            lines += _sa(state, interface, child, direction)
        lines += ["", f"     {direction} ah sas:", "", f"     {direction} pcp sas:", ""]
    return "\n".join(lines)


def _ident(selector: str) -> str:
    if not selector:
        return "(0.0.0.0/0.0.0.0/0/0)"
    first, _, rest = selector.partition("-")
    last, _, protocol = rest.partition("/")
    mask = IPv4Address(0xFFFFFFFF ^ int(IPv4Address(first)) ^ int(IPv4Address(last)))
    return f"({first}/{mask}/{protocol}/0)"


def _spi(spi: int) -> str:
    return f"0x{spi:X}({spi})"


def _plaintext_mtu(child: Row | None) -> int:
    if child is None:
        return PATH_MTU
    # What ESP takes in: with GRE that is the GRE packet with its IP header, so that GRE is not taken off here.
    mode: Mode = "transport" if child["mode"] == "transport" else "tunnel"
    return max_inner_bytes(PATH_MTU, child["encryption"], child["integrity"], mode=mode)


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
    # No SA is rekeyed by volume here, so more may have passed than its lifetime allows.
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
        f"        IV size: {ENCRYPTIONS[child['encryption']].iv_bytes} bytes",
        "        replay detection support: Y",
        "        Status: ACTIVE(ACTIVE)",
    ]


def transform(encryption: str, integrity: str) -> str:
    """Return a transform as IOS prints it.

    >>> transform("aes-cbc-256", "sha512")
    'esp-256-aes esp-sha512-hmac'
    >>> transform("aes-gcm-128", "")
    'esp-gcm'
    """
    cipher = ENCRYPTIONS[encryption]
    family = cipher.ios.removeprefix("AES-").lower() if cipher.aead else "aes"
    if cipher.has_key_length:
        name = f"esp-{family}" if cipher.key_bits == 128 else f"esp-{cipher.key_bits}-{family}"
        if cipher.aead and cipher.key_bits != 128:
            name = f"esp-{family} {cipher.key_bits}"
    else:
        name = f"esp-{cipher.name}"
    return f"{name} {_HMAC.get(integrity, f'esp-{integrity}-hmac')}" if integrity else name
