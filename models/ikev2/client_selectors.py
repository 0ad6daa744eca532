"""What a client that was given addresses may send through its Child SA: they alone, as a FlexVPN server has it.

IOS leaves the selectors as they are when the client says that it knows FlexVPN (vendor ID FLEXVPN-SUPPORTED); for that
reason strongSwan can send it (its option ``cisco_flexvpn``). Any other client gets its addresses for its own side, and
for the server's side what it has asked for, in the families in which it has an address (RFC 7296 2.9).

What this leaves out: networks behind a client, later Child SAs of the same client.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from .events import Refusal
from .narrowing import narrow
from .payloads import Selector, VendorIdPayload

if TYPE_CHECKING:
    from .children import Agreement
    from .endpoint import Endpoint
    from .sa import IkeSa

FLEXVPN = "FLEXVPN-SUPPORTED"


def confine(ep: Endpoint, sa: IkeSa, child: Agreement) -> Agreement | Refusal:
    """Return the first Child SA of a peer, confined to its addresses where it is such a client."""
    given = [address for address in (sa.virtual_address, sa.virtual_address6) if address is not None]
    if not given or child.tunnel is not None or not ep.implementation.profile.confines_clients or _knows_flexvpn(sa):
        return child
    theirs = narrow(child.initiator_selectors, [Selector(0, str(address), str(address)) for address in given])
    families = {address.version for address in given}
    ours = tuple(selector for selector in child.responder_selectors if selector.version in families)
    if not theirs or not ours:
        return Refusal("traffic selectors differ", "TS_UNACCEPTABLE", own=tuple(map(str, given)))
    return replace(child, initiator_selectors=theirs, responder_selectors=ours)


def _knows_flexvpn(sa: IkeSa) -> bool:
    assert sa.init_request is not None
    return any(payload.vendor == FLEXVPN for payload in sa.init_request.all(VendorIdPayload))
