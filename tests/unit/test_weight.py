"""A weight is about the bytes of the text; media weigh what a model makes of them."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from interlock.core.weight import MEDIA, weigh

trees = st.recursive(
    st.none() | st.booleans() | st.integers(-9_999, 9_999) | st.text(alphabet="abc é😀", max_size=30),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.sampled_from("abcd"), inner, max_size=4),
    max_leaves=30,
)


@given(trees)
def test_a_weight_is_close_to_the_bytes(value: Any) -> None:
    size = len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode())
    assert size <= weigh(value) <= 3 * size + 5


def test_an_image_weighs_the_same_however_large_it_is() -> None:
    small = weigh({"type": "base64", "data": "A" * 5_000})
    assert weigh({"type": "base64", "data": "A" * 5_000_000}) == small
    assert MEDIA < small < MEDIA + 100


def test_a_short_address_weighs_what_it_is() -> None:
    assert weigh({"url": "https://a.example/x.png"}) < 50
