"""The anti-replay window of a receiver (RFC 4303 section 3.4.3 and appendix A, RFC 4302 likewise).

A packet is taken when its sequence number is higher than any before, or within the window below the highest and not
seen yet. With extended sequence numbers 32 of 64 bits travel and the receiver infers the rest (RFC 4303 appendix A2).

What this leaves out: an ICV that is wrong (only packets that are authentic move a window), manual keying, several
windows of one SA for classes of traffic.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from .errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Verdict = Literal["accepted", "replayed", "too old"]
#: Sizes that IOS offers (``set security-association replay window-size``). [packets]
IOS_WINDOWS = (64, 128, 256, 512, 1024)
#: The least that every implementation supports (RFC 4303 3.4.3). [packets]
MIN_WINDOW = 32
_LOW_BITS = 32
_LOW = 1 << _LOW_BITS


@dataclass(slots=True)
class ReplayWindow:
    """The window of one inbound SA.

    Parameters
    ----------
    size: 0 switches the check off, else at least 32. [packets]
    top: the highest sequence number accepted so far; 0: none.
    extended: sequence numbers have 64 bits.

    Raises InputError for a window that is smaller than RFC 4303 allows.
    """

    size: int = 64
    extended: bool = False
    top: int = 0
    #: Bit n: the packet with the number ``top - n`` has been accepted.
    _seen: int = 0

    def __post_init__(self) -> None:
        if self.size and self.size < MIN_WINDOW:
            raise InputError(f"a replay window of {self.size} packets: 0 (off) or at least {MIN_WINDOW} are needed")

    def receive(self, low_bits: int) -> Verdict:
        """Take a packet with this sequence number as it travels, the lower 32 bits, and return what becomes of it."""
        number = infer(low_bits, self.top, self.size) if self.extended else low_bits
        verdict = self.verdict(number)
        if verdict == "accepted" and self.size:
            self._accept(number)
        return verdict

    def verdict(self, number: int) -> Verdict:
        """Return what would become of a packet with this whole number; the window stays as it is."""
        if not self.size or number > self.top:
            return "accepted" if number > 0 or not self.size else "too old"
        age = self.top - number
        # Number 0 is never sent (RFC 4303 2.2).
        if age >= self.size or number <= 0:
            return "too old"
        return "replayed" if self._seen >> age & 1 else "accepted"

    def _accept(self, number: int) -> None:
        if number > self.top:
            shift = number - self.top
            self._seen = (self._seen << shift if shift < self.size else 0) | 1
            self._seen &= (1 << self.size) - 1
            self.top = number
        else:
            self._seen |= 1 << (self.top - number)


def infer(low_bits: int, top: int, size: int) -> int:
    """Return the 64-bit sequence number behind the 32 bits that travel (RFC 4303 A2.1).

    Parameters
    ----------
    low_bits: lower half of the number of the packet.
    top: highest number accepted so far.
    size: of the window. [packets]

    >>> infer(5, (7 << 32) + 0xFFFF_FFF0, 64) == (8 << 32) + 5
    True
    """
    high, low = divmod(top, _LOW)
    if low >= size - 1:
        # The window lies within one subspace: what is below it belongs to the next.
        return ((high + 1) if low_bits < low - size + 1 else high) * _LOW + low_bits
    # The window reaches down into the subspace before.
    before = high > 0 and low_bits >= (low - size + 1) % _LOW
    return (high - 1 if before else high) * _LOW + low_bits


def dropped(numbers: NDArray[np.integer], size: int = 64) -> NDArray[np.bool_]:
    """Return which packets of an arriving sequence of different numbers a window drops because they are too old.

    Parameters
    ----------
    numbers: whole sequence numbers in the order of arrival, none of them twice, from 1. Shape (n,).
    size: of the window; 0: nothing is dropped. [packets]

    Shape (n,). The highest number before a packet is a running maximum: a packet that is dropped is never the highest.
    """
    import numpy as np

    if not size or not numbers.size:
        return np.zeros(numbers.size, np.bool_)
    top = np.maximum.accumulate(numbers)
    late: NDArray[np.bool_] = top - numbers >= size
    return late
