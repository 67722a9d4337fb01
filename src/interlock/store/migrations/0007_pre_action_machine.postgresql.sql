-- Several processes may take calls here: of identical ones without a key of their own, one is open at a time.

CREATE UNIQUE INDEX actions_open_once ON actions (run, tool, digest)
    WHERE state IN ('approved', 'awaiting_input', 'executing', 'parked', 'retry', 'scheduled', 'waiting_approval')
    AND idempotency_key IS NULL AND comp_of IS NULL AND effect <> 'read';
