"""``interface ...``: addresses and tunnels; physical settings, NHRP and QoS are listed as not understood."""

from __future__ import annotations

from ipaddress import AddressValueError, IPv6Address

from ..errors import unknown_name
from .arguments import Arguments, NotUnderstood, looks_like_address, parse_address, unique
from .config import Interface, RouterConfig
from .modes import Mode, Section

INTERFACE = Mode("interface")

_TUNNEL_KINDS = {"gre": ("ip", "ipv6", "multipoint"), "ipsec": ("ipv4", "ipv6", "dual-overlay")}
#: Tunnel modes of IOS that carry no IPsec of their own.
_OTHER_TUNNEL_KINDS = ("ipip", "ipv6", "ipv6ip", "mpls", "ethernet", "vxlan", "udp", "l2tp", "sdwan", "eon")


def _interface(router: RouterConfig, args: Arguments) -> Section | None:
    if args.peek().lower() == "range":
        raise NotUnderstood
    name = args.interface()
    if args.negated:
        router.interfaces.pop(name, None)
        return None
    return Section(INTERFACE, router.interfaces.setdefault(name, Interface(name, args.line)))


@INTERFACE.on("description", clears=("description",))
def _description(interface: Interface, args: Arguments) -> None:
    interface.description = args.rest()


@INTERFACE.on("ip address", undo=True)
def _ip_address(interface: Interface, args: Arguments) -> None:
    if args.negated:
        _remove_address(interface, args)
        return
    if args.optional("negotiated"):
        interface.address_negotiated, interface.address_line = True, args.line
        return
    if args.optional("dhcp"):
        interface.address_dhcp, interface.address_line = True, args.line
        return
    if args.optional("pool"):
        raise NotUnderstood
    address = args.ipv4_interface()
    if args.optional("secondary"):
        if address not in interface.addresses:
            interface.addresses.append(address)
        return
    interface.addresses = [address, *interface.addresses[1:]]
    interface.address_negotiated = interface.address_dhcp = False
    interface.unnumbered = interface.unnumbered_line = None
    interface.address_line = args.line


def _remove_address(interface: Interface, args: Arguments) -> None:
    if args.more and looks_like_address(args.peek()):
        gone = args.ipv4_interface()
        interface.addresses = [kept for kept in interface.addresses if kept != gone]
        return
    interface.addresses = []
    interface.address_negotiated = interface.address_dhcp = False
    interface.address_line = None


@INTERFACE.on("ip unnumbered", clears=("unnumbered", "unnumbered_line"))
def _unnumbered(interface: Interface, args: Arguments) -> None:
    interface.unnumbered, interface.unnumbered_line = args.interface(), args.line


@INTERFACE.on("ipv6 address", undo=True)
def _ipv6_address(interface: Interface, args: Arguments) -> None:
    if args.negated and not args.more:
        interface.addresses_v6 = []
        return
    if ":" not in args.peek() or "/" not in args.peek():
        raise NotUnderstood  # autoconfig, dhcp, link-local, a general prefix
    address = args.ipv6_interface("IPv6 address")
    kept = [old for old in interface.addresses_v6 if old != address]
    interface.addresses_v6 = kept if args.negated else [*kept, address]


@INTERFACE.on("vrf forwarding", "ip vrf forwarding", clears=("vrf",))
def _vrf(interface: Interface, args: Arguments) -> None:
    interface.vrf = args.name("a VRF name")


@INTERFACE.on("shutdown", undo=True)
def _shutdown(interface: Interface, args: Arguments) -> None:
    interface.shutdown = not args.negated


@INTERFACE.on("bandwidth", clears=("bandwidth_kbps",))
def _bandwidth(interface: Interface, args: Arguments) -> None:
    if not args.peek()[:1].isdigit():
        raise NotUnderstood  # inherit, receive, qos-reference
    interface.bandwidth_kbps = args.number("bandwidth in kbit/s", 1, 1_000_000_000)


@INTERFACE.on("ip mtu", clears=("ip_mtu",))
def _ip_mtu(interface: Interface, args: Arguments) -> None:
    interface.ip_mtu = args.number("ip mtu", 68, 65535)


@INTERFACE.on("ip tcp adjust-mss", clears=("adjust_mss",))
def _adjust_mss(interface: Interface, args: Arguments) -> None:
    # 28 = the smallest IPv4 MTU of 68 bytes less two headers of 20; platforms allow less (500 and up).
    interface.adjust_mss = args.number("adjust-mss", 28, 65535)


def _endpoint(args: Arguments, what: str) -> str:
    """Take an address, ``dynamic`` or some other word. Raises InputError for what looks like an address and is none."""
    word = args.value(what)
    if not looks_like_address(word):
        return "dynamic" if unique(word, ["dynamic"]) and len(word) > 2 else word
    if ":" not in word:
        return str(parse_address(word, what, args.where))
    try:
        return str(IPv6Address(word))
    except AddressValueError:
        raise args.error(f"{what} '{word}' is not an IPv6 address such as 2001:db8::1") from None


@INTERFACE.on("tunnel source", clears=("tunnel_source", "tunnel_source_line"))
def _tunnel_source(interface: Interface, args: Arguments) -> None:
    is_address = looks_like_address(args.peek()) or args.peek().lower() == "dynamic"
    interface.tunnel_source = _endpoint(args, "tunnel source") if is_address else args.interface()
    interface.tunnel_source_line = args.line


@INTERFACE.on("tunnel destination", clears=("tunnel_destination", "tunnel_destination_line"))
def _tunnel_destination(interface: Interface, args: Arguments) -> None:
    interface.tunnel_destination = _endpoint(args, "tunnel destination")
    interface.tunnel_destination_line = args.line


@INTERFACE.on("tunnel mode", clears=("tunnel_mode", "tunnel_mode_line"))
def _tunnel_mode(interface: Interface, args: Arguments) -> None:
    word = args.value("a tunnel mode")
    kind = unique(word, [*_TUNNEL_KINDS, *_OTHER_TUNNEL_KINDS])
    if kind is None:
        modes = [f"{kind} {over}" for kind, overs in _TUNNEL_KINDS.items() for over in overs]
        raise unknown_name("tunnel mode", f"{word} {args.peek()}".strip(), modes, args.where)
    if kind in _TUNNEL_KINDS:
        kind = f"{kind} {args.choice(f'tunnel mode {kind}', _TUNNEL_KINDS[kind])}"
    interface.tunnel_mode, interface.tunnel_mode_line = kind, args.line


@INTERFACE.on("tunnel vrf", clears=("tunnel_vrf",))
def _tunnel_vrf(interface: Interface, args: Arguments) -> None:
    interface.tunnel_vrf = args.name("a VRF name")


@INTERFACE.on("tunnel key", clears=("tunnel_key",))
def _tunnel_key(interface: Interface, args: Arguments) -> None:
    interface.tunnel_key = args.number("tunnel key", 0, 4_294_967_295)


@INTERFACE.on("tunnel path-mtu-discovery", clears=("tunnel_path_mtu_discovery",))
def _path_mtu_discovery(interface: Interface, _: Arguments) -> None:
    interface.tunnel_path_mtu_discovery = True


@INTERFACE.on("tunnel protection ipsec profile", clears=("tunnel_protection", "tunnel_protection_line"))
def _tunnel_protection(interface: Interface, args: Arguments) -> None:
    interface.tunnel_protection, interface.tunnel_protection_line = args.name("an IPsec profile's name"), args.line


@INTERFACE.on("ip ospf", clears=("ospf_process", "ospf_line"))
def _ospf(interface: Interface, args: Arguments) -> None:
    process = args.value("an OSPF process")
    if not process.isdigit() or args.optional("area") is None:
        raise NotUnderstood
    interface.ospf_process, interface.ospf_line = process, args.line


INTERFACE.know("crypto map", "crypto ipsec", "ip nhrp", "ip nat", "ip redirects", "ip access-group")
INTERFACE.know("ip policy", "ip pim", "ip verify", "ip virtual-reassembly", "ip summary-address", "ip helper-address")
INTERFACE.know("ipv6 enable", "ipv6 nhrp", "ipv6 ospf", "ipv6 mtu", "ipv6 unnumbered", "tunnel protection ipsec policy")
INTERFACE.know("keepalive", "delay", "load-interval", "duplex", "speed", "negotiation", "encapsulation", "standby")
INTERFACE.know("service-policy", "switchport", "mtu", "media-type", "mop", "tunnel checksum", "tunnel tos")


def register(mode: Mode) -> None:
    """Add ``interface`` to the global mode."""
    mode.on("interface", undo=True, strong=True)(_interface)
