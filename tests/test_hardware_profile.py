"""Hardware profiles: what ships is complete and sourced; what is wrong is refused with file and line."""

from __future__ import annotations

from pathlib import Path

import pytest
from ruamel.yaml import YAML

import flexvpn_sim.hardware as hardware
from flexvpn_sim.hardware.cost import CostModel
from flexvpn_sim.hardware.profile import HardwareProfile
from flexvpn_sim.hardware.profile_files import load_profile, load_sources, profile_names
from flexvpn_sim.hardware.stand_ins import CIPHER_MACS, CIPHERS, CURVES
from flexvpn_sim.hardware.uncertainty import correlation_factors
from flexvpn_sim.models.algorithms import ENCRYPTIONS, GROUPS, INTEGRITIES, KEMS, PRFS, SIGNATURES
from flexvpn_sim.models.errors import InputError
from flexvpn_sim.models.ikev2.operations import Protect
from flexvpn_sim.models.values import Ledger, Value

UNITS = {"_fs": "fs", "_ns": "ns", "_us": "us", "_bits": "bit", "_bytes": "bytes", "_packets": "packets"}


SHIPPED = Path(hardware.__path__[0]) / "profiles"

#: Measured on the testbed of their base, with another library for MODP groups and RSA.
SAME_MACHINE = {"linux-strongswan-gmp", "linux-strongswan-gmp-short"}


@pytest.fixture
def shipped_text() -> str:
    return (SHIPPED / "isr4321.yaml").read_text()


def write(folder: Path, text: str, name: str = "mine.yaml") -> str:
    path = folder / name
    path.write_text(text)
    return str(path)


def line_of(text: str, part: str) -> int:
    return text[: text.index(part)].count("\n") + 1


@pytest.mark.parametrize("name", profile_names())
def test_every_shipped_profile_loads_and_is_called_like_its_file(name: str) -> None:
    assert load_profile(name).name == name


@pytest.mark.parametrize("name", profile_names())
def test_every_algorithm_that_ike_can_negotiate_has_a_cost(name: str) -> None:
    parameters = load_profile(name).parameters
    assert set(parameters.symmetric.ciphers) == set(ENCRYPTIONS) - {"null"} - set(CIPHERS)
    hashes = {p.hash for p in PRFS.values()} | {i.hash for i in INTEGRITIES.values()}
    assert set(parameters.symmetric.hmacs) == hashes - set(CIPHER_MACS)
    assert set(parameters.symmetric.hashes) == set(parameters.symmetric.hmacs)
    groups = {g.name for g in GROUPS.values()}
    assert set(parameters.modexp.exponent_bits) | set(parameters.ecdh.ratios) == (
        groups - set(CURVES) - {"modp1024s160", "modp2048s224"}
    )
    assert set(parameters.signatures) == {s.name for s in SIGNATURES.values() if s.kind in ("ecdsa", "eddsa")}
    assert set(parameters.mldsa.ratios) == {s.name for s in SIGNATURES.values() if s.kind == "mldsa"}
    assert set(parameters.mlkem.ratios) == set(KEMS)
    assert parameters.engine is None or set(parameters.engine.ciphers) == set(parameters.symmetric.ciphers)


@pytest.mark.parametrize("name", profile_names())
def test_units_of_the_file_are_those_of_the_field_names(name: str) -> None:
    for path, value in load_profile(name).values().items():
        for ending, unit in UNITS.items():
            if path.endswith(ending):
                assert value.unit == unit, path


def test_every_source_is_used_by_a_shipped_profile() -> None:
    used = {value.source for name in profile_names() for value in load_profile(name).values().values()}
    assert set(load_sources()) == used - {"recollection"}


@pytest.mark.parametrize("name", profile_names())
def test_no_profile_takes_over_what_was_published_or_measured_for_another_box(name: str) -> None:
    """A number of another box is assumed for this one; only standards hold for all."""
    own = YAML(typ="safe").load((SHIPPED / f"{name}.yaml").read_text())
    if "extends" not in own or name in SAME_MACHINE:
        return
    base = load_profile(own["extends"])
    assert load_profile(name).title != base.title
    below = base.values()
    taken = {
        path: value
        for path, value in load_profile(name).values().items()
        if value.kind in ("published", "measured") and value == below.get(path) and not value.source.startswith("rfc-")
    }
    given = {path for path in taken if _given(own, path)}
    assert set(taken) == given


def _given(document: object, path: str) -> bool:
    """Whether the file itself holds the value at this path; a key may hold a dot (a licence ``2.5g``)."""
    if not path:
        return True
    if not isinstance(document, dict):
        return False
    return any(
        _given(inner, path[len(str(key)) + 1 :]) for key, inner in document.items() if f"{path}.".startswith(f"{key}.")
    )


@pytest.mark.parametrize("name", profile_names())
def test_a_profile_samples_and_its_correlations_hold_together(name: str) -> None:
    profile = load_profile(name)
    for paths, factor in correlation_factors(profile):
        assert len(set(paths)) == len(paths) == len(factor)
    for drawn in profile.sample(3, seed=1):
        assert drawn.architecture.packet_cores.value >= 1
        assert all(value.value >= 0 for value in drawn.values().values())


@pytest.mark.parametrize("name", [name for name in profile_names() if not name.startswith("linux-")])
def test_assumed_speeds_of_the_same_silicon_err_together(name: str) -> None:
    stated = {pattern for correlation in load_profile(name).correlations for pattern in correlation.values}
    assert {"parameters.modexp.k_fs", "parameters.symmetric.*.*.byte_ns", "parameters.control.*"} <= stated


@pytest.mark.parametrize("name", [name for name in profile_names() if name.startswith(("isr", "asr", "c8", "csr"))])
def test_every_speed_of_a_router_is_assumed_because_none_is_published(name: str) -> None:
    values = load_profile(name).values()
    kinds = {path: value.kind for path, value in values.items() if path.startswith("parameters.")}
    assert {path for path, kind in kinds.items() if kind != "assumed"} == {
        "parameters.modexp.exponent_bits.modp2048s256"
    }


def test_isr4321_has_one_packet_core_and_one_core_for_io_and_crypto() -> None:
    architecture = load_profile("isr4321").architecture
    assert (architecture.packet_cores.value, architecture.crypto_cores.value) == (1, 1)
    assert architecture.io_crypto == "own-core"


def test_isr4321_is_licensed_for_50_and_100_megabit_and_limited_without_hsec() -> None:
    profile = load_profile("isr4321")
    rates = {level: rate and rate.value for level, rate in profile.licences.items()}
    assert rates == {"default": 50e6, "performance": 100e6, "boost": None}
    assert profile.without_hsec is not None
    assert profile.without_hsec.crypto_bps_per_direction.value == 85e6
    assert profile.without_hsec.tunnels.value == 225


def test_unknown_profile_name_is_answered_with_the_nearest_one() -> None:
    with pytest.raises(InputError, match="did you mean 'isr4321'"):
        load_profile("isr4312")


def test_search_folders_come_before_the_shipped_profiles(tmp_path: Path, shipped_text: str) -> None:
    write(tmp_path, shipped_text.replace("title: Cisco ISR4321", "title: mine"), "isr4321.yaml")
    write(tmp_path, shipped_text, "other.yaml")
    assert load_profile("isr4321", [tmp_path]).title == "mine"
    assert profile_names([tmp_path]) == sorted([*profile_names(), "other"])


def test_a_folder_may_bring_its_own_sources(tmp_path: Path, shipped_text: str) -> None:
    text = shipped_text.replace("source: denverton", "source: our-lab")
    with pytest.raises(InputError, match="unknown source 'our-lab'"):
        load_profile(write(tmp_path, text))
    write(tmp_path, "sources:\n  our-lab: {title: ours, date: '2026', conditions: at night}\n", "sources.yaml")
    assert load_profile(write(tmp_path, text)).parameters.modexp.k_fs.source == "our-lab"
    assert "sources" not in profile_names([tmp_path])


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("  tunnels:", "  tunels:", "unknown key 'tunels', did you mean 'tunnels'"),
        ("{value: 8, unit: us, kind: assumed, ", "{value: 8, unit: us, ", "packet_us.kind: Field required"),
        ("range: [950, 2850], ", "", "an assumed value needs a range"),
        ("source: c8300-data-sheet", "source: c8300-datasheet", "did you mean 'c8300-data-sheet'"),
        ("{value: 5, unit: us,", "{value: -5, unit: us,", "io_us"),
        ("range: [200, 2200]", "range: [-200, 2200]", "message_us: must be a finite number and not negative"),
        ("{value: 225,", "{value: 225.5,", "tunnels: must be a whole number"),
        (
            "kind: published, source: tac-118746}",
            "kind: published, source: recollection}",
            "only remembered is assumed",
        ),
    ],
)
def test_a_fault_is_refused_with_file_and_line(
    tmp_path: Path, shipped_text: str, old: str, new: str, message: str
) -> None:
    text = shipped_text.replace(old, new, 1)
    path = write(tmp_path, text)
    with pytest.raises(InputError, match=message) as refused:
        load_profile(path)
    assert refused.value.where == f"{path}:{line_of(shipped_text, old)}"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("io_crypto: own-core", "io_crypto: packet-cores", "crypto_cores must be"),
        ("packet_cores: {value: 1,", "packet_cores: {value: 0,", "must be at least 1"),
        ("default_licence: default", "default_licence: gold", "'gold' is not one of default, performance, boost"),
        ("shaper:", "buffers_of_shaper:", "unknown key"),
        ("ikev2: {supported: true}", "ikev2: {supported: false}", "needs a reason"),
    ],
)
def test_a_profile_that_contradicts_itself_is_refused(
    tmp_path: Path, shipped_text: str, old: str, new: str, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        load_profile(write(tmp_path, shipped_text.replace(old, new, 1)))


def test_a_throttled_licence_without_shaper_is_refused(tmp_path: Path, shipped_text: str) -> None:
    start, stop = shipped_text.index("shaper:"), shipped_text.index("buffers:")
    with pytest.raises(InputError, match="needs a shaper"):
        load_profile(write(tmp_path, shipped_text[:start] + shipped_text[stop:]))


def test_digest_follows_the_content_and_not_the_layout(tmp_path: Path, shipped_text: str) -> None:
    shipped = load_profile("isr4321").digest
    assert load_profile(write(tmp_path, "# a comment\n" + shipped_text)).digest == shipped
    assert load_profile(write(tmp_path, shipped_text.replace("value: 1430", "value: 1431"))).digest != shipped


# -- Scaling ---------------------------------------------------------------------------------------------------

SCALED = """\
extends: isr4321
name: mine
title: A slower router
scale:
  public_key: {value: 2, kind: assumed, source: recollection, range: [1, 4]}
  symmetric: {value: 3, kind: derived, source: bsdrp}
parameters:
  ecdh:
    p256_us: {value: 99, unit: us, kind: measured, source: bsdrp}
"""


def test_scale_multiplies_times_kind_by_kind_and_an_own_value_stands(tmp_path: Path) -> None:
    mine = load_profile(write(tmp_path, SCALED))
    base = load_profile("isr4321")
    public, symmetric = mine.parameters.modexp.k_fs, mine.parameters.symmetric.ciphers["3des"].byte_ns
    assert (public.value, public.kind, public.range) == (2860, "assumed", (950, 11400))
    assert (symmetric.value, symmetric.kind, symmetric.range) == (345, "assumed", (180, 600))
    assert mine.parameters.ecdh.p256_us.value == 99
    assert mine.parameters.control == base.parameters.control
    assert mine.parameters.modexp.drift == base.parameters.modexp.drift
    assert mine.parameters.modexp.exponent_bits == base.parameters.modexp.exponent_bits


def test_wrong_scale_is_refused_with_its_line(tmp_path: Path) -> None:
    path = write(tmp_path, SCALED.replace("symmetric:", "symetric:"))
    with pytest.raises(InputError, match=r"symmetric") as refused:
        load_profile(path)
    assert f"{path}:{line_of(SCALED, 'symmetric:')}" in str(refused.value)


def test_profiles_in_the_users_folder_are_found_and_stand_before_those_that_ship(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platformdirs.user_config_dir", lambda _name: str(tmp_path / "config"))
    assert "mine" not in profile_names()
    folder = tmp_path / "config" / "hardware"
    folder.mkdir(parents=True)
    write(folder, SCALED)
    assert "mine" in profile_names()
    assert load_profile("mine").title == "A slower router"


def test_values_are_replaced_by_their_path_and_nothing_else_changes() -> None:
    profile = load_profile("isr4321")
    new = Value(value=7, unit="us", kind="measured", source="bsdrp")
    changed = profile.with_values({"parameters.ecdh.p256_us": new, "licences.default": new})
    assert changed.values() == profile.values() | {"parameters.ecdh.p256_us": new, "licences.default": new}
    with pytest.raises(KeyError):
        profile.with_values({"parameters.ecdh.p257_us": new})


# -- Limits and licences ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in profile_names() if load_profile(name).ikev2.supported])
def test_limits_without_hsec_are_those_of_isr_g2_and_isr_4000_alone(name: str) -> None:
    limit = load_profile(name).without_hsec
    assert (limit is not None) == name.startswith("isr")
    if limit is not None:
        assert (limit.crypto_bps_per_direction.value, limit.tunnels.value) == (85e6, 225)
        assert limit.tunnels.kind == ("assumed" if name in ("isr4221",) else "published")


def test_virtual_routers_start_with_the_level_that_captures_show() -> None:
    for name, level_bps in (("csr1000v-1vcpu", 1e6), ("csr1000v-8vcpu", 1e6), ("c8000v", 10e6)):
        unlicensed = load_profile(name).licences["unlicensed"]
        assert unlicensed is not None
        assert (unlicensed.value, unlicensed.kind) == (level_bps, "published")
    csr = {"unlicensed", "10m", "50m", "100m", "250m", "500m", "1g", "2.5g", "5g", "10g"}
    assert set(load_profile("csr1000v-4vcpu").licences) == csr


@pytest.mark.parametrize("name", ["isr1841", "isr2811"])
def test_first_generation_isr_is_there_to_be_refused_with_the_reason(name: str) -> None:
    support = load_profile(name).ikev2
    assert not support.supported
    assert "ISR G2" in support.reason and "15.2(4)M1" in support.reason


# -- Bad input ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "key", "message"),
    [
        ("{value: 670, unit: us,", "{value: 670, unit: ms,", "message_us", "found 'ms', 'us' is needed"),
        ("{value: 670, unit: us,", "{value: 670,", "message_us", "message_us.unit: has none, 'us' is needed"),
        ("{value: 1430, unit: fs,", "{value: 1430, unit: parsec,", "k_fs", "found 'parsec', 'fs' is needed"),
        ("{value: 50.0e+6, unit: bit/s,", "{value: 50.0e+6, unit: Mbit/s,", "  default: {", "'bit/s' is needed"),
        ("{value: 724, unit: bit,", "{value: 724, unit: bytes,", "modp2048:", "'bit' is needed"),
        ("{value: 0.2, kind", "{value: 0.2, unit: us, kind", "drift", "a number without unit is needed"),
        ("{value: 670,", "{value: -670,", "message_us", "message_us"),
        (
            "range: [200, 2200]",
            "range: [700, 2200]",
            "message_us",
            "value 670.0 lies outside its range 700.0 to 2200.0",
        ),
        ("source: tac-217135}", "source: tac-217153}", "packet_cores", "did you mean 'tac-217135'"),
        ("kind: published, source: tac-217135}", "kind: published}", "packet_cores", "source: Field required"),
        ("      aes-cbc-128:", "      aes-cbd-128:", "aes-cbd-128", "'aes-cbd-128', did you mean 'aes-cbc-128'?"),
        ("      modp3072:", "      modp3027:", "modp3027", "unknown MODP group 'modp3027', did you mean 'modp3072'?"),
        ("      ecp384:", "      epc384:", "epc384", "unknown curve 'epc384', did you mean 'ecp384'?"),
        ("    ecdsa384:", "    edcsa384:", "edcsa384", "did you mean 'ecdsa384'?"),
        ("      mlkem768:", "      mlkem786:", "mlkem786", "unknown key encapsulation 'mlkem786', did you mean"),
        ("      mldsa65:", "      mldsa56:", "mldsa56", "did you mean 'mldsa65'?"),
        ("      sha256:", "      sha265:", "sha265", "unknown hash function 'sha265', did you mean 'sha256'?"),
    ],
)
def test_bad_numbers_and_names_are_refused_with_file_and_line(
    tmp_path: Path, shipped_text: str, old: str, new: str, key: str, message: str
) -> None:
    text = shipped_text.replace(old, new, 1)
    assert text != shipped_text
    path = write(tmp_path, text)
    with pytest.raises(InputError) as refused:
        load_profile(path)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)
    assert refused.value.where == f"{path}:{line_of(text, key)}"


def test_unknown_cipher_of_an_engine_is_refused_with_its_line(tmp_path: Path) -> None:
    text = (SHIPPED / "isr2911.yaml").read_text().replace("      aes-gcm-256:", "      aes-gcm-265:")
    path = write(tmp_path, text)
    with pytest.raises(InputError, match="did you mean 'aes-gcm-256'") as refused:
        load_profile(path)
    assert refused.value.where == f"{path}:{line_of(text, 'aes-gcm-265')}"


def test_an_algorithm_without_a_cost_is_refused_by_name_when_it_is_used(tmp_path: Path, shipped_text: str) -> None:
    start = shipped_text.index("      3des:")
    text = shipped_text[:start] + shipped_text[shipped_text.index("      des:") :]
    profile = load_profile(write(tmp_path, text))
    model = CostModel(profile, Ledger())
    assert model.operation_s(Protect("aes-cbc-128", "sha1", 64)) > 0
    with pytest.raises(InputError, match=r"'isr4321': has no value for parameters\.symmetric\.ciphers\.3des"):
        model.operation_s(Protect("3des", "sha1", 64))


def test_fault_of_a_base_is_told_with_the_line_of_the_base(tmp_path: Path, shipped_text: str) -> None:
    text = shipped_text.replace("{value: 670, unit: us,", "{value: 670, unit: ms,")
    base = write(tmp_path, text, "base.yaml")
    child = write(tmp_path, "extends: base\nname: child\ntitle: Child\n", "child.yaml")
    with pytest.raises(InputError, match="'us' is needed") as refused:
        load_profile(child, [tmp_path])
    assert refused.value.where == f"{base}:{line_of(text, 'message_us')}"


def test_a_profile_loads_the_same_for_every_copy_of_the_model() -> None:
    profile = load_profile("asr1001-x")
    assert HardwareProfile.model_validate(profile.model_dump()) == profile
