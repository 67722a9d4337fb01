"""One governed tool call, by the stages of its life; `engine` joins them."""
