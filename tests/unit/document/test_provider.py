"""A declared provider: where its base URL leads (B1)."""

from __future__ import annotations

import pytest

from interlock.core.document.provider import Provider
from interlock.core.model import WireFamily


@pytest.mark.parametrize(
    ("base_url", "openai", "anthropic"),
    [
        ("https://x", "https://x/v1", "https://x"),
        ("https://x/", "https://x/v1", "https://x"),
        ("https://x:8000/v1", "https://x:8000/v1", "https://x:8000"),
        ("https://x/api/v1/", "https://x/api/v1", "https://x/api"),
        ("https://x/v1beta/openai", "https://x/v1beta/openai", "https://x/v1beta/openai"),
        ("https://x/anthropic", "https://x/anthropic", "https://x/anthropic"),
    ],
)
def test_one_base_url_serves_the_sdks_of_both_families(base_url: str, openai: str, anthropic: str) -> None:
    provider = Provider(name="p", base_url=base_url, wire_formats=tuple(WireFamily))
    assert provider.address(WireFamily.OPENAI) == openai
    assert provider.address(WireFamily.ANTHROPIC) == anthropic
