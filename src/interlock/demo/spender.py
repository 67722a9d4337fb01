"""The second agent of the demonstration: a plain HTTP client of OpenAI's API that knows nothing of Interlock.

`interlock run digest -- python -m interlock.demo.spender loop` gives it an address and a key, as a vendor's
SDK takes them from the environment, and like the SDKs it repeats what may pass the next time. "letters"
answers three customers and ends; "loop" asks the same question again and again. One JSON line for each call.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from typing import Any

import httpx2

MODEL = "gpt-test"
_CAP = 200
_LETTERS = (("acme", "Is my export done?"), ("globex", "Where is my refund?"), ("acme", "Thank you!"))
_TURNS = 100
_RETRIES = 2
_PASSING = frozenset({408, 409, 429})


def questions(work: str) -> Iterator[tuple[str, str]]:
    """Yield for whom it asks what: a loop has no end of its own that matters."""
    if work == "letters":
        yield from _LETTERS
    else:
        for _ in range(_TURNS):
            yield "initech", "Is the digest complete? If not, write it again."


def ask(client: httpx2.Client, customer: str, text: str) -> dict[str, Any]:
    """Ask the model, again where its answer says that this may help; return what was seen from outside."""
    message = {"role": "user", "content": text}
    asked = {"model": MODEL, "max_completion_tokens": _CAP, "messages": [message]}
    answer = _post(client, asked, customer)
    attempts = 1
    while _may_pass_later(answer) and attempts <= _RETRIES:
        answer = _post(client, asked, customer)
        attempts += 1
    body = answer.json()
    told = {name: value for name, value in answer.headers.items() if name.startswith("x-")}
    seen = {"customer": customer, "attempts": attempts, "status": answer.status_code, "headers": told}
    if answer.is_success:
        return {**seen, "model": body["model"], "usage": body["usage"]}
    return {**seen, "code": body["error"]["code"]}


def _post(client: httpx2.Client, asked: dict[str, Any], customer: str) -> httpx2.Response:
    return client.post("chat/completions", json=asked, headers={"x-customer": customer})


def _may_pass_later(answer: httpx2.Response) -> bool:
    """Decide as the vendors' SDKs do."""
    said = answer.headers.get("x-should-retry")
    if said is not None:
        return said == "true"
    return answer.status_code in _PASSING or answer.status_code >= 500


def main(work: str) -> int:
    """Ask what there is to ask, until it is answered or an answer is an error."""
    key = {"Authorization": f"Bearer {os.environ['OPENAI_API_KEY']}"}
    with httpx2.Client(base_url=os.environ["OPENAI_BASE_URL"], headers=key, timeout=30) as client:
        for customer, text in questions(work):
            seen = ask(client, customer, text)
            sys.stdout.write(json.dumps(seen) + "\n")
            sys.stdout.flush()
            if "code" in seen:
                return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
