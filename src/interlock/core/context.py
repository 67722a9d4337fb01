"""How large a context is: bounds before it is counted, percentiles after, and whether it grows (B6).

Bytes bound tokens: no tokenizer makes more tokens of a text than it has bytes, and no provider takes more
than its model's window. Between deployments a context grows when its mean or its 95th percentile has risen
by a margin over the best of the latest deployments, so that many small steps are seen as one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from interlock.core.sketch import Sketch, edge_of

MEDIA_TOKENS = 1_500
"""What an image usually comes to."""

MOST_MEDIA_TOKENS = 50_000
"""What a piece of media comes to at most, as far as providers say; a long document can be more."""

_PER_MILLE = 1_000
_P95, _P99 = 950, 990
_ENCODED = re.compile(rb"[A-Za-z0-9+/=]{4096,}")
_TYPED = b'"type"'
_MEDIA = re.compile(
    rb'"type"\s*:\s*"(?:image_url|input_image|image|input_file|file|document|input_audio|computer_screenshot)"'
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """The size of a request: all its bytes, those of them that are text, and how many pieces of media."""

    bytes: int
    text: int
    media: int = 0


def measure(raw: bytes) -> Size:
    """Return the size of a request body as it came, without decoding it."""
    if _TYPED not in raw:  # media always stands in a typed part
        return Size(bytes=len(raw), text=len(raw))
    encoded = _ENCODED.findall(raw) if b"base64" in raw else []
    text = len(raw) - sum(len(each) for each in encoded)
    return Size(bytes=len(raw), text=text, media=max(len(_MEDIA.findall(raw)), len(encoded)))


def most_input(size: Size, *, window: int | None, remote: bool = False, server_calls: int = 0) -> int | None:
    """Return how many tokens a call can read at most; None where nothing bounds it.

    A `remote` history is at the provider and only the window bounds it. Each of the `server_calls` reads the
    context once more, and what the tool returned with it.
    """
    if remote or server_calls:
        return None if window is None else window * (1 + server_calls)
    most = size.bytes + size.media * MOST_MEDIA_TOKENS
    return most if window is None else min(most, window)


def near(estimate: int, line: int, *, permille: int = 100) -> bool:
    """Whether an estimate is so close to a line that counting is worth its while."""
    return abs(line - estimate) * _PER_MILLE <= line * permille


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """Context sizes of one deployment, in tokens.

    `utilisation` is how much of the model's window the 95th percentile fills, per mille; None where that is
    not known.
    """

    version: int
    calls: int
    mean: int
    p95: int
    p99: int
    utilisation: int | None = None


def reading(version: int, measured: Iterable[tuple[Sketch, int | None]]) -> Reading:
    """Return the reading of a deployment: context sizes by model, each with the model's window if known."""
    sizes, shares = Sketch(), Sketch()
    for sketch, window in measured:
        sizes.merge(sketch)
        for bucket, calls in sketch.counts.items() if window else ():
            shares.add(edge_of(bucket) * _PER_MILLE // (window or 1), calls)
    return Reading(
        version=version,
        calls=sizes.count,
        mean=sizes.mean,
        p95=sizes.percentile(_P95),
        p99=sizes.percentile(_P99),
        utilisation=shares.percentile(_P95) if shares.counts else None,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Growth:
    """A context that grew: from which deployment to which, in what measure, by how many per mille."""

    measure: str
    before: Reading
    after: Reading
    rise: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TrendRule:
    """When growth is worth an alert: by `rise` per mille over the best of the `latest` deployments before.

    A deployment with fewer than `calls` says nothing yet.
    """

    rise: int = 200
    calls: int = 50
    latest: int = 5


def growth(readings: Sequence[Reading], rule: TrendRule = TrendRule()) -> Growth | None:
    """Return how the newest deployment's context grew, or None. `readings` are in the order of versions."""
    told = [reading for reading in readings if reading.calls >= rule.calls]
    if len(told) < 2 or told[-1] is not readings[-1]:
        return None
    *before, after = told[-1 - rule.latest :]
    found = [
        Growth(measure=name, before=best, after=after, rise=_rise(getattr(best, name), getattr(after, name)))
        for name in ("p95", "mean")
        for best in [min(before, key=lambda reading: getattr(reading, name))]
    ]
    worst = max(found, key=lambda grown: grown.rise)
    return worst if worst.rise >= rule.rise else None


def _rise(before: int, after: int) -> int:
    return (after - before) * _PER_MILLE // max(before, 1)
