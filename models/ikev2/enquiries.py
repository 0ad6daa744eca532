"""Questions that a router asks a server outside while an IKE SA waits for the answer.

What the question and its answer are belongs to whoever asks: the endpoint hands the question to its driver and the
answer back. A question that nobody answers is the asker's business: it sets a timer, or the driver answers that there
was none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .sa import IkeSa


class Question:
    """Base of all questions."""

    __slots__ = ()


class Answer:
    """Base of all answers."""

    __slots__ = ()


@dataclass(slots=True)
class Enquiry:
    """A question of one SA. The driver gives ``token`` back with the answer."""

    token: int
    question: Question
    sa: IkeSa
