"""An agent whose loop does not know when to stop. Nothing in it is Interlock's."""

import sys

from openai import APIStatusError, OpenAI

client = OpenAI()  # OPENAI_BASE_URL and OPENAI_API_KEY: `interlock run` sets both

for turn in range(1, 101):
    try:
        reply = client.chat.completions.with_raw_response.create(
            model="gpt-test",
            max_completion_tokens=200,
            messages=[{"role": "user", "content": f"Turn {turn}: is the refund of ticket T-5 due?"}],
        )
    except APIStatusError as error:
        sys.exit(f"turn {turn}: {error.status_code} {error.code}")
    answer = reply.parse()
    print(f"turn {turn}: {answer.model}, budget {reply.headers.get('x-interlock-budget-state')}", flush=True)
