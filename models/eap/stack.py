"""What an implementation of EAP is free to choose, as values that its profile may replace.

Sources: strongSwan writes 1024 bytes as the default of ``eap-tls.fragment_size`` and means the whole EAP packet; how
many algorithms a TLS library offers depends on its version and its build; AnyConnect-EAP is published nowhere.
"""

from __future__ import annotations

from ..values import RECOLLECTION, Value


def _assumed(value: float, low: float, high: float, unit: str = "", note: str = "") -> Value:
    return Value(value=value, unit=unit, kind="assumed", source=RECOLLECTION, range=(low, high), note=note)


TLS_FRAGMENT = _assumed(1024, 500, 1400, "bytes", "longest EAP-TLS packet; 1024 is strongSwan's default")
TLS_SESSION_ID = _assumed(32, 0, 32, "bytes", "that of a TLS 1.2 server; RFC 5246 allows 32")
TLS_CIPHER_SUITES = _assumed(20, 3, 60, "", "offered by a client up to TLS 1.2; TLS 1.3 has three more")
TLS_SIGNATURE_ALGORITHMS = _assumed(12, 4, 24, "", "announced by either end")
TLS_GROUPS = _assumed(5, 1, 10, "", "offered by a client")
ANYCONNECT_HELLO = _assumed(120, 20, 600, "bytes", "the gateway's first AnyConnect-EAP packet")
ANYCONNECT_INIT = _assumed(900, 300, 1600, "bytes", "the client's answer: XML with version, device, capabilities")
ANYCONNECT_FORM = _assumed(700, 300, 2000, "bytes", "XML form that asks for user and password")
ANYCONNECT_REPLY = _assumed(800, 300, 1600, "bytes", "XML with user and password")
ANYCONNECT_COMPLETE = _assumed(1200, 200, 4000, "bytes", "XML with session and profile hashes")
ANYCONNECT_ACKNOWLEDGEMENT = _assumed(250, 13, 600, "bytes", "the client's last AnyConnect-EAP packet")
