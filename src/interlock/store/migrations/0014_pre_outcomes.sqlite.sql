-- A delivery tells of an alert or of what became of an action: of exactly one of them. SQLite changes no column, so
-- the outbox and its log are written anew.

CREATE TABLE told (
    id TEXT NOT NULL,
    event TEXT,
    environment TEXT NOT NULL,
    name TEXT NOT NULL,
    channel TEXT NOT NULL,
    target TEXT NOT NULL,
    key_ref TEXT DEFAULT '' NOT NULL,
    state TEXT NOT NULL,
    attempts BIGINT DEFAULT 0 NOT NULL,
    created_at BIGINT NOT NULL,
    due_at BIGINT NOT NULL,
    lease_until BIGINT DEFAULT 0 NOT NULL,
    ended_at BIGINT,
    problem TEXT DEFAULT '' NOT NULL,
    action TEXT,
    move BIGINT,
    PRIMARY KEY (id),
    FOREIGN KEY(event) REFERENCES alert_events (id),
    FOREIGN KEY(action, move) REFERENCES action_moves (action, seq),
    CHECK (
        (event IS NOT NULL AND action IS NULL AND move IS NULL)
        OR (event IS NULL AND action IS NOT NULL AND move IS NOT NULL)
    )
);

CREATE TABLE told_attempts (
    delivery TEXT NOT NULL,
    seq BIGINT NOT NULL,
    at BIGINT NOT NULL,
    took BIGINT NOT NULL,
    outcome TEXT NOT NULL,
    detail TEXT DEFAULT '' NOT NULL,
    PRIMARY KEY (delivery, seq),
    FOREIGN KEY(delivery) REFERENCES told (id)
);

INSERT INTO told SELECT *, NULL, NULL FROM deliveries;

INSERT INTO told_attempts SELECT * FROM delivery_attempts;

DROP TABLE delivery_attempts;

DROP TABLE deliveries;

ALTER TABLE told RENAME TO deliveries;

ALTER TABLE told_attempts RENAME TO delivery_attempts;

CREATE INDEX deliveries_by_event ON deliveries (event);

CREATE INDEX deliveries_by_state ON deliveries (environment, state, due_at);

CREATE INDEX deliveries_by_action ON deliveries (action, move);
