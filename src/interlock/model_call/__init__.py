"""One governed model call, by the stages of its life; `engine` joins them."""
