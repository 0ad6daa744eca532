"""The anti-replay window: order of arrival, copies, and sequence numbers of 64 bits of which 32 travel."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flexvpn_sim.models.errors import InputError
from flexvpn_sim.models.replay import IOS_WINDOWS, ReplayWindow, dropped, infer


@pytest.mark.parametrize("size", IOS_WINDOWS)
def test_a_packet_within_the_window_is_taken_once_and_one_below_it_never(size: int) -> None:
    window = ReplayWindow(size)
    assert window.receive(5000) == "accepted"
    assert window.receive(5000 - size + 1) == "accepted"
    assert window.receive(5000 - size) == "too old"
    assert window.receive(5000 - size + 1) == window.receive(5000) == "replayed"
    assert window.receive(5001) == "accepted"
    # The window has moved on.
    assert window.receive(5000 - size + 1) == "too old"


def test_a_jump_forgets_what_was_seen_but_not_what_is_in_the_window() -> None:
    window = ReplayWindow(64)
    assert [window.receive(n) for n in (1, 2, 60, 65, 2, 1)] == [
        "accepted",
        "accepted",
        "accepted",
        "accepted",
        "replayed",
        "too old",
    ]
    assert window.receive(1_000_000) == "accepted"
    assert window.receive(65) == "too old"
    assert window.receive(1_000_000 - 63) == "accepted"


def test_number_0_is_never_taken_and_a_window_of_0_takes_everything() -> None:
    assert ReplayWindow(64).receive(0) == "too old"
    off = ReplayWindow(0)
    assert [off.receive(n) for n in (7, 7, 1)] == ["accepted"] * 3
    with pytest.raises(InputError, match="0 \\(off\\) or at least 32 are needed"):
        ReplayWindow(16)


@given(
    numbers=st.lists(st.integers(1, 300), min_size=1, max_size=200),
    size=st.sampled_from([32, 64, 128]),
)
def test_the_window_accepts_what_its_definition_accepts(numbers: list[int], size: int) -> None:
    window, accepted = ReplayWindow(size), list[int]()
    for number in numbers:
        highest = max(accepted, default=0)
        expected = number > highest or (number > highest - size and number not in accepted)
        assert (window.receive(number) == "accepted") == expected
        if expected:
            accepted.append(number)
    assert window.top == max(accepted)


@given(st.permutations(range(1, 250)), st.sampled_from([32, 64, 128, 0]))
def test_an_array_of_arrivals_drops_the_same_packets(order: list[int], size: int) -> None:
    window = ReplayWindow(size)
    one_by_one = [window.receive(number) != "accepted" for number in order]
    assert dropped(np.array(order), size).tolist() == one_by_one


def test_reordering_up_to_the_window_costs_nothing_and_beyond_it_everything_that_is_late() -> None:
    """A class of traffic that overtakes by n packets: every 10th packet is n places late."""
    numbers = np.arange(1, 10_001)
    for late, size, lost in [(63, 64, 0), (64, 64, 1000), (64, 128, 0), (1000, 1024, 0)]:
        at = numbers + np.where(numbers % 10 == 0, late + 0.5, 0.0)
        arriving = numbers[np.argsort(at, kind="stable")]
        found = int(dropped(arriving, size).sum())
        # The last packets have nothing behind them that could overtake.
        assert lost - late // 10 - 1 <= found <= lost


@given(
    top=st.integers(1, 2**40),
    step=st.integers(-1023, 2**31),
    size=st.sampled_from([64, 1024]),
)
def test_the_upper_half_of_an_extended_number_is_inferred(top: int, step: int, size: int) -> None:
    """RFC 4303 A2.1: right for everything in the window and up to 2^32 - window above it."""
    number = top + step
    if number < 1 or number <= top - size:
        return
    assert infer(number % 2**32, top, size) == number


def test_extended_numbers_go_on_behind_32_bits() -> None:
    window = ReplayWindow(64, extended=True, top=2**32 - 2)
    assert window.receive(2**32 - 1) == "accepted"
    assert window.receive(0) == "accepted"
    assert window.top == 2**32
    assert window.receive(2**32 - 1) == "replayed"
    assert window.receive(5) == "accepted"
    assert window.top == 2**32 + 5
    plain = ReplayWindow(64, top=2**32 - 2)
    assert plain.receive(2**32 - 1) == "accepted"
    # Without extended numbers the SA ends here (RFC 4303 3.3.3).
    assert plain.receive(0) == "too old"
