-- What the full state machine of an action keeps: its attempts, its own moments, and what it undoes.

ALTER TABLE actions ADD COLUMN attempt BIGINT NOT NULL DEFAULT 0;

ALTER TABLE actions ADD COLUMN began_at BIGINT;

ALTER TABLE actions ADD COLUMN ended_at BIGINT;

ALTER TABLE actions ADD COLUMN comp_of TEXT;

ALTER TABLE actions ADD COLUMN undo_until BIGINT;

CREATE UNIQUE INDEX actions_by_undone ON actions (comp_of);

CREATE UNIQUE INDEX actions_by_key ON actions (run, idempotency_key) WHERE idempotency_key IS NOT NULL;

ALTER TABLE timers ADD COLUMN environment TEXT NOT NULL DEFAULT '';
