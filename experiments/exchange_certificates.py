"""What a scenario does to the certificates of a conversation: their dates, their revocation, and who answers for them.

Both ends check each other's certificate; the one that is no good is the initiator's, or the responder's where the
initiator has none (EAP). Times are in s from the start of the conversation.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..models.errors import InputError, unknown_name
from ..models.ikev2.policy import REVOCATION_METHODS, RevocationMethod
from ..models.pki import RevocationServer, RevocationSettings
from ..models.values import Ledger

#: Longest delay of a fetch. [s]
DELAY_MAX_S = 3600.0


@dataclass(frozen=True, slots=True)
class CertificateLife:
    """Dates and revocation of the certificate that may be no good, and how both ends look its status up.

    ``methods`` empty: nobody looks. ``delay_s`` of a fetch and ``lifetime_s`` of a list, None: those of
    `models.pki`. ``ends``: a session ends with the
    certificate. ``clock_ahead_s``: of the responder's clock.
    """

    methods: tuple[RevocationMethod, ...] = ()
    delay_s: float | None = None
    lifetime_s: float | None = None
    reachable: bool = True
    not_before_s: float | None = None
    not_after_s: float | None = None
    revoked_s: float | None = None
    ends: bool = False
    clock_ahead_s: float = 0.0

    def server(self, authority: str, algorithm: str, serial: int, ledger: Ledger) -> RevocationServer:
        """Return the CA that answers; ``serial``: the certificate that it revokes, if it does."""
        settings = RevocationSettings(
            self.delay_s,
            lifetime_s=self.lifetime_s,
            outages=() if self.reachable else ((0.0, math.inf),),
            revoked={} if self.revoked_s is None else {"": self.revoked_s},
        )
        return settings.server(authority, algorithm, {"": serial}, ledger)


def parse_methods(text: str, where: str) -> tuple[RevocationMethod, ...]:
    """Return the methods of a list with commas, in their order, as ``revocation-check`` of IOS has them.

    >>> parse_methods("crl,none", "")
    ('crl', 'none')

    Raises InputError for another word and for one that is there twice.
    """
    methods: list[RevocationMethod] = []
    for word in text.split(","):
        method = next((m for m in REVOCATION_METHODS if m == word.strip()), None)
        if method is None:
            raise unknown_name("method", word.strip(), REVOCATION_METHODS, where)
        if method in methods:
            raise InputError(f"found '{text}', each of {', '.join(REVOCATION_METHODS)} may be there once", where)
        methods.append(method)
    return tuple(methods)


def check_delay_s(delay_s: float, where: str) -> None:
    """Raise InputError for a delay that is none."""
    if not 0 <= delay_s <= DELAY_MAX_S:
        raise InputError(f"found {delay_s:g}, a delay of 0 to {DELAY_MAX_S:g} s is needed", where)
