"""EAP in IOS configurations: who answers for the users, a router as client, and what cannot work."""

from __future__ import annotations

from pathlib import Path

import pytest

from flexvpn_sim.models.errors import InputError
from flexvpn_sim.models.ikev2.policy import Authentication, EapAccount
from flexvpn_sim.models.implementation import Implementation, load_implementation
from flexvpn_sim.models.ios.reader import parse_router
from flexvpn_sim.models.ios.to_ikev2 import Translation, to_ikev2
from flexvpn_sim.models.secret import Secret
from flexvpn_sim.models.values import Ledger

HEAD = """\
version 16.9
hostname HUB
aaa new-model
username alice password 0 her-password
username bob privilege 15 secret his-password
radius server R
 address ipv4 192.0.2.20 auth-port 1812 acct-port 1813
 key any
aaa authentication login RADIUS group radius
aaa authentication login LOCAL local
crypto pki trustpoint CA
 enrollment url http://192.0.2.10:80
 fqdn hub.example.net
 subject-name CN=hub.example.net
 revocation-check none
 rsakeypair K 2048
interface GigabitEthernet0/0/0
 ip address 198.51.100.1 255.255.255.0
crypto ikev2 profile P
 match identity remote any
 identity local fqdn hub.example.net
 pki trustpoint CA
"""


def translated(*lines: str) -> Translation:
    text = HEAD + "".join(f" {line}\n" for line in lines)
    implementation = Implementation(load_implementation("ios-xe-16.9"), Ledger())
    return to_ikev2(parse_router(text, Path("hub.cfg")), implementation)


def authentication(*lines: str) -> Authentication:
    (profile,) = (p for p in translated(*lines).policy.profiles if p.name == "P")
    return profile.authentication


def refused(*lines: str) -> str:
    ((_, reason),) = translated(*lines).excluded
    assert isinstance(reason, InputError)
    return str(reason)


def test_eap_is_passed_to_the_radius_servers_of_its_list() -> None:
    lines = (
        "authentication local rsa-sig",
        "authentication remote eap query-identity",
        "aaa authentication eap RADIUS",
    )
    (profile,) = (p for p in translated(*lines).policy.profiles if p.name == "P")
    assert profile.aaa is not None and profile.aaa.eap == "RADIUS"
    assert profile.authentication.queries_identity and profile.authentication.users == ()
    assert not authentication(lines[0], "authentication remote eap", lines[2]).queries_identity
    told = authentication(lines[0], "authentication remote eap query-identity timeout 60", lines[2])
    assert (told.queries_identity, told.eap_timeout_s) == (True, 60)
    with pytest.raises(InputError, match=r"hub.cfg:24: .*44.* 45 to 180"):
        translated(lines[0], "authentication remote eap timeout 44", lines[2])


def test_anyconnect_eap_knows_the_users_of_the_router() -> None:
    told = authentication(
        "authentication local rsa-sig",
        "authentication remote anyconnect-eap",
        "aaa authentication anyconnect-eap LOCAL",
    )
    assert told.remote == ("anyconnect-eap",)
    assert told.users == (EapAccount("alice", Secret("her-password")), EapAccount("bob", Secret("his-password")))


@pytest.mark.parametrize(
    ("words", "method"),
    [
        ("eap ms-chapv2 username BR1 password 0 secret", "eap-mschapv2"),
        ("eap mschapv2 username BR1 password secret", "eap-mschapv2"),
        ("eap gtc username BR1 password secret", "eap-gtc"),
        ("eap md5 username BR1 password secret", "eap-md5"),
        ("eap username BR1 password secret", "eap-mschapv2"),
    ],
)
def test_a_router_may_be_a_client_of_eap(words: str, method: str) -> None:
    told = authentication(f"authentication local {words}", "authentication remote rsa-sig")
    assert (told.local, told.remote) == (method, ("certificate",))
    assert told.account == EapAccount("BR1", Secret("secret"))
    assert "secret>" in repr(told.account)


@pytest.mark.parametrize(
    ("lines", "parts"),
    [
        (
            ("authentication local rsa-sig", "authentication remote eap"),
            ["hub.cfg:24: authentication remote eap of profile P", "'aaa authentication eap LIST'"],
        ),
        (
            ("authentication local rsa-sig", "authentication remote eap", "aaa authentication eap LOCAL"),
            ["hub.cfg:25: list LOCAL is the router's own", "no EAP server"],
        ),
        (
            ("authentication local eap gtc username BR1 password x", "authentication remote pre-share key y"),
            ["hub.cfg:23: authentication local eap of profile P needs a server", "authentication remote rsa-sig"],
        ),
        (
            ("authentication local eap gtc", "authentication remote rsa-sig"),
            ["hub.cfg:23: authentication local eap of profile P asks somebody at the terminal"],
        ),
    ],
)
def test_what_cannot_work_is_refused_with_its_line(lines: tuple[str, ...], parts: list[str]) -> None:
    line = refused(*lines)
    for part in parts:
        assert part in line
    assert "\n" not in line


def test_a_method_that_ios_does_not_have_is_told_at_its_line() -> None:
    with pytest.raises(InputError, match=r"hub.cfg:23: .*allowed: gtc, md5, ms-chapv2"):
        translated("authentication local eap tls", "authentication remote rsa-sig")
