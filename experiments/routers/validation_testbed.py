"""Comparisons with the strongSwan testbed: CPU of handshakes and rekeys, and the primitives behind them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from ...hardware.cost import CostModel
from ...hardware.profile import HardwareProfile
from ...hardware.profile_files import load_profile
from ...hardware.public_figures import figures
from ...hardware.scaling import ffdh_from
from ...models.algorithms import GROUPS
from ...models.errors import InputError
from ...models.ikev2.operations import DhKeygen, DhShared, DhValidate
from ...models.notation import parse_esp, parse_ike
from ...models.values import Ledger
from ..exchange import exchange
from .validation import Comparison, Section, Target, Use
from .validation_public_key import median_drift

#: Profile by the library that computes Diffie-Hellman.
PROFILES = {
    "openssl": "linux-strongswan-openssl",
    "gmp": "linux-strongswan-gmp",
    "gmp-short": "linux-strongswan-gmp-short",
}
#: Figures that set a constant of the profiles; their comments say how.
FITTED = {
    "rekey-child-nopfs": "set parameters.control.install_sa_us",
    "rsa2048-ecp256": "set parameters.control.certificate_us",
    "init-only-modp2048": "set parameters.control.message_us",
    "cookie-only-modp2048": "set parameters.control.stateless_us",
}
#: Not a number but a choice of the profiles leans on these.
CHOSEN = {"psk-modp2048-gmp": "it decided that gmp validates no peer's value"}
WITHOUT_STATE = ("init-only", "cookie")
#: Messages of an INFORMATIONAL exchange that deletes an SA, the last of a rekey.
DELETION = 2


@cache
def responder_cpu_s(profile: str, ike: str, esp: str, auth: str, scenario: str) -> float:
    """Return the responder's CPU time of a conversation as ``flexvpn-sim exchange`` computes it. [s]

    ``setup+delete`` is a set-up and the deletion that ends a rekey. Raises InputError for what is not simulated.
    """
    proposals = parse_ike(ike, "ike"), parse_esp(esp, "esp")
    hardware = load_profile(profile)
    if scenario != "setup+delete":
        played = exchange(*proposals, hardware, scenario=scenario, auth=auth)
        return float(played["responder_cpu_s"])
    rekey = exchange(*proposals, hardware, scenario="rekey-ike", auth=auth)
    deletion_s = sum(float(message[f"{_side(message)}_cpu_s"]) for message in rekey["messages"][-DELETION:])
    return responder_cpu_s(profile, ike, esp, auth, "setup") + deletion_s


def _side(message: Mapping[str, str]) -> str:
    """Return on which side of a message the responder stands."""
    return "receiver" if message["direction"] == "i>r" else "sender"


def handshake_cpu() -> Section:
    """Return set-ups and rekeys; from primitives and three constants (a message, an SA pair, a certificate)."""
    rows = [_handshake(row) for row in figures("handshake_cpu") if row["scenario"] not in WITHOUT_STATE]
    return Section(
        "handshake-cpu",
        "CPU of the responder: set-ups and rekeys (strongSwan)",
        Target(worst=0.15, median=0.08),
        tuple(rows),
        "Primitives were measured apart; three constants were fitted with OpenSSL and serve gmp too: a message (from "
        "init-only), an SA pair, a certificate.",
    )


def without_state() -> Section:
    """Return half-open SAs and cookies, which have one constant each."""
    rows = [_handshake(row) for row in figures("handshake_cpu") if row["scenario"] in WITHOUT_STATE]
    return Section(
        "without-state",
        "CPU of the responder: half-open SAs and cookies (strongSwan)",
        Target(),
        tuple(rows),
        "One constant each, so nothing is proved here; they feed the flood experiments.",
    )


def _handshake(row: Mapping[str, str]) -> Comparison:
    measured_s = float(row["resp_cpu_ms"]) * 1e-3
    profile = PROFILES[row["library"]]
    predicted_s, note = None, FITTED.get(row["case"], "")
    use: Use = "fit" if note else "unused"
    note = note or CHOSEN.get(row["case"], "")
    if row["ike_version"] != "2":
        use, note = "not predicted", "IKEv1 is not simulated"
    else:
        words = (row["ike"], row["esp"], row["auth"], row["scenario"])
        try:
            predicted_s = responder_cpu_s(profile, *words)
        except InputError as error:
            use, note = "not predicted", str(error)
    return Comparison(
        f"{row['case']} ({row['library']})",
        "s",
        measured_s,
        predicted_s,
        use,
        f"conversation priced by {profile}",
        row["source"],
        note,
    )


def profile_primitives() -> Section:
    """Return the steps of a MODP exchange as the profile prices them; they set its four numbers."""
    profile: HardwareProfile = load_profile(PROFILES["openssl"])
    cost = CostModel(profile, Ledger())
    numbers = {group.name: number for number, group in GROUPS.items()}
    steps: dict[str, type[DhKeygen | DhValidate | DhShared]] = {
        "keygen": DhKeygen,
        "validate": DhValidate,
        "shared": DhShared,
    }
    rows = [
        Comparison(
            f"{row['group']} {row['step']}",
            "s",
            float(row["us"]) * 1e-6,
            cost.operation_s(steps[row["step"]](numbers[row["group"]])),
            "fit",
            "k e n^2 (2048/n)^drift",
            row["source"],
        )
        for row in figures("modexp")
        if row["library"] == "openssl-evp"
    ]
    title = "Steps of a MODP exchange in linux-strongswan-openssl"
    return Section("profile-primitives", title, Target(), tuple(rows), "Least squares over all of them.")


def exponentiations() -> Section:
    """Return exponentiations of any length, each from one of full length at 2048 bits with the same library."""
    table = [row for row in figures("modexp") if row["step"] == "exponentiation"]
    table.sort(key=lambda row: row["library"])
    rows = []
    for row in table:
        bits, exponent = int(row["group"].removeprefix("modp")), int(row["exponent_bits"])
        base = next(
            r
            for r in table
            if r["library"] == row["library"] and r["group"] == "modp2048" == f"modp{r['exponent_bits']}"
        )
        # GMP's constant-time exponentiation multiplies by the schoolbook whatever the length: no drift.
        drift = 0.0 if row["library"] == "gmp" else median_drift(without="testbed")
        rows.append(
            Comparison(
                f"{row['library']} {bits} bits, exponent {exponent}",
                "s",
                float(row["us"]) * 1e-6,
                ffdh_from(float(base["us"]) * 1e-6, (2048, 2048), (exponent, bits), drift),
                "fit" if row is base else "unused",
                "known" if row is base else f"from 2048 bits, exponent 2048; drift {drift:.2f}",
                row["source"],
            )
        )
    return Section(
        "exponentiations",
        "Modular exponentiations of the testbed, from one of each library",
        Target(worst=0.20),
        tuple(rows),
        "GMP: schoolbook, no drift; OpenSSL: drift of the other CPUs.",
    )
