"""How long an X.509 certificate is when nobody says: what frames it, its public key and its issuer's signature.

What this leaves out: long names, extensions of one's own, and the few bytes by which a DER signature varies.
"""

from __future__ import annotations

from .algorithms import SIGNATURES
from .values import Value

#: Names, validity and extensions of certificates made for strongSwan: 280 (ECDSA) and 300 bytes (RSA) in the testbed's
#: recordings, up to 410 elsewhere.
STRONGSWAN_FRAME = Value(value=300, unit="bytes", kind="assumed", source="testbed", range=(280, 410))
#: The same of certificates of an IOS XE laboratory: 386 to 408 bytes; others may be as short as the testbed's.
IOS_FRAME = Value(value=390, unit="bytes", kind="assumed", source="recollection", range=(280, 410))


def estimated_der_bytes(frame_bytes: float, algorithm: str, issuer_algorithm: str) -> int:
    """Return the length of a certificate for a key of ``algorithm``, signed with ``issuer_algorithm``. [bytes]"""
    return round(frame_bytes) + SIGNATURES[algorithm].public_key_bytes + SIGNATURES[issuer_algorithm].signature_bytes
