"""Results are shortened to about what a rule says: text by its middle, JSON in its own shape."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from interlock.core.compression import rule_for, shorten, size_of, text_of, worded
from interlock.core.document.spending import Compression

trees = st.recursive(
    st.none() | st.booleans() | st.integers(-999, 999) | st.text(alphabet="ab é😀", max_size=300),
    lambda inner: (
        st.lists(inner, max_size=12) | st.dictionaries(st.sampled_from("abcdef"), inner, max_size=6)
    ),
    max_leaves=40,
)


def a_rule(to: int, above: int | None = None, tool: str = "*") -> Compression:
    return Compression(tool=tool, above=above or to, to=to)


def said(*texts: str, **more: Any) -> dict[str, Any]:
    return {"content": [{"type": "text", "text": text} for text in texts], **more}


def the_text(payload: dict[str, Any], to: int) -> str:
    done = shorten(payload, a_rule(to))
    assert done is not None
    return done.payload["content"][0]["text"]


def same_shape(small: Any, large: Any) -> bool:
    """Whether nothing changed but that lists and texts lost something."""
    if isinstance(large, dict):
        return small.keys() == large.keys() and all(same_shape(small[name], large[name]) for name in large)
    if isinstance(large, list):
        return isinstance(small, list) and len(small) <= len(large) and bool(small) == bool(large)
    return type(small) is type(large) and (isinstance(large, str) or small == large)


def test_the_first_rule_about_a_tool_counts() -> None:
    rules = [a_rule(1, tool="crm.lookup"), a_rule(2), a_rule(3, tool="web.get")]
    assert rule_for(rules, "crm.lookup") is rules[0]
    assert rule_for(rules, "web.get") is rules[1]
    assert rule_for(rules[:1], "web.get") is None


def test_a_result_that_is_no_larger_than_its_rule_says_is_left_alone() -> None:
    assert shorten(said("x" * 100), a_rule(10, above=100)) is None
    assert shorten({"content": [{"type": "image", "data": "x" * 10_000}]}, a_rule(100)) is None
    assert shorten({}, a_rule(100)) is None


def test_text_keeps_its_head_and_tail_and_says_what_is_missing() -> None:
    text = "".join(f"line {number}\n" for number in range(2_000))
    short = the_text(said(text), 1_000)
    assert short.startswith("line 0\nline 1\n")
    assert short.endswith("line 1999\n")
    assert len(short) <= 1_000
    kept = len(short) - len(short[short.index("[…") : short.index("…]") + 2])
    assert f"[… {len(text) - kept} bytes left out …]" in short


def test_json_stays_json_of_the_same_shape() -> None:
    rows = [{"id": number, "name": f"customer {number}"} for number in range(500)]
    short = json.loads(the_text(said(json.dumps({"total": 500, "rows": rows})), 2_000))
    assert short["total"] == 500
    assert short["rows"][0] == rows[0]
    assert short["rows"][-1] == rows[-1]
    assert 10 < len(short["rows"]) < 100


def test_what_only_looks_like_json_is_text() -> None:
    assert "bytes left out" in the_text(said("{" + "x" * 500), 100)
    assert "bytes left out" in the_text(said("[" * 100_000), 200)


def test_a_single_large_item_is_cut_itself() -> None:
    assert "bytes left out" in the_text(said(json.dumps(["x" * 5_000])), 200)


def test_small_blocks_stay_whole_beside_a_large_one() -> None:
    done = shorten(said("a heading", "x" * 9_000, "a footing"), a_rule(500))
    assert done is not None
    texts = [block["text"] for block in done.payload["content"]]
    assert (texts[0], texts[2]) == ("a heading", "a footing")
    assert done.before == 9_000 + 20
    assert done.after == size_of(done.payload) <= 520


def test_text_and_structured_content_are_shortened_each_by_itself() -> None:
    rows = {"rows": list(range(5_000))}
    payload = said(json.dumps(rows), structuredContent=rows, isError=False, _meta={"k": 1})
    done = shorten(payload, a_rule(400))
    assert done is not None
    assert json.loads(done.payload["content"][0]["text"])["rows"][:2] == [0, 1]
    assert done.payload["structuredContent"]["rows"][-1] == 4_999
    assert (done.payload["isError"], done.payload["_meta"]) == (False, {"k": 1})
    assert payload["structuredContent"] is rows
    assert len(rows["rows"]) == 5_000


def test_what_is_no_text_stays_where_it_is() -> None:
    image = {"type": "image", "data": "AAAA", "mimeType": "image/png"}
    odd = {"type": "text", "text": 7}
    done = shorten({"content": [image, odd, "odd", {"type": "text", "text": "x" * 900}]}, a_rule(100))
    assert done is not None
    assert done.payload["content"][:3] == [image, odd, "odd"]


@given(trees, st.integers(1, 2_000))
def test_any_json_keeps_its_shape_and_does_not_grow(tree: Any, to: int) -> None:
    done = shorten(said("", structuredContent={"v": tree}), a_rule(to))
    if done is not None:
        small = done.payload["structuredContent"]
        assert same_shape(small, {"v": tree})
        assert done.after <= done.before


@given(st.text(min_size=1, max_size=5_000), st.integers(1, 2_000))
def test_any_text_is_cut_to_about_its_budget(text: str, to: int) -> None:
    done = shorten(said("plain " + text), a_rule(to))
    if done is not None:
        assert done.after <= max(to, 70)


def test_a_summary_takes_the_place_of_the_texts_alone() -> None:
    image = {"type": "image", "data": "AAAA"}
    payload = said("x" * 900, structuredContent={"v": ["y" * 900]})
    payload["content"].append(image)
    done = shorten(payload, a_rule(100))
    assert done is not None
    put = worded(done, "nine hundred")
    assert put.payload["content"] == [{"type": "text", "text": "nine hundred"}, image]
    assert put.payload["structuredContent"] == done.payload["structuredContent"]
    assert (put.before, put.after) == (done.before, size_of(put.payload))


def test_what_is_too_deep_stays() -> None:
    deep: Any = "x" * 500
    for _ in range(100):
        deep = [deep]
    done = shorten({"structuredContent": deep}, a_rule(100))
    assert done is not None
    assert done.payload["structuredContent"] == deep


def test_a_result_says_its_texts_or_its_structure() -> None:
    assert text_of(said("a", "b")) == "a\nb"
    assert text_of({"structuredContent": {"a": 1}}) == '{"a":1}'
    assert text_of({"content": [{"type": "image"}]}) == ""


def test_an_object_of_very_many_members_and_very_many_texts_are_made_small_too() -> None:
    rule = a_rule(4_096)
    wide = said("", structuredContent={str(each): "y" * 20 for each in range(20_000)})
    small = shorten(wide, rule)
    assert small is not None
    members = small.payload["structuredContent"]
    assert small.after < 20_000
    assert list(members) == [str(each) for each in range(len(members))], "the first ones stay, in their order"
    fits = {str(each): "y" * 500 for each in range(1_001)}
    room = shorten(said("", structuredContent=fits), a_rule(50_000))
    assert room is not None
    assert room.payload["structuredContent"].keys() == fits.keys()
    blocks = [{"type": "text", "text": f"{each:05}" * 4} for each in range(20_000)]
    done = shorten({"content": [{"type": "image"}, *blocks]}, rule)
    assert done is not None
    assert done.after < 8_192
    kept = done.payload["content"]
    assert kept[0] == {"type": "image"}
    assert (kept[1], kept[-1]) == (blocks[0], blocks[-1])
    (gone,) = [each["text"] for each in kept[1:] if "left out" in each["text"]]
    assert gone == f"[… {20_000 - (len(kept) - 2)} texts left out …]"
    for to in (1, 100):
        tiny = shorten({"content": blocks}, a_rule(to))
        assert tiny is not None
        assert len(tiny.payload["content"]) <= 4
