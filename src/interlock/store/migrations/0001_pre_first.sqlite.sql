-- What the first schema says differently on sqlite.

CREATE TABLE revocations (
    seq INTEGER NOT NULL,
    kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    at BIGINT NOT NULL,
    epoch BIGINT DEFAULT 0 NOT NULL,
    PRIMARY KEY (seq)
);

CREATE TABLE run_calls (
    run TEXT NOT NULL,
    tool TEXT NOT NULL,
    count BIGINT DEFAULT 0 NOT NULL,
    PRIMARY KEY (run, tool)
) WITHOUT ROWID;

CREATE TABLE action_moves (
    action TEXT NOT NULL,
    seq BIGINT NOT NULL,
    from_state TEXT,
    to_state TEXT NOT NULL,
    at BIGINT NOT NULL,
    "by" TEXT DEFAULT '' NOT NULL,
    reason TEXT DEFAULT '' NOT NULL,
    PRIMARY KEY (action, seq),
    FOREIGN KEY(action) REFERENCES actions (id)
) WITHOUT ROWID;

CREATE TABLE audit (
    chain TEXT NOT NULL,
    seq BIGINT NOT NULL,
    at BIGINT NOT NULL,
    kind TEXT NOT NULL,
    run TEXT DEFAULT '' NOT NULL,
    agent TEXT DEFAULT '' NOT NULL,
    workflow TEXT DEFAULT '' NOT NULL,
    tool TEXT DEFAULT '' NOT NULL,
    action TEXT DEFAULT '' NOT NULL,
    person TEXT DEFAULT '' NOT NULL,
    body TEXT NOT NULL,
    mac TEXT NOT NULL,
    PRIMARY KEY (chain, seq)
) WITHOUT ROWID;

CREATE INDEX audit_by_time ON audit (at);
