"""What type checkers see of the public API; `__init__.py` loads the SDK when it is first asked for."""

from interlock.sdk.result import Outcome as Outcome
from interlock.sdk.run import run as run
from interlock.sdk.run import tool as tool

__version__: str

__all__ = ["Outcome", "__version__", "run", "tool"]
