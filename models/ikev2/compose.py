"""Messages put together in the order of the implementation profile."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

from ..implementation import Condition, Implementation, Part
from .payloads import NotifyPayload, Payload, VendorIdPayload

#: A payload, several of one kind (a chain of certificates), or none.
Supplied = Payload | tuple[Payload, ...] | None

#: Notifications that carry data of a fixed length. [bytes]
_NOTIFY_DATA_BYTES = {"NAT_DETECTION_SOURCE_IP": 20, "NAT_DETECTION_DESTINATION_IP": 20, "SET_WINDOW_SIZE": 4}


def static_payload(token: str, implementation: Implementation) -> Payload:
    """Return the payload of a ``VID:`` or ``N:`` token, whose content does not depend on the exchange.

    Raises KeyError for any other token: the caller must supply that payload.
    """
    kind, _, name = token.partition(":")
    if kind == "VID":
        return VendorIdPayload(name, implementation.vendor_id_bytes(name))
    if kind != "N":
        raise KeyError(token)
    if name == "SIGNATURE_HASH_ALGORITHMS":
        # Two octets for each hash algorithm (RFC 7427 section 4).
        return NotifyPayload(name, 2 * implementation.count("signature_hash_algorithms"))
    if name == "SET_WINDOW_SIZE":
        return NotifyPayload(name, _NOTIFY_DATA_BYTES[name], value=implementation.count("window"))
    return NotifyPayload(name, _NOTIFY_DATA_BYTES.get(name, 0))


def compose(
    parts: Sequence[Part | str],
    implementation: Implementation,
    supplied: Mapping[str, Supplied],
    conditions: frozenset[Condition] = frozenset(),
) -> tuple[Payload, ...]:
    """Return the payloads of one message.

    ``supplied`` holds the payloads of the exchange by token; a None there leaves the token out, a tuple is several
    payloads. A part with a condition is sent only when ``conditions`` holds it. Raises KeyError for a token that is
    neither supplied nor static.
    """
    payloads: list[Payload] = []
    for piece in _template(tuple(parts), implementation, conditions, tuple(supplied)):
        payload = supplied[piece] if isinstance(piece, str) else piece
        if isinstance(payload, tuple):
            payloads += payload
        elif payload is not None:
            payloads.append(payload)
    return tuple(payloads)


@lru_cache(maxsize=1024)
def _template(
    parts: tuple[Part | str, ...],
    implementation: Implementation,
    conditions: frozenset[Condition],
    supplied: tuple[str, ...],
) -> tuple[str | tuple[Payload, ...], ...]:
    """Return what is sent: tokens that are supplied, and runs of static payloads, which all messages share."""
    template: list[str | tuple[Payload, ...]] = []
    run: tuple[Payload, ...] = ()
    for part in parts:
        token, when = (part, None) if isinstance(part, str) else part
        if when is not None and when not in conditions:
            continue
        if token in supplied:
            template += [run, token] if run else [token]
            run = ()
        else:
            run += (static_payload(token, implementation),)
    return (*template, run) if run else tuple(template)


#: What an IKE_AUTH message has for its Child SA alone.
_OF_THE_CHILD = {
    "SA",
    "TSi",
    "TSr",
    "N:USE_TRANSPORT_MODE",
    "N:ESP_TFC_PADDING_NOT_SUPPORTED",
    "N:NON_FIRST_FRAGMENTS_ALSO",
}


def without_child(parts: Sequence[Part | str]) -> list[Part | str]:
    """Return the parts of an IKE_AUTH message that makes no Child SA (RFC 6023 section 3)."""
    return [p for p in parts if (p if isinstance(p, str) else p.payload) not in _OF_THE_CHILD]


def proving(parts: Sequence[Part | str]) -> list[Part | str]:
    """Return the part of an IKE_AUTH response that proves who the responder is, without a Child SA."""
    return [p for p in parts if isinstance(p, str) and p.startswith(("VID:", "ID", "CERT", "AUTH", "EAP"))]


def concluding(parts: Sequence[Part | str]) -> list[Part | str]:
    """Return the part of an IKE_AUTH response that ends the exchange once EAP has succeeded (RFC 7296 2.16)."""
    return [p for p in parts if not isinstance(p, str) or not p.startswith(("VID:", "ID", "CERT", "EAP"))]
