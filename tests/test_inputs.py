"""The edge: quantities, YAML with line numbers, sourced values, secrets, scenarios, implementation profiles."""

from __future__ import annotations

import pickle
from importlib.resources import files
from pathlib import Path

import pytest
from pydantic import ValidationError

from flexvpn_sim.experiments.scenario import Scenario, TrafficYaml, read_scenario
from flexvpn_sim.models.errors import InputError, unknown_name
from flexvpn_sim.models.implementation import (
    Implementation,
    implementation_for_version,
    implementation_names,
    load_implementation,
)
from flexvpn_sim.models.ios.pseudonyms import pseudonymous_copies
from flexvpn_sim.models.ios.reader import read_folder
from flexvpn_sim.models.secret import Secret
from flexvpn_sim.models.units import bits_per_second, octets, seconds
from flexvpn_sim.models.values import Ledger, Value
from flexvpn_sim.models.yaml_input import read_text

WORKING = Path(str(files("flexvpn_sim.experiments.paper"))) / "working"


@pytest.mark.parametrize(
    ("text", "value"), [("20 ms", 0.02), ("24h", 86400.0), (3600, 3600.0), ("1.5 min", 90.0), ("1 day", 86400.0)]
)
def test_durations_are_read_with_their_unit(text: object, value: float) -> None:
    assert seconds(text) == value


@pytest.mark.parametrize(("text", "value"), [("50 Mbps", 5e7), ("2 Gbit/s", 2e9), (1000, 1000.0)])
def test_rates_are_read_in_bits_per_second(text: object, value: float) -> None:
    assert bits_per_second(text) == value


def test_sizes_are_read_in_bytes() -> None:
    assert [octets("1400 B"), octets("1.5 kB"), octets(64)] == [1400.0, 1500.0, 64.0]


@pytest.mark.parametrize("text", ["20 mx", "5 kg", True, None, [1], "nonsense"])
def test_what_is_no_duration_is_refused_with_an_example(text: object) -> None:
    with pytest.raises(InputError, match="20 ms"):
        seconds(text)


def test_the_nearest_name_is_offered() -> None:
    error = unknown_name("router", "icpedger2", ["HQ", "icpedger02"], "links")
    assert str(error) == "links: unknown router 'icpedger2', did you mean 'icpedger02'? Allowed: HQ, icpedger02"


def test_nothing_is_offered_when_no_name_is_near() -> None:
    assert "did you mean" not in str(unknown_name("router", "zzz", ["HQ"]))


def test_an_assumed_value_needs_a_range() -> None:
    with pytest.raises(ValidationError, match="range"):
        Value(value=1, kind="assumed", source="recollection")


def test_a_value_lies_inside_its_range() -> None:
    with pytest.raises(ValidationError, match="outside its range"):
        Value(value=9, kind="assumed", source="recollection", range=(1, 2))


def test_the_ledger_lists_what_was_read_and_nothing_else() -> None:
    ledger = Ledger()
    profile = load_implementation("ios-xe-16.9")
    implementation = Implementation(profile, ledger)
    assert implementation.number("rekey_margin_s") == 30
    assert implementation.count("window") == 5
    assert [row["name"] for row in ledger.rows()] == ["rekey_margin_s", "window"]
    assert ledger.assumed() == ["ios-xe-16.9: rekey_margin_s"]


def test_a_secret_never_shows_itself() -> None:
    secret = Secret("HQkey12345")
    assert [repr(secret), str(secret), f"{secret}", f"{secret!r}"] == ["<secret>"] * 4
    assert "HQkey" not in repr({"key": secret})
    with pytest.raises(TypeError):
        pickle.dumps(secret)


def test_equal_secrets_prove_the_same_and_others_do_not() -> None:
    one, same, other = Secret("a"), Secret("a"), Secret("b")
    assert one == same
    assert one != other
    assert one.proof(1, "HQ") == same.proof(1, "HQ")
    assert one.proof(1, "HQ") != other.proof(1, "HQ")
    assert one.proof(1, "HQ") != one.proof(2, "HQ")


def test_copies_of_configurations_keep_equality_and_line_numbers_and_no_secret() -> None:
    copies = pseudonymous_copies(WORKING, ["HQ.cfg", "icpedger02.cfg"])
    for name, text in copies.items():
        assert "key12345" not in text
        assert len(text.splitlines()) == len((WORKING / name).read_text().splitlines())
    local = next(line for line in copies["HQ.cfg"].splitlines() if "pre-shared-key local" in line)
    remote = next(line for line in copies["icpedger02.cfg"].splitlines() if "pre-shared-key remote" in line)
    assert local.split()[-1] == remote.split()[-1]


def test_a_copy_reads_as_the_original_does(tmp_path: Path) -> None:
    for name, text in pseudonymous_copies(WORKING, ["HQ.cfg", "icpedger02.cfg"]).items():
        (tmp_path / name).write_text(text)
    one, other = read_folder(WORKING), read_folder(tmp_path)
    assert [c.hostname for c in one] == [c.hostname for c in other]
    for a, b in zip(one, other, strict=True):
        assert a.proposals == b.proposals
        assert a.interfaces.keys() == b.interfaces.keys()


def test_text_files_of_old_encodings_are_read(tmp_path: Path) -> None:
    path = tmp_path / "old.cfg"
    path.write_bytes("! café\nhostname HQ\n".encode("latin-1"))
    assert "hostname HQ" in read_text(path)


def test_a_folder_is_a_scenario_of_its_own() -> None:
    scenario = read_scenario(WORKING)
    assert (scenario.name, scenario.seed, scenario.duration) == ("working", 1, 86400.0)


def test_paths_of_a_scenario_are_relative_to_its_file(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text("scenario: 1\nconfigurations: lab\nprofiles: [mine]\n")
    scenario = read_scenario(tmp_path / "s.yaml")
    assert scenario.configurations == str(tmp_path / "lab")
    assert scenario.profiles == [str(tmp_path / "mine")]


def test_the_shipped_example_is_a_valid_scenario() -> None:
    path = Path(__file__).parents[1] / "examples" / "two_sites.yaml"
    scenario = read_scenario(path)
    assert len(scenario.traffic or []) == 3


def test_two_flows_may_not_share_a_name() -> None:
    flow = {"from": "HQ", "to": "icpedger02"}
    with pytest.raises(ValidationError, match="two flows are called"):
        Scenario.model_validate({"configurations": "x", "traffic": [flow, flow]})


def test_a_flow_has_one_rate() -> None:
    with pytest.raises(InputError, match="exactly one"):
        TrafficYaml.model_validate(
            {"from": "A", "to": "B", "kind": "poisson", "size": 100, "packets": 10, "rate": "1 Mbps"}
        ).flow()


@pytest.mark.parametrize("name", implementation_names())
def test_every_implementation_profile_is_valid_and_says_what_is_assumed(name: str) -> None:
    profile = load_implementation(name)
    assert profile.name == name
    for value in (*profile.vendor_ids.values(), *(a.bytes for a in profile.config_request)):
        assert value.kind != "assumed" or value.range is not None


def test_the_version_line_selects_the_implementation() -> None:
    assert implementation_for_version("16.9") == "ios-xe-16.9"
    assert implementation_for_version(None) == "ios-xe-16.9"


def test_an_implementation_with_an_unknown_vendor_id_is_refused(tmp_path: Path) -> None:
    folder = files("flexvpn_sim.models") / "implementations"
    text = (folder / "strongswan.yaml").read_text().replace("    - SA\n", "    - VID:NOBODY\n    - SA\n", 1)
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match="NOBODY"):
        load_implementation(str(path))


def test_an_implementation_value_without_a_known_source_is_refused_with_its_line(tmp_path: Path) -> None:
    folder = files("flexvpn_sim.models") / "implementations"
    text = (folder / "strongswan.yaml").read_text()
    old = "window: {value: 1, kind: published, source: strongswan-defaults}"
    line = next(n for n, row in enumerate(text.splitlines(), start=1) if old in row)
    path = tmp_path / "mine.yaml"
    path.write_text(text.replace(old, "window: {value: 1, kind: published, source: strongswan-default}"))
    with pytest.raises(InputError, match=rf"mine\.yaml:{line}: unknown source.*did you mean 'strongswan-defaults'"):
        load_implementation(str(path))


def test_what_is_only_remembered_cannot_be_called_published(tmp_path: Path) -> None:
    folder = files("flexvpn_sim.models") / "implementations"
    text = (folder / "strongswan.yaml").read_text()
    old = "window: {value: 1, kind: published, source: strongswan-defaults}"
    path = tmp_path / "mine.yaml"
    path.write_text(text.replace(old, "window: {value: 1, kind: published, source: recollection}"))
    with pytest.raises(InputError, match="what is only remembered is assumed, not published"):
        load_implementation(str(path))
