"""Post-quantum pre-shared keys (RFC 8784): what travels, who refuses whom, which keys come of it."""

from __future__ import annotations

import hmac
import json
import shlex
from dataclasses import replace
from pathlib import Path

import pytest
from capture_files import Seen, read_capture
from pair import LEFT, RIGHT, Pair, agree, changed, credential, endpoint
from typer.testing import CliRunner

from flexvpn_sim.experiments.cli import app
from flexvpn_sim.models.ikev2 import ppk, rekey
from flexvpn_sim.models.ikev2.endpoint import Endpoint
from flexvpn_sim.models.ikev2.identity import Identity
from flexvpn_sim.models.ikev2.operations import PrfCall, Sign
from flexvpn_sim.models.ikev2.policy import PRE_SHARED, Authentication, EapAccount, Ppk
from flexvpn_sim.models.secret import Secret

NAMES = {"left": Identity("fqdn", "BR1.cptl.local"), "right": Identity("fqdn", "HQ.cptl.local")}
KEY, OTHER = Secret("the PPK"), Secret("another PPK")


def end(
    side: str,
    name: str | None,
    *,
    required: bool = False,
    key: Secret = KEY,
    authentication: Authentication = PRE_SHARED,
    trusted: tuple[str, ...] = (),
    implementation: str = "strongswan",
) -> Endpoint:
    """Return an end with a PPK of this name for the other one; without a name it has none."""
    plain = endpoint(side, implementation, authentication=authentication, trusted=trusted)
    peer = NAMES["right" if side == "left" else "left"]
    own = () if name is None else (Ppk(name, key, required, peer=peer, origin=f"the PPK of {side}"),)
    (profile,) = plain.policy.profiles
    return Endpoint(replace(plain.policy, profiles=(replace(profile, ppks=own),)), plain.implementation)


def met(left: Endpoint, right: Endpoint) -> Pair:
    pair = Pair(left, right)
    pair.start(left)
    pair.run(60)
    return pair


def notifications(pair: Pair, kind: str) -> list[tuple[str, str, int]]:
    """Return sender, exchange and size of each notification of one kind."""
    found = []
    for line in pair.log:
        payload = line.datagram.message.notify(kind)
        if payload is not None and line.datagram.fragment <= 1:
            found.append((line.sender, line.datagram.message.exchange.name, payload.size))
    return found


# -- What travels ----------------------------------------------------------------------------------------------


def test_both_ends_say_use_ppk_and_the_initiator_names_its_ppk_with_auth() -> None:
    pair = met(end("left", "ppk1"), end("right", "ppk1"))
    assert agree(pair)
    assert notifications(pair, "USE_PPK") == [("left", "IKE_SA_INIT", 8), ("right", "IKE_SA_INIT", 8)]
    # Generic header 4, protocol, SPI size and type 4, type of the PPK's identity 1, its name 4; empty in the answer.
    assert notifications(pair, "PPK_IDENTITY") == [("left", "IKE_AUTH", 13), ("right", "IKE_AUTH", 8)]
    # The same AUTH data once more: 64 bytes of HMAC-SHA-512.
    assert notifications(pair, "NO_PPK_AUTH") == [("left", "IKE_AUTH", 72)]


def test_an_initiator_that_insists_sends_no_auth_without_ppk() -> None:
    pair = met(end("left", "ppk1", required=True), end("right", "ppk1"))
    assert agree(pair)
    assert notifications(pair, "NO_PPK_AUTH") == []


def test_a_signature_without_ppk_is_a_second_signature() -> None:
    left, right = (
        end(
            side,
            "ppk1",
            authentication=Authentication("certificate", ("certificate",), credential(NAMES[side].value)),
            trusted=("CA",),
        )
        for side in ("left", "right")
    )
    pair = met(left, right)
    assert agree(pair)
    # RFC 7427: an octet, the identifier of RSA with SHA-256 (15) and 256 bytes of signature; notification header 8.
    assert notifications(pair, "NO_PPK_AUTH") == [("left", "IKE_AUTH", 8 + 1 + 15 + 256)]
    assert [sum(isinstance(o, Sign) for o in pair.operations[name]) for name in ("left", "right")] == [2, 1]


def test_nothing_of_it_is_said_where_no_ppk_is_configured_or_the_implementation_has_none() -> None:
    bare = changed("strongswan")
    parts = [p for p in bare.profile.compositions.ike_sa_init_request if getattr(p, "when", None) != "ppk"]
    compositions = bare.profile.compositions.model_copy(update={"ike_sa_init_request": parts})
    without = end("left", "ppk1")
    without = Endpoint(without.policy, changed("strongswan", compositions=compositions))
    for left in (end("left", None), without):
        pair = met(left, end("right", "ppk1"))
        assert agree(pair)
        assert not notifications(pair, "USE_PPK") and not notifications(pair, "PPK_IDENTITY")


def test_after_eap_the_ppk_is_named_with_the_last_auth() -> None:
    user = EapAccount("BR1", Secret("password"))
    left = end("left", "ppk1", authentication=Authentication("eap-mschapv2", ("certificate",), account=user),
               trusted=("CA",))  # fmt: skip
    server = Authentication("certificate", ("eap-mschapv2",), credential("HQ.cptl.local"), users=(user,))
    pair = met(left, end("right", "ppk1", authentication=server, trusted=("CA",)))
    assert agree(pair)
    named = [n for n, line in enumerate(pair.log) if line.datagram.message.notify("PPK_IDENTITY") is not None]
    assert named == [len(pair.log) - 2, len(pair.log) - 1] and len(pair.log) == 12
    used = [pair.ike(one).ppk for one in (pair.left, pair.right)]
    assert [one.identity for one in used if one is not None] == ["ppk1", "ppk1"]


# -- Who refuses whom (RFC 8784 section 3, table 1) ------------------------------------------------------------

#: Initiator's PPK and whether it insists, the responder's; whether an IKE SA comes of it and whether with a PPK.
CASES = {
    "same": (("a", False), ("a", False), (True, True)),
    "same, both insist": (("a", True), ("a", True), (True, True)),
    "other name": (("a", False), ("b", False), (True, False)),
    "other name, initiator insists": (("a", True), ("b", False), (False, False)),
    "other name, responder insists": (("a", False), ("b", True), (False, False)),
    "initiator alone": (("a", False), (None, False), (True, False)),
    "initiator alone, insists": (("a", True), (None, False), (False, False)),
    "responder alone": ((None, False), ("a", False), (True, False)),
    "responder alone, insists": ((None, False), ("a", True), (False, False)),
}


@pytest.mark.parametrize("case", CASES)
def test_an_ike_sa_comes_up_with_a_ppk_without_one_or_not_at_all(case: str) -> None:
    (left_name, left_insists), (right_name, right_insists), (up, used) = CASES[case]
    pair = met(end("left", left_name, required=left_insists), end("right", right_name, required=right_insists))
    assert agree(pair) is up
    if up:
        assert {pair.ike(e).ppk is not None for e in (pair.left, pair.right)} == {used}
        assert {pair.child(e).quantum_resistant for e in (pair.left, pair.right)} == {used}
    else:
        assert not pair.left.sas
        causes = pair.causes("left", "attempt_failed") + pair.causes("right", "refused")
        assert "no PPK in common" in causes


def test_who_insists_gives_up_after_ike_sa_init_when_the_peer_has_no_ppk() -> None:
    pair = met(end("left", "a", required=True), end("right", None))
    assert [line.text.split()[0] for line in pair.log[:2]] == ["IKE_SA_INIT", "IKE_SA_INIT"]
    assert pair.causes("left", "attempt_failed")[0] == "no PPK in common"
    assert all("IKE_AUTH" not in line.text for line in pair.log)


def test_a_ppk_of_the_same_name_with_another_key_is_a_wrong_key() -> None:
    pair = met(end("left", "a", required=True), end("right", "a", key=OTHER))
    assert pair.causes("right", "refused")[0] == "wrong key"
    assert pair.log[3].datagram.message.notify("AUTHENTICATION_FAILED") is not None


def test_an_unknown_name_is_refused_with_authentication_failed() -> None:
    pair = met(end("left", "a", required=True), end("right", "b"))
    (refusal,) = [e.refusal for who, e in pair.events if (who, e.kind) == ("right", "refused")][:1]
    assert refusal is not None and refusal.notify == "AUTHENTICATION_FAILED"


# -- Work, loss and what follows -------------------------------------------------------------------------------


def prf_calls(pair: Pair, name: str) -> int:
    return sum(o.count for o in pair.operations[name] if isinstance(o, PrfCall))


def test_three_prf_calls_mix_the_keys_at_each_end_and_three_more_make_the_auth_without() -> None:
    plain = met(end("left", None), end("right", None))
    insisting = met(end("left", "a", required=True), end("right", "a"))
    optional = met(end("left", "a"), end("right", "a"))
    more = [
        [prf_calls(pair, name) - prf_calls(plain, name) for name in ("left", "right")] for pair in (insisting, optional)
    ]
    assert more == [[3, 3], [6, 3]]
    unknown = met(end("left", "a"), end("right", "b"))
    assert [prf_calls(unknown, name) - prf_calls(plain, name) for name in ("left", "right")] == [6, 0]


@pytest.mark.parametrize("lost", range(4))
@pytest.mark.parametrize("names", [("a", "a"), ("a", "b")])
def test_both_ends_agree_whichever_message_is_lost(lost: int, names: tuple[str, str]) -> None:
    pair = Pair(end("left", names[0]), end("right", names[1]), loses=lambda number, _: number == lost)
    pair.start(pair.left)
    pair.run(60)
    assert agree(pair)
    assert {pair.ike(e).ppk is not None for e in (pair.left, pair.right)} == {names[0] == names[1]}


def test_the_ike_sa_itself_is_safe_from_a_quantum_computer_after_its_first_rekey() -> None:
    pair = met(end("left", "a"), end("right", "a"))
    first = pair.ike(pair.left)
    assert not ppk.protects_ike(first) and pair.child(pair.left).quantum_resistant
    rekey.want(first, 0)
    pair.left.advance(first)
    pair.take(pair.left, pair.left.on_timer(pair.now))
    pair.run(120)
    assert agree(pair)
    assert all(ppk.protects_ike(pair.ike(e)) for e in (pair.left, pair.right))


def test_a_ppk_is_found_by_identity_before_the_longest_address() -> None:
    from ipaddress import IPv4Network

    by_address = [Ppk(f"by {net}", KEY, network=IPv4Network(net)) for net in ("0.0.0.0/0", f"{RIGHT}/32", f"{LEFT}/32")]
    by_name = Ppk("by name", KEY, peer=NAMES["right"])
    profile = replace(endpoint("left").policy.profiles[0], ppks=(*by_address, by_name))
    assert ppk.of_peer(profile, NAMES["right"], RIGHT) is by_name
    assert ppk.of_peer(profile, None, RIGHT) is by_address[1]
    assert ppk.of_peer(replace(profile, ppks=()), None, RIGHT) is None


# -- Keys in a capture -----------------------------------------------------------------------------------------


def run(options: str, *more: str):  # type: ignore[no-untyped-def]
    options = f"--ike aes256-sha256-ecp256 --esp aes256-sha256 {options}"
    return CliRunner().invoke(app, ["exchange", *shlex.split(options), "--hardware", "linux-strongswan-openssl", *more])


def captured(options: str, path: Path) -> list[Seen]:
    done = run(options, "--json", "--pcap", str(path))
    assert done.exit_code == 0, done.output
    return read_capture(path)


def derived(name: str, key: bytes, seed: bytes) -> bytes:
    """Return the first output of prf+ by hand (RFC 7296 2.13)."""
    return hmac.digest(key, seed + b"\x01", name)


def auth_of(seen: Seen) -> bytes:
    return next(p for p in seen.payloads if p.name == "AUTH").body()[4:]


def octets(seen: Seen, name: str) -> bytes:
    return next(p for p in seen.payloads if p.name == name).body()


@pytest.mark.parametrize("scenario", ["ppk", "ppk-unknown"])
def test_auth_in_a_capture_is_that_of_the_mixed_keys_and_no_ppk_auth_that_of_the_others(
    scenario: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flexvpn_sim.experiments import capture
    from flexvpn_sim.models.ikev2.wire.session import Session

    made: list[Session] = []

    class Kept(Session):
        def __init__(self, *args: object, **more: object) -> None:
            super().__init__(*args, **more)  # type: ignore[arg-type]
            made.append(self)

    monkeypatch.setattr(capture, "Session", Kept)
    seen = captured(f"--scenario {scenario}", tmp_path / "a.pcap")
    (keys,) = next(iter(made[0].sas().values()))
    init, answer, request, response = seen
    shared = Secret("any key").proof("pre-shared key of a capture")
    mixing = Secret("any PPK").proof("PPK of a capture")

    def expected(proof_key: bytes, message: Seen, nonce: bytes, identity: bytes) -> bytes:
        mac = hmac.digest(proof_key, identity, "sha256")
        key = hmac.digest(shared, b"Key Pad for IKEv2", "sha256")
        return hmac.digest(key, message.octets + nonce + mac, "sha256")

    ni, nr = octets(init, "Nonce"), octets(answer, "Nonce")
    id_i, id_r = octets(request, "IDi"), octets(response, "IDr")
    without = octets(request, "N:NO_PPK_AUTH")[4:]
    if scenario == "ppk":
        # The session ends with the mixed keys; what they were before follows from AUTH without them.
        assert auth_of(request) == expected(keys.proof[0], init, nr, id_i)
        assert auth_of(response) == expected(keys.proof[1], answer, ni, id_r)
        assert octets(request, "N:PPK_IDENTITY")[4:] == b"\x02ppk1"
        assert without != auth_of(request)
    else:
        assert without == expected(keys.proof[0], init, nr, id_i)
        assert auth_of(response) == expected(keys.proof[1], answer, ni, id_r)
        assert auth_of(request) == expected(derived("sha256", mixing, keys.proof[0]), init, nr, id_i)


def test_a_rekey_after_a_ppk_and_eap_with_a_ppk_are_decrypted(tmp_path: Path) -> None:
    for number, options in enumerate(
        (
            "--scenario ppk,rekey-ike,delete",
            "--scenario ppk --auth eap-mschapv2:ecdsa256",
            "--scenario ppk --auth ecdsa256",
        )
    ):
        seen = captured(options, tmp_path / f"{number}.pcap")
        assert all(datagram.payloads or not datagram.text for datagram in seen)


# -- The command line ------------------------------------------------------------------------------------------


def test_the_option_gives_both_ends_a_ppk_and_required_leaves_no_auth_without() -> None:
    rows = {}
    for text in ("abc", "abc:required"):
        done = run(f"--ppk {text}", "--json")
        assert done.exit_code == 0, done.output
        rows[text] = json.loads(done.stdout)["messages"][2]
        assert "N:PPK_IDENTITY(12)" in rows[text]["payloads"]
    assert "NO_PPK_AUTH(40)" in rows["abc"]["payloads"] and "NO_PPK_AUTH" not in rows["abc:required"]["payloads"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--ppk abc:require", "--ppk: unknown property of a PPK 'require', did you mean 'required'?"),
        ("--ppk ''", "--ppk: found '', a name of 1 to 64 bytes such as ppk1 is needed"),
        ("--scenario ppq", "did you mean 'ppk'?"),
    ],
)
def test_wrong_input_is_one_line(options: str, message: str) -> None:
    done = run(options)
    assert done.exit_code == 2
    assert message in done.output and "Traceback" not in done.output
    assert "any PPK" not in done.output


# -- IOS configurations ----------------------------------------------------------------------------------------

EXAMPLES = Path(__file__).parents[1] / "examples" / "certificates"
PEER_LINES = "crypto ikev2 keyring QUANTUM\n peer OTHER\n  address 0.0.0.0 0.0.0.0\n  ppk manual id {} key {}\n!\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return the example's configurations with a PPK in both."""
    target = tmp_path / "lab"
    target.mkdir()
    for path in EXAMPLES.glob("*.cfg"):
        text = PEER_LINES.format("lab", "secret-of-the-lab required") + path.read_text()
        assert " authentication local rsa-sig\n" in text
        text = text.replace(" authentication local rsa-sig\n", " authentication local rsa-sig\n keyring ppk QUANTUM\n")
        (target / path.name).write_text(text)
    return target


def change(folder: Path, old: str, new: str, name: str = "branch.cfg") -> None:
    text = (folder / name).read_text()
    assert old in text
    (folder / name).write_text(text.replace(old, new))


def test_a_ppk_of_a_configuration_protects_the_tunnel_and_is_shown(folder: Path) -> None:
    import flexvpn_sim as fv
    from flexvpn_sim.experiments.show import show

    result = fv.run(folder, duration_s=60, traffic=False)
    assert bool(result.sessions["up"].all())
    assert set(result.ike_sas["ppk"]) == {"lab"}
    assert not result.ike_sas["quantum_resistant"].any() and result.tables["child_sas"]["quantum_resistant"].all()
    text = show(result, "HUB", "show crypto ikev2 sa detailed", 50)
    assert "Auth sign: RSA, Auth verify: RSA, QR\n" in text
    assert "      Quantum-safe Encryption using Manual PPK\n" in text
    kept = " ".join(str(table.to_dict()) for table in result.tables.values())
    assert "secret-of-the-lab" not in kept and "secret-of-the-lab" not in text


@pytest.mark.parametrize(
    ("new", "up"),
    [
        ("id lab key secret-of-the-lab", True),
        ("id lab key another-secret required", False),
        ("id other key secret-of-the-lab required", False),
        ("id lab key 6 ABCDEF required", False),
    ],
)
def test_ppks_of_two_configurations_agree_or_the_tunnel_stays_down(folder: Path, new: str, up: bool) -> None:
    import flexvpn_sim as fv

    change(folder, "id lab key secret-of-the-lab required", new)
    (session,) = fv.run(folder, duration_s=60, traffic=False).sessions.to_dict("records")
    assert session["up"] is up
    if "id other" in new:
        assert "no PPK in common" in session["reason"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "ppk manual id lab key secret-of-the-lab required",
            "ppk dynamic SKIP",
            "allowed: ppk manual id ID key KEY [required]",
        ),
        (" keyring ppk QUANTUM", " keyring ppk QUANTUN", "unknown keyring 'QUANTUN', did you mean 'QUANTUM'?"),
    ],
)
def test_what_is_not_simulated_is_refused_with_its_line(folder: Path, old: str, new: str, message: str) -> None:
    change(folder, old, new)
    done = CliRunner().invoke(app, ["run", str(folder), "--duration", "60s"])
    assert done.exit_code == 2
    assert message in done.output and "branch.cfg:" in done.output and "secret-of-the-lab" not in done.output


def test_the_key_of_a_ppk_is_hidden_and_required_is_not() -> None:
    from flexvpn_sim.models.ios.reader import parse_router

    lines = "hostname A\ncrypto ikev2 keyring K\n peer P\n  ppk manual id lab key {}\n"
    for key, required, hidden in (
        ("abc", False, "key <secret>"),
        ("abc required", True, "key <secret> required"),
        ("0 abc required", True, "key 0 <secret> required"),
        ("hex 616263", False, "key hex <secret>"),
        ("required", False, "key <secret>"),
    ):
        peer = parse_router(lines.format(key), Path("a.cfg")).keyrings["K"].peers[0]
        assert (peer.ppk_id, peer.ppk_required) == ("lab", required)
        assert peer.ppk_line is not None and peer.ppk_line.text == f"ppk manual id lab {hidden}"
        assert peer.ppk_key == Secret("required" if key == "required" else "abc")
