"""The IKE SAs of one router, and the ways to find one: by SPI, address, tunnel interface, identity."""

from __future__ import annotations

from ..addresses import IpAddress
from .identity import Identity
from .policy import TunnelPolicy
from .sa import IkeSa


class Directory:
    """Every IKE SA that is not closed; each way yields them in the order in which they came there."""

    def __init__(self) -> None:
        #: By this end's SPI.
        self.sas: dict[int, IkeSa] = {}
        self._by_init: dict[tuple[IpAddress, int], IkeSa] = {}
        self._by_remote: dict[IpAddress, dict[int, IkeSa]] = {}
        self._by_tunnel: dict[str, dict[int, IkeSa]] = {}
        self._by_identity: dict[Identity, dict[int, IkeSa]] = {}
        self._half_open: set[int] = set()

    def add(self, sa: IkeSa) -> None:
        """Enter a new SA."""
        self.sas[sa.local_spi] = sa
        self._by_remote.setdefault(sa.remote, {})[sa.serial] = sa

    def remove(self, sa: IkeSa) -> None:
        """Forget an SA that is closed."""
        self.sas.pop(sa.local_spi, None)
        self._forget_remote(sa)
        if sa.tunnel is not None:
            del self._by_tunnel[sa.tunnel.name][sa.serial]
        self._by_init.pop((sa.remote, sa.spi_i), None)
        self._half_open.discard(sa.serial)
        if sa.remote_identity is not None:
            self._by_identity.get(sa.remote_identity, {}).pop(sa.serial, None)

    def assign(self, sa: IkeSa, tunnel: TunnelPolicy | None) -> None:
        """Note that an SA belongs to a tunnel interface from now on, wherever its peer is; None: to no static one."""
        if sa.tunnel is not None:
            del self._by_tunnel[sa.tunnel.name][sa.serial]
        sa.tunnel = tunnel
        if tunnel is not None:
            self._by_tunnel.setdefault(tunnel.name, {})[sa.serial] = sa

    def of_tunnel(self, tunnel: TunnelPolicy) -> list[IkeSa]:
        """Return the SAs that were assigned to a tunnel, and those that belong to it by the address of its peer."""
        candidates = (*self._by_tunnel.get(tunnel.name, {}).values(), *self.with_peer(tunnel.remote_address))
        return [sa for sa in candidates if sa.belongs_to(tunnel)]

    def with_peer(self, remote: IpAddress) -> list[IkeSa]:
        """Return the SAs with the peer at this address."""
        return list(self._by_remote.get(remote, {}).values())

    def peer_count(self) -> int:
        """Return at how many addresses there are peers with an SA."""
        return len(self._by_remote)

    def follow(self, sa: IkeSa, remote: IpAddress) -> None:
        """The peer of an SA has another address from now on (RFC 4555 3.5)."""
        if self._by_init.pop((sa.remote, sa.spi_i), None) is sa:
            self._by_init[(remote, sa.spi_i)] = sa
        self._forget_remote(sa)
        sa.remote = remote
        self._by_remote.setdefault(remote, {})[sa.serial] = sa

    def _forget_remote(self, sa: IkeSa) -> None:
        there = self._by_remote[sa.remote]
        del there[sa.serial]
        if not there:
            del self._by_remote[sa.remote]

    def opened(self, sa: IkeSa) -> None:
        """Let repeated first requests find this responder SA, and count it as half-open."""
        self._by_init[(sa.remote, sa.spi_i)] = sa
        self._half_open.add(sa.serial)

    def opened_by(self, remote: IpAddress, spi_i: int) -> IkeSa | None:
        """Return the SA that the first request of an initiator with this SPI has made, or None."""
        return self._by_init.get((remote, spi_i))

    def half_open_count(self) -> int:
        """Return how many SAs this end is negotiating as responder."""
        return len(self._half_open)

    def authenticated(self, sa: IkeSa) -> None:
        """Note that the identity of this SA's peer is proven."""
        assert sa.remote_identity is not None
        self._half_open.discard(sa.serial)
        self._by_identity.setdefault(sa.remote_identity, {})[sa.serial] = sa

    def authenticated_with(self, identity: Identity | None) -> list[IkeSa]:
        """Return the SAs whose peer has proven this identity."""
        return list(self._by_identity.get(identity, {}).values()) if identity is not None else []
