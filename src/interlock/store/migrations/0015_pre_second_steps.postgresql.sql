-- No agent's call is identical to a second step, as none is to an undo.

DROP INDEX actions_open_once;

CREATE UNIQUE INDEX actions_open_once ON actions (run, tool, digest)
    WHERE state IN ('approved', 'awaiting_input', 'executing', 'parked', 'retry', 'scheduled', 'waiting_approval')
    AND idempotency_key IS NULL AND comp_of IS NULL AND follows IS NULL AND effect <> 'read';
