-- Circuit breakers, what tripped them and the signatures that closed them; scores of runs.

CREATE TABLE breaker_sign_offs (
    environment TEXT NOT NULL,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    opening BIGINT NOT NULL,
    to_state TEXT NOT NULL,
    from_state TEXT NOT NULL,
    person TEXT NOT NULL,
    reason TEXT NOT NULL,
    at BIGINT NOT NULL,
    incident TEXT,
    clean_runs BIGINT DEFAULT 0 NOT NULL,
    PRIMARY KEY (environment, kind, name, opening, to_state),
    FOREIGN KEY(person) REFERENCES people (name),
    CHECK (to_state IN ('half_open', 'closed')),
    CHECK (from_state = 'open' OR (from_state = 'half_open' AND to_state = 'closed')),
    CHECK (trim(person) <> ''),
    CHECK (trim(reason) <> '')
);

CREATE TABLE breakers (
    environment TEXT NOT NULL,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    state TEXT NOT NULL,
    opening BIGINT DEFAULT 0 NOT NULL,
    signed TEXT,
    cause TEXT DEFAULT '' NOT NULL,
    why TEXT DEFAULT '' NOT NULL,
    opened_by TEXT DEFAULT '' NOT NULL,
    run TEXT DEFAULT '' NOT NULL,
    starter TEXT DEFAULT '' NOT NULL,
    incident TEXT,
    opened_at BIGINT,
    changed_at BIGINT NOT NULL,
    failures BIGINT DEFAULT 0 NOT NULL,
    low_runs BIGINT DEFAULT 0 NOT NULL,
    clean_runs BIGINT DEFAULT 0 NOT NULL,
    PRIMARY KEY (environment, kind, name),
    CHECK (kind IN ('tool', 'workflow', 'agent')),
    CHECK (
        (opening = 0 AND state = 'closed' AND signed IS NULL)
        OR (opening > 0 AND state = 'open' AND signed IS NULL)
        OR (opening > 0 AND state IN ('half_open', 'closed') AND signed IS NOT NULL AND signed = state)
    ),
    FOREIGN KEY(environment, kind, name, opening, signed)
        REFERENCES breaker_sign_offs (environment, kind, name, opening, to_state)
);

CREATE TABLE run_scores (
    run TEXT NOT NULL,
    key TEXT NOT NULL,
    name TEXT NOT NULL,
    value BIGINT NOT NULL,
    source TEXT NOT NULL,
    evaluator TEXT DEFAULT '' NOT NULL,
    "by" TEXT NOT NULL,
    at BIGINT NOT NULL,
    PRIMARY KEY (run, key),
    FOREIGN KEY(run) REFERENCES runs (id),
    CHECK (value >= 0 AND value <= 10000)
);
