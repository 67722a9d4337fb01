"""The exception tree. Each error has a stable code, says what happened, and says what to do next.

A refusal is not an exception: a decision is a value (`core.model.Decision`). An exception means that a
promise could not be kept. Each edge (MCP, HTTP, command line) turns `code` into its own protocol's form.

    InterlockError
      ManifestError           the declared documents are not valid
      UsageError              the caller asked for something that makes no sense here
        NotFound              the named thing does not exist
        StateConflict         the thing exists, but not in a state that allows this
      NotPermitted            the person may not do this
      TokenInvalid            a credential does not verify
        RunHalted             a kill that is in force ended the run of a run token
      GrantRefused            the token endpoint gives no run token for what was presented
      StoreError
        StoreInUse            another process owns the data directory
        StoreUnavailable      the database cannot be read or written now
        CommitUnknown         the connection was lost while committing
        SnapshotMoved         what was decided on changed before it was written; decide anew
      AuditBroken             the audit log does not verify
      CallError               a governed call did not give a result
        Denied                the decision was no; nothing was sent
        Pending               it waits for a person or for its time
        TurnedDown            it was rejected, expired, cancelled, replaced or undone
        ToolFailed            its tool answered with a definite error
        InDoubt               it was sent, and whether it happened is not known
      UpstreamError
        UpstreamUnavailable   nothing was sent; it is safe to try again
        UpstreamRefused       the tool server answered with a definite error
        OutcomeUnknown        the call was sent and its outcome is not known
"""

from __future__ import annotations


class InterlockError(Exception):
    """Something Interlock promised could not be done.

    `message` says what happened and why, `hint` what to do next. Neither ever holds a secret or
    an argument value of a tool call. `on_record` says that the refusal was audited where it was decided.
    """

    code = "interlock_error"
    on_record = False

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".rstrip()


class ManifestError(InterlockError):
    """The declared documents are not valid; `problems` lists each with its place."""

    code = "manifest_invalid"

    def __init__(self, message: str, *, problems: tuple[object, ...] = (), hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.problems = problems


class UsageError(InterlockError):
    """The caller asked for something that makes no sense here."""

    code = "usage"


class NotFound(UsageError):
    """The named thing does not exist."""

    code = "not_found"


class StateConflict(UsageError):
    """The thing exists, but it is not in a state that allows this."""

    code = "state_conflict"


class NotPermitted(InterlockError):
    """The person is known and may not do this."""

    code = "not_permitted"


class TokenInvalid(InterlockError):
    """A credential is missing, expired, revoked, forged or of another environment."""

    code = "token_invalid"


class RunHalted(TokenInvalid):
    """The run of a token was ended by `kill`, which is in force until two people resume it."""

    code = "run_halted"

    def __init__(self, kill: str) -> None:
        super().__init__(
            f"The run of this token was stopped by the kill {kill}.",
            hint=f"A person decides about it: interlock kill show {kill}",
        )
        self.kill = kill


class GrantRefused(InterlockError):
    """The token endpoint gives no run token; `oauth` is the error code of RFC 6749 and RFC 8693."""

    code = "grant_refused"

    def __init__(self, message: str, *, oauth: str = "invalid_grant", hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.oauth = oauth


class StoreError(InterlockError):
    """The state could not be read or written."""

    code = "store_error"


class StoreInUse(StoreError):
    """Another process owns the data directory."""

    code = "store_in_use"


class StoreUnavailable(StoreError):
    """The database cannot be read or written now: full disk, read-only, locked or unreachable."""

    code = "store_unavailable"


class CommitUnknown(StoreError):
    """The connection was lost while committing: read by key before anything is repeated."""

    code = "commit_unknown"


class SnapshotMoved(StoreError):
    """What the decision was made on changed before it could be written; decide anew."""

    code = "snapshot_moved"


class AuditBroken(InterlockError):
    """The audit log does not verify: something was changed, deleted, cut off or re-hashed."""

    code = "audit_broken"


class CallError(InterlockError):
    """A governed call did not give a result. `action` is its id ("" where it has none), `run` its run."""

    code = "call_error"

    def __init__(self, message: str, *, action: str = "", run: str = "", hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.action = action
        self.run = run


class Denied(CallError):
    """The decision was no, and nothing was sent. `reasons` are the decision's, the strictest first."""

    code = "denied"

    def __init__(self, message: str, *, reasons: tuple[object, ...] = (), **call: str) -> None:
        super().__init__(message, **call)
        self.reasons = reasons


class Pending(CallError):
    """It waits for a person, or for its time: not an answer. The same call with the same key collects it."""

    code = "pending"

    def __init__(self, message: str, *, approval: str = "", **call: str) -> None:
        super().__init__(message, **call)
        self.approval = approval


class TurnedDown(CallError):
    """It was rejected, expired, cancelled, replaced, or undone after it had happened: see `state`."""

    code = "turned_down"

    def __init__(self, message: str, *, state: str = "", **call: str) -> None:
        super().__init__(message, **call)
        self.state = state


class ToolFailed(CallError):
    """Its tool answered with a definite error: it had no effect, or none that counts."""

    code = "tool_failed"


class InDoubt(CallError):
    """It was sent and its outcome is not known: a person or a probe resolves it, no machine repeats it."""

    code = "in_doubt"


class UpstreamError(InterlockError):
    """A tool server did not give a usable answer."""

    code = "upstream_error"


class UpstreamUnavailable(UpstreamError):
    """The tool server could not be reached; nothing was sent, so trying again is safe."""

    code = "upstream_unavailable"


class UpstreamRefused(UpstreamError):
    """The tool server answered with a definite protocol error."""

    code = "upstream_refused"


class OutcomeUnknown(UpstreamError):
    """The call was sent and its outcome is not known: it may or may not have happened."""

    code = "outcome_unknown"
