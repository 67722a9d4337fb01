"""A word in a query is one of those there are, or is refused with the one that was probably meant."""

from __future__ import annotations

import pytest
from starlette.requests import Request

from interlock.core.action import ActionState
from interlock.core.approval import ApprovalState
from interlock.errors import UsageError
from interlock.web.choice import one_of


def a_request(query: str) -> Request:
    """Return a request with that query."""
    return Request({"type": "http", "query_string": query.encode(), "headers": []})


def test_a_word_that_is_not_given_stands_for_all_or_for_what_the_list_is_about() -> None:
    assert one_of(a_request(""), "state", ActionState) == ""
    assert one_of(a_request(""), "state", ApprovalState, otherwise=ApprovalState.PENDING) == "pending"
    assert one_of(a_request("state="), "state", ApprovalState, otherwise=ApprovalState.PENDING) == ""
    assert one_of(a_request("state=in_doubt"), "state", ActionState) == "in_doubt"


def test_a_word_that_there_is_not_is_refused_with_the_nearest_that_there_is() -> None:
    with pytest.raises(UsageError) as refused:
        one_of(a_request("state=in_dubt"), "state", ActionState, called="action state")
    assert refused.value.message == "There is no action state 'in_dubt'."
    assert "in_doubt" in (refused.value.hint or "")
    with pytest.raises(UsageError) as refused:
        one_of(a_request("state=zzzzzzzz"), "state", ApprovalState)
    assert (refused.value.hint or "").startswith("There are: pending, ")
