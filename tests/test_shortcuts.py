"""What is worked out in a shorter way for speed is what the long way gives."""

from __future__ import annotations

from itertools import combinations

import networkx as nx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flexvpn_sim.models.errors import InputError
from flexvpn_sim.models.ikev2.restarts import Restarts
from flexvpn_sim.models.ikev2.sa import NS_PER_S
from flexvpn_sim.models.implementation import Implementation, load_implementation
from flexvpn_sim.models.randomness import Streams, hash64, make_key
from flexvpn_sim.models.secret import Secret
from flexvpn_sim.models.topology import path
from flexvpn_sim.models.values import Ledger

NODES = "ABCDEF"


@given(st.dictionaries(st.sampled_from([*combinations(NODES, 2)]), st.floats(0.001, 1), max_size=12))
def test_the_way_through_the_underlay_is_the_one_with_the_least_delay(links: dict[tuple[str, str], float]) -> None:
    """The search begins behind access links; the reference is a search from end to end."""
    graph: nx.Graph[str] = nx.Graph()
    graph.add_nodes_from(NODES)
    for (a, b), delay_s in links.items():
        graph.add_edge(a, b, delay_s=delay_s)

    def delay_s(nodes: list[str]) -> float:
        return float(nx.path_weight(graph, nodes, "delay_s"))

    for source in NODES:
        for target in NODES:
            if not nx.has_path(graph, source, target):
                with pytest.raises(InputError, match=f"no link leads from {source} to {target}"):
                    path(graph, source, target)
                continue
            nodes = path(graph, source, target)
            assert (nodes[0], nodes[-1]) == (source, target)
            assert len(set(nodes)) == len(nodes)
            assert delay_s(nodes) == pytest.approx(nx.shortest_path_length(graph, source, target, weight="delay_s"))


def test_a_node_that_is_not_there_has_no_way() -> None:
    graph: nx.Graph[str] = nx.Graph()
    graph.add_edge("A", "B", delay_s=1.0)
    with pytest.raises(InputError, match="no link leads from A to Z"):
        path(graph, "A", "Z")


@given(st.integers(0, 2**64 - 1), st.text(max_size=8))
def test_the_draws_of_a_purpose_are_the_hashes_of_a_counter(key: int, purpose: str) -> None:
    streams = Streams(key)
    drawn = [streams.bits(purpose) for _ in range(3)]
    assert drawn == [hash64(key ^ make_key(0, "", purpose), n) for n in range(3)]


@given(st.lists(st.tuples(st.sampled_from("XYZ"), st.sampled_from(["down", "want"]), st.integers(0, 3)), max_size=25))
def test_the_pauses_that_end_are_those_that_nobody_has_cut_short(happenings: list[tuple[str, str, int]]) -> None:
    """The reference keeps a table of pauses and looks through all of it."""
    implementation = Implementation(load_implementation("ios-xe-16.9"), Ledger())
    restarts = Restarts(implementation)
    wait_ns = round(implementation.number("restart_after_timeout_s") * NS_PER_S)
    now, pauses = 0, dict[str, int]()
    for tunnel in "XYZ":
        restarts.want(tunnel)
        restarts.tried(tunnel)
    for tunnel, what, seconds in happenings:
        now += seconds * NS_PER_S
        due = sorted(name for name, at in pauses.items() if at <= now)
        assert restarts.take_due(now) == due
        pauses = {name: at for name, at in pauses.items() if name not in due}
        if what == "down":
            restarts.went_down(tunnel, "no answer", now)
            pauses.setdefault(tunnel, now + wait_ns)
        else:
            restarts.want(tunnel)
            pauses.pop(tunnel, None)
        assert restarts.next_ns() == min(pauses.values(), default=None)


def test_a_proof_over_octets_depends_on_the_key_and_on_every_octet() -> None:
    proof = Secret("key").proof_over(b"signed")
    assert proof == Secret("key").proof_over(b"signed")
    assert len({proof, Secret("other").proof_over(b"signed"), Secret("key").proof_over(b"Signed")}) == 3
    assert Secret("key").proof("signed") == proof
