"""``flexvpn-sim exchange --ike-version 1``: which options IKEv1 takes, and the conversation that they ask for."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

from ..hardware.profile import HardwareProfile
from ..models.errors import InputError
from ..models.ikev2.payloads import ANY_IPV4, Selector
from ..models.ikev2.proposals import EspProposal, IkeProposal
from .exchange import parse_identity
from .exchange_plan import check_fragment_bytes
from .ikev1 import NAT, ikev1_conversation

#: Options, as parameters of the command, that mean something with IKEv1.
TAKEN = (
    "ike", "esp", "hardware", "ike_version", "mode", "auth", "cert_bytes", "ca", "fragment", "implementation",
    "scenario", "esp_mode", "ts", "nat", "pfs", "initiator_id", "responder_id", "profiles", "samples", "seed",
    "mermaid", "as_json",
)  # fmt: skip


def check_options(given: Iterable[str]) -> None:
    """Raise InputError for an option that IKEv1 does not take; ``given``: parameters named on the command line."""
    for name in given:
        if name not in TAKEN:
            allowed = ", ".join(_option(n) for n in TAKEN)
            raise InputError(f"does not go with --ike-version 1, which takes {allowed}", _option(name))


def _option(name: str) -> str:
    return "--json" if name == "as_json" else "--" + name.replace("_", "-")


def converse(
    ike: tuple[IkeProposal, ...],
    esp: tuple[EspProposal, ...],
    hardware: HardwareProfile,
    *,
    mode: str,
    scenario: str,
    nat: bool,
    initiator_id: str,
    responder_id: str,
    selectors: tuple[tuple[Selector, ...], tuple[Selector, ...]],
    esp_mode: Literal["tunnel", "transport"],
    fragment_bytes: int | None,
    **more: Any,
) -> dict[str, Any]:
    """Return what `ikev1.ikev1_conversation` does; ``more`` goes there as it is. Raises InputError as it does."""
    if fragment_bytes is not None:
        check_fragment_bytes(fragment_bytes, "--fragment")
    steps = [scenario, NAT] if nat else [scenario]
    return ikev1_conversation(
        ike,
        esp,
        hardware,
        mode=mode,
        scenario=",".join(steps),
        initiator=parse_identity(initiator_id, "--initiator-id"),
        responder=parse_identity(responder_id, "--responder-id"),
        selectors=None if selectors == ((ANY_IPV4,), (ANY_IPV4,)) else selectors,
        transport=esp_mode == "transport",
        fragment_bytes=fragment_bytes,
        **more,
    )
