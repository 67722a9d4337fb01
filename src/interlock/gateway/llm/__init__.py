"""The LLM gateway: model calls in the OpenAI and Anthropic wire formats."""
