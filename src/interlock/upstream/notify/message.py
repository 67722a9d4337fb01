"""What the channels share: a message on its way out, and how sending it ended, as values."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One notice for one address. `body` is the JSON of a webhook; `title` and `text` are for people.

    `delivery` is the same however often it is sent: a receiver knows a repetition by it.
    """

    delivery: str
    target: str
    title: str
    text: str
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """The receiver has taken it. `detail` is for the log."""

    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NotTaken:
    """It was not taken. Where it is `final`, trying again would not help."""

    detail: str
    final: bool = False


Ending = Sent | NotTaken
