"""The public test kit: a clock that stands still, stubs for tool servers, a small real help desk.

Needs `interlock[server]`. These names, `interlock` and `interlock.errors` are the public interface; all
other modules are internal.
"""

from interlock.testing.clock import FixedClock
from interlock.testing.model_reply import Reply, ToolCall, UsageAt
from interlock.testing.model_request import Received
from interlock.testing.model_socket import ModelServer
from interlock.testing.stubs import Stub, StubServer

__all__ = ["FixedClock", "ModelServer", "Received", "Reply", "Stub", "StubServer", "ToolCall", "UsageAt"]
