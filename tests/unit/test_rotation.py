"""A static credential is warned about before its end and refused after it (H2)."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from interlock.core.document.provider import Provider, ProviderCredentials
from interlock.core.document.tool import Credentials, ToolServer
from interlock.core.model import DAY, HOUR
from interlock.core.rotation import WARN_AHEAD, CredentialState, refusal, validity, warning

NOW = 1_767_225_600_000_000


def test_good_then_expiring_then_expired() -> None:
    assert validity(None, now=NOW).state is CredentialState.GOOD
    assert validity(NOW + WARN_AHEAD + 1, now=NOW).state is CredentialState.GOOD
    assert validity(NOW + WARN_AHEAD, now=NOW).state is CredentialState.EXPIRING
    assert validity(NOW + 1, now=NOW).usable
    assert validity(NOW, now=NOW).state is CredentialState.EXPIRED
    assert not validity(NOW, now=NOW).usable


@given(st.integers(-100 * DAY, 100 * DAY), st.integers(0, 100 * DAY))
def test_what_has_expired_never_comes_back(left: int, later: int) -> None:
    if not validity(NOW + left, now=NOW).usable:
        assert not validity(NOW + left, now=NOW + later).usable


def test_the_owner_is_told_what_ends_when() -> None:
    assert warning("crm", "maria", validity(NOW + 30 * DAY, now=NOW)) is None
    assert warning("crm", "maria", validity(NOW + 3 * DAY, now=NOW)) == (
        "The credentials of crm expire in 3 days. Its owner is maria."
    )
    assert "5 hours" in (warning("crm", None, validity(NOW + 5 * HOUR, now=NOW)) or "")
    assert "It has no owner" in (warning("crm", None, validity(NOW + 1, now=NOW)) or "")


def test_a_server_with_expired_credentials_is_refused() -> None:
    credentials = Credentials(env={"KEY": "secret://env/KEY"}, owner="maria", expires=NOW)
    server = ToolServer(name="crm", transport="stdio", command=("x",), credentials=credentials)
    assert refusal(server, NOW - 1) is None
    assert refusal(server, NOW) == (
        "The credentials of the tool server crm have expired and are refused. Its owner is maria."
    )
    assert refusal(ToolServer(name="open", transport="stdio"), NOW) is None


def test_a_provider_with_expired_credentials_is_refused() -> None:
    credentials = ProviderCredentials(api_key="secret://env/KEY", owner="maria", expires=NOW)
    provider = Provider(name="openai", base_url="https://x", wire_formats=(), credentials=credentials)
    assert refusal(provider, NOW - 1) is None
    assert refusal(provider, NOW) == (
        "The credentials of the model provider openai have expired and are refused. Its owner is maria."
    )
