"""The stations that packets of a tunnel meet, built from the costs of both routers, its encapsulation and the path.

What this leaves out: the limit without HSEC licence counts whole packets as they are sent, which IOS does not say; the
sender's packet core pays for each fragment as for a packet of its own, and nothing for a packet that it refuses or for
the ICMP message then; packets that are lost until ICMP has told the path's MTU. A packet that is cut after encryption
stays one packet here: the link carries the headers of its fragments and loses all or none of them; cutting and
reassembly cost both packet cores a packet's fixed time for each further fragment, which is the least they can cost (a
router that reassembles in its process path takes longer).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np

from ..models import esp
from ..models.encapsulation import GRE_BYTES, GRE_OPTION_BYTES, Carrier, Encapsulation
from ..models.path_mtu import IP_MAX_BYTES, Fate, TunnelPath, fragment_count, fragmented_bytes, passage
from ..models.randomness import make_key
from .packet_path import LengthLimit, Link, LinkSpec, PacketPath, Policer, ReplayCheck, Servers, Shaper, Station

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..models.encapsulation import IpVersion
    from ..models.path_mtu import When

    Floats = NDArray[np.float64]
    Integers = NDArray[np.int64]

#: How the names of `LengthLimit` stations end or begin: refused with ICMP by the router, lost on the path.
TOO_BIG, BLACK_HOLE = "too big, ICMP sent", "black hole"


class PacketCosts(Protocol):
    """What the path asks of a router's cost model. No core of its own for crypto: ``crypto_cores`` is 0.

    With ``has_engine`` these are the lanes of an offload engine, which does nothing for ``null`` encryption.
    """

    def packet_core_s(self, inner_bytes: Integers) -> Floats: ...
    def crypto_s(self, esp_bytes: Integers, encryption: str, integrity: str) -> Floats: ...
    def shaper_bps(self) -> float | None: ...
    @property
    def shaper_burst_bytes(self) -> float: ...
    @property
    def shaper_buffer_packets(self) -> int: ...
    @property
    def hsec_bps(self) -> float | None: ...
    @property
    def hsec_burst_bytes(self) -> float: ...
    @property
    def has_engine(self) -> bool: ...
    @property
    def packet_core_buffer_packets(self) -> int: ...
    @property
    def crypto_buffer_packets(self) -> int: ...
    @property
    def packet_cores(self) -> int: ...
    @property
    def crypto_cores(self) -> int: ...


def tunnel_path(
    sender: PacketCosts,
    receiver: PacketCosts,
    *,
    encryption: str,
    integrity: str,
    link: LinkSpec,
    path_mtu: int = 1500,
    mode: esp.Mode = "tunnel",
    nat_t: bool = False,
    gre_bytes: int = 0,
    ip_version: IpVersion = 4,
    fragment: When = "before",
    sender_name: str = "sender",
    receiver_name: str = "receiver",
    seed: int = 1,
    replication: int = 0,
    draw: int = 0,
) -> PacketPath:
    """Return the path of an ESP tunnel over a path whose MTU the sender knows, for packets without DF.

    The parameters of ESP are those of `esp.esp_packet_bytes`; ``ip_version`` is that of the outer packets. ``fragment``
    says when what is too long for ``path_mtu`` is cut. The others are those of `encapsulated_path`.
    """
    wrapped = encapsulation(
        encryption, integrity, mode=mode, nat_t=nat_t, gre_bytes=gre_bytes, outer=ip_version, inner=ip_version
    )
    return encapsulated_path(
        sender,
        receiver,
        TunnelPath(wrapped, path_mtu, path_mtu, fragment=fragment),
        link=link,
        sender_name=sender_name,
        receiver_name=receiver_name,
        seed=seed,
        replication=replication,
        draw=draw,
    )


def encapsulation(
    encryption: str,
    integrity: str,
    *,
    mode: esp.Mode,
    gre_bytes: int,
    outer: IpVersion = 4,
    inner: IpVersion = 4,
    nat_t: bool = False,
) -> Encapsulation:
    """Return how a Child SA with these algorithms wraps a packet; without ``encryption`` it is one of AH.

    ``gre_bytes``: GRE header, 0 without GRE. [bytes]
    """
    carrier: Carrier = "gre" if gre_bytes else "host" if mode == "transport" else "native"
    options = (gre_bytes - GRE_BYTES) // GRE_OPTION_BYTES if gre_bytes else 0
    algorithms = (encryption, integrity, "") if encryption else ("", "", integrity)
    return Encapsulation(
        *algorithms, carrier=carrier, mode=mode, gre_options=options, outer=outer, inner=(inner,), nat_t=nat_t
    )


def encapsulated_path(
    sender: PacketCosts,
    receiver: PacketCosts,
    tunnel: TunnelPath,
    *,
    link: LinkSpec,
    df: bool = False,
    version: IpVersion = 4,
    replay_window: int = 0,
    sender_name: str = "sender",
    receiver_name: str = "receiver",
    seed: int = 1,
    replication: int = 0,
    draw: int = 0,
) -> PacketPath:
    """Return the path of a tunnel, in one direction.

    Stations: what the sender refuses as too big, its packet cores, its limit without HSEC licence, its crypto cores or
    offload engine, its licence shaper, the link, what the path swallows, the anti-replay window; limit, engine or
    crypto cores, and packet cores of the receiver. What a router does not have is left out: one without crypto cores
    encrypts on its packet cores, and so does one with an engine when only integrity is asked for (AH, or ``null``
    encryption, RFC 2410). What becomes of long packets is what `path_mtu.passage` says.

    Parameters
    ----------
    tunnel: encapsulation and MTUs.
    df, version: of the inner packets: whether IPv4 may not be cut, IP version.
    replay_window: of the receiver; only a link that reorders brings it to drop anything; 0: none. [packets]
    seed, replication, draw: as for `make_key`.
    """
    wrapped = tunnel.encapsulation
    encryption, integrity = wrapped.encryption, wrapped.integrity or wrapped.ah
    # Pieces that are encrypted: what is cut before encryption is no longer than the limit.
    cuttable = version == 4 and (not df or tunnel.df == "clear")
    longest = tunnel.inner_limit if cuttable else IP_MAX_BYTES
    accepted = _longest(tunnel, longest, df, version, ("sent", "black hole"))
    arriving = _longest(tunnel, accepted, df, version, ("sent",))
    # On their way packets of IPv4 without DF are cut to what the path carries, others to what the sender knows.
    outer_df = tunnel.outer_df(df=df or version == 6)
    wire_mtu = tunnel.known_mtu if outer_df or wrapped.outer == 6 else tunnel.path_mtu
    cut_after = wrapped.packet_bytes(accepted) > min(wire_mtu, tunnel.known_mtu)

    def ipsec_bytes(inner: Integers) -> Integers:
        return wrapped.packet_bytes(inner).astype(np.int64, copy=False)

    def wire_bytes(inner: Integers) -> Integers:
        packets = ipsec_bytes(inner)
        return fragmented_bytes(packets, wire_mtu, wrapped.outer) if cut_after else packets

    def crypto_s(router: PacketCosts, inner: Integers, wire: Integers) -> Floats:
        return router.crypto_s(ipsec_bytes(inner) if cut_after else wire, encryption or "null", integrity)

    def packet_core(router: PacketCosts, name: str, mtu: int) -> Station:
        def packet_s(inner: Integers, wire: Integers) -> Floats:
            own = router.packet_core_s(inner)
            if cut_after:
                further = fragment_count(ipsec_bytes(inner), mtu, wrapped.outer) - 1
                own = own + further * router.packet_core_s(np.zeros(1, np.int64))
            return own if _has_own_crypto(router, encryption) else own + crypto_s(router, inner, wire)

        return Servers(f"{name} packet core", packet_s, router.packet_cores, router.packet_core_buffer_packets)

    def crypto(router: PacketCosts, name: str) -> list[Station]:
        # The licence is checked before the work: what it drops costs no cryptography.
        stations = _hsec_limit(router, name)
        if _has_own_crypto(router, encryption):
            stations.append(
                Servers(
                    f"{name} crypto {'engine' if router.has_engine else 'core'}",
                    lambda inner, wire: crypto_s(router, inner, wire),
                    router.crypto_cores,
                    router.crypto_buffer_packets,
                )
            )
        return stations

    stations: list[Station] = [LengthLimit(f"{sender_name} {TOO_BIG}", accepted)] if accepted < longest else []
    stations += [packet_core(sender, sender_name, tunnel.known_mtu), *crypto(sender, sender_name)]
    shaper_bps = sender.shaper_bps()
    if shaper_bps is not None:
        name = f"{sender_name} licence shaper"
        stations.append(Shaper(name, shaper_bps, sender.shaper_burst_bytes, sender.shaper_buffer_packets))
    name = f"link {sender_name}-{receiver_name}"
    loss_key, jitter_key = (
        make_key(seed, name, purpose, replication=replication, draw=draw) for purpose in ("loss", "jitter")
    )
    stations.append(Link(name, link, loss_key, jitter_key))
    if arriving < accepted:
        stations.append(LengthLimit(f"{BLACK_HOLE} {sender_name}-{receiver_name}", arriving))
    if replay_window and link.reorders:
        stations.append(ReplayCheck(f"{receiver_name} replay window {replay_window}", replay_window))
    stations += [*crypto(receiver, receiver_name), packet_core(receiver, receiver_name, wire_mtu)]
    return PacketPath(tuple(stations), wire_bytes, longest)


def _longest(tunnel: TunnelPath, most: int, df: bool, version: IpVersion, fates: tuple[Fate, ...]) -> int:
    """Return the greatest length up to ``most`` at which an inner packet has one of these fates. [bytes]

    A longer packet never fares better, so that halving finds it; the shortest has them.
    """
    short, long = tunnel.encapsulation.smallest_inner_bytes, most + 1
    while long - short > 1:
        middle = (short + long) // 2
        if passage(tunnel, middle, df=df, version=version).fate in fates:
            short = middle
        else:
            long = middle
    return short


def _has_own_crypto(router: PacketCosts, encryption: str) -> bool:
    return router.crypto_cores > 0 and not (router.has_engine and encryption in ("", "null"))


def _hsec_limit(router: PacketCosts, name: str) -> list[Station]:
    rate_bps = router.hsec_bps
    if rate_bps is None:
        return []
    return [Policer(f"{name} HSEC limit {rate_bps / 1e6:g} Mbit/s", rate_bps, router.hsec_burst_bytes)]
