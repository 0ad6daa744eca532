"""Two proofs of the initiator in one IKE_AUTH (RFC 4739): what travels, what it costs, who is refused."""

from __future__ import annotations

import hmac
import json
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from capture_files import Seen, read_capture
from pair import Pair, agree, changed, credential, endpoint
from typer.testing import CliRunner

from flexvpn_sim.experiments import capture
from flexvpn_sim.experiments.cli import app
from flexvpn_sim.models.ikev2.endpoint import Endpoint
from flexvpn_sim.models.ikev2.operations import PrfCall, Sign, Verify
from flexvpn_sim.models.ikev2.policy import Authentication, AuthMethod, EapAccount
from flexvpn_sim.models.ikev2.wire.session import Session
from flexvpn_sim.models.implementation import Implementation
from flexvpn_sim.models.secret import Secret

NAMES = {"left": "BR1.cptl.local", "right": "HQ.cptl.local"}
USER = EapAccount("BR1", Secret("password"))
PSK: AuthMethod = "pre-share"
EAP: AuthMethod = "eap-mschapv2"


def end(
    side: str,
    second: AuthMethod | None,
    *,
    password: str = "password",
    key: Secret | None = None,
    implementation: str | Implementation = "strongswan",
) -> Endpoint:
    """Return an end that proves itself by a certificate; the left one then by ``second``, which the right one wants."""
    then = None
    if second is not None and side == "left":
        then = Authentication(second, (), account=USER)
    elif second is not None:
        then = Authentication(remote=(second,), users=(EapAccount("BR1", Secret(password)),))
    proof = Authentication("certificate", ("certificate",), credential(NAMES[side], "ecdsa256", 500), then=then)
    more = {"remote_key": key} if key is not None else {}
    return endpoint(side, implementation, authentication=proof, trusted=("CA",), **more)  # type: ignore[arg-type]


def met(left: Endpoint, right: Endpoint, seconds: float = 60) -> Pair:
    pair = Pair(left, right)
    pair.start(left)
    pair.run(seconds)
    return pair


def names(pair: Pair) -> list[str]:
    """Return the payloads of each message of IKE_AUTH by name."""
    auth = [line.datagram.message for line in pair.log if line.datagram.message.exchange.name == "IKE_AUTH"]
    return [" ".join(p.name for p in message.payloads) for message in auth]


# -- What travels ----------------------------------------------------------------------------------------------


def test_a_pre_shared_key_follows_a_certificate() -> None:
    pair = met(end("left", PSK), end("right", PSK))
    assert agree(pair)
    first, answer, second, last = names(pair)
    assert first.startswith("IDi CERT") and first.endswith("N:ANOTHER_AUTH_FOLLOWS")
    assert "SA TSi TSr" in first and "N:MULTIPLE_AUTH_SUPPORTED" in first
    assert answer == "IDr CERT AUTH"
    assert second == "IDi AUTH"
    assert last == "N:ESP_TFC_PADDING_NOT_SUPPORTED SA TSi TSr"
    sizes = [p.size for line in pair.log for p in line.datagram.message.payloads if p.name == "N:ANOTHER_AUTH_FOLLOWS"]
    assert sizes == [8]


def test_eap_follows_a_certificate_and_its_key_makes_the_last_auth() -> None:
    pair = met(end("left", EAP), end("right", EAP))
    assert agree(pair)
    rows = names(pair)
    # The proof of both, the identity again and EAP-Identity, two rounds of MSCHAPv2 and its success, AUTH by the MSK.
    assert rows[1:-2] == ["IDr CERT AUTH", "IDi", *["EAP"] * 7]
    assert rows[-2] == "AUTH"
    assert rows[-1] == "AUTH N:ESP_TFC_PADDING_NOT_SUPPORTED SA TSi TSr"
    assert len(pair.log) == 14
    assert pair.ike(pair.right).msk is not None


def test_each_proof_is_made_once_and_checked_once() -> None:
    one, two = met(end("left", None), end("right", None)), met(end("left", PSK), end("right", PSK))
    for side in ("left", "right"):
        kinds = [[sum(isinstance(o, k) for o in pair.operations[side]) for k in (Sign, Verify)] for pair in (one, two)]
        assert kinds == [[1, 1], [1, 1]]
        calls = [sum(o.count for o in p.operations[side] if isinstance(o, PrfCall)) for p in (one, two)]
        # AUTH by a shared key: three calls to make it, three to check it.
        assert calls[1] - calls[0] == 3


# -- Refusals --------------------------------------------------------------------------------------------------


def test_a_wrong_second_proof_is_refused_although_the_first_was_right() -> None:
    pair = met(end("left", PSK), end("right", PSK, key=Secret("another key")), 30)
    assert pair.causes("right", "refused") == ["wrong key"]
    assert pair.causes("left", "attempt_failed") == ["refused by the peer"]
    assert not pair.left.sas and not pair.right.sas
    pair = met(end("left", EAP), end("right", EAP, password="another"), 30)
    assert pair.causes("right", "refused") == ["wrong EAP password"]
    assert not pair.left.sas and not pair.right.sas


def test_an_initiator_with_one_proof_is_refused_by_a_responder_that_wants_two() -> None:
    pair = met(end("left", None), end("right", PSK), 30)
    assert pair.causes("right", "refused") == ["authentication method not accepted"]
    assert not pair.right.sas and not pair.left.sas


def test_a_responder_that_wants_one_proof_is_refused_by_an_initiator_that_gives_two() -> None:
    pair = met(end("left", PSK), end("right", None), 30)
    assert pair.causes("left", "attempt_failed") == ["authentication method not accepted"]
    # It says so (RFC 7296 2.21.2), so that nothing is left at the responder.
    assert not pair.right.sas and not pair.left.sas


def test_an_initiator_gives_up_where_the_responder_knows_of_one_proof_alone() -> None:
    bare = changed("strongswan")
    parts = [p for p in bare.profile.compositions.ike_sa_init_response if p != "N:MULTIPLE_AUTH_SUPPORTED"]
    compositions = bare.profile.compositions.model_copy(update={"ike_sa_init_response": parts})
    pair = met(end("left", PSK), end("right", PSK, implementation=changed("strongswan", compositions=compositions)), 5)
    assert pair.causes("left", "attempt_failed") == ["authentication method not accepted"]
    assert all("IKE_AUTH" not in line.text for line in pair.log)


def test_another_identity_in_the_second_round_is_refused() -> None:
    from flexvpn_sim.models.ikev2.identity import Identity
    from flexvpn_sim.models.ikev2.payloads import IdPayload

    pair = Pair(end("left", PSK), end("right", PSK))

    def forge(_number: int, datagram: Any) -> bool:
        message = datagram.message
        if message.exchange.name == "IKE_AUTH" and message.message_id == 2 and not message.response:
            other = IdPayload("IDi", Identity("fqdn", "BR9.cptl.local"))
            datagram.message = replace(message, payloads=(other, *message.payloads[1:]))
        return False

    pair.loses = forge
    pair.start(pair.left)
    pair.run(30)
    assert pair.causes("right", "refused") == ["no profile accepts the identity"]


@pytest.mark.parametrize("second", [PSK, EAP])
@pytest.mark.parametrize("lost", range(14))
def test_both_ends_agree_whichever_message_is_lost(second: AuthMethod, lost: int) -> None:
    pair = Pair(end("left", second), end("right", second), loses=lambda number, _: number == lost)
    pair.start(pair.left)
    pair.run(25)
    assert agree(pair)


def test_a_responder_forgets_an_initiator_that_gives_no_second_proof() -> None:
    pair = Pair(end("left", PSK), end("right", PSK), loses=lambda _, d: d.message.message_id == 2)
    pair.start(pair.left)
    pair.run(400)
    assert pair.causes("right", "ike_closed") == ["half-open for too long"]
    assert not pair.left.sas and not pair.right.sas


# -- Captures and the command line -----------------------------------------------------------------------------


def run(options: str) -> Any:
    options = f"--ike aes256-sha256-ecp256 --esp aes256-sha256 --hardware linux-strongswan-openssl {options}"
    return CliRunner().invoke(app, ["exchange", *shlex.split(options)])


def octets(seen: Seen, name: str) -> bytes:
    return next(p for p in seen.payloads if p.name == name).body()


def test_the_second_auth_of_a_capture_is_made_with_the_pre_shared_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Session] = []

    class Kept(Session):
        def __init__(self, *args: Any, **more: Any) -> None:
            super().__init__(*args, **more)
            made.append(self)

    monkeypatch.setattr(capture, "Session", Kept)
    done = run(f"--auth ecdsa256+psk --json --pcap {tmp_path / 'a.pcap'}")
    assert done.exit_code == 0, done.output
    seen = read_capture(tmp_path / "a.pcap")
    ((keys,),) = made[0].sas().values()
    shared = Secret("any key").proof("pre-shared key of a capture")
    mac = hmac.digest(keys.proof[0], octets(seen[4], "IDi"), "sha256")
    key = hmac.digest(shared, b"Key Pad for IKEv2", "sha256")
    assert octets(seen[4], "AUTH")[4:] == hmac.digest(key, seen[0].octets + octets(seen[1], "Nonce") + mac, "sha256")
    # The first one is a signature (RFC 7427: method 14).
    assert octets(seen[2], "AUTH")[0] == 14


@pytest.mark.parametrize(
    ("auth", "count"), [("rsa2048+psk", 6), ("ecdsa256+eap-mschapv2", 14), ("ed25519+eap-gtc", 12)]
)
def test_the_command_line_names_both_proofs(auth: str, count: int) -> None:
    done = run(f"--auth {auth} --json --fragment off")
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert report["auth"] == auth and len(report["messages"]) == count
    assert report["sas"]["responder"] == {"ike": 1, "child": 1}
    assert ", then " in run(f"--auth {auth}").output.replace("\n", " ")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--auth psk+psk", "--auth: found 'psk+psk': what comes first must be a certificate, as rsa2048+psk"),
        ("--auth rsa2048+eap-mschap", "unknown second authentication 'eap-mschap', did you mean 'eap-mschapv2'?"),
        ("--auth rsa2048+psk --implementation ios-xe-16.9", "ios-xe-16.9 lets nobody prove itself twice (RFC 4739)"),
    ],
)
def test_wrong_input_is_one_line(options: str, message: str) -> None:
    done = run(options)
    assert done.exit_code == 2 and message in done.output and "Traceback" not in done.output
