-- What the launcher of a run says at its end: whether its program went past the gateway.
ALTER TABLE runs ADD COLUMN ungoverned BIGINT NOT NULL DEFAULT 0;
