-- How large contexts are, summed up from the ledger by day; and the originals of shortened tool results.

CREATE TABLE context_sizes (
    environment TEXT NOT NULL,
    workflow TEXT NOT NULL,
    version BIGINT NOT NULL,
    model TEXT NOT NULL,
    starts_at BIGINT NOT NULL,
    bucket BIGINT NOT NULL,
    calls BIGINT NOT NULL,
    tokens BIGINT NOT NULL,
    PRIMARY KEY (environment, workflow, version, model, starts_at, bucket)
);

CREATE TABLE context_marks (
    environment TEXT NOT NULL,
    summed_at BIGINT NOT NULL,
    PRIMARY KEY (environment)
);

CREATE TABLE originals (
    id TEXT NOT NULL,
    run TEXT NOT NULL,
    agent TEXT NOT NULL,
    tool TEXT NOT NULL,
    size BIGINT NOT NULL,
    body TEXT NOT NULL,
    kept_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    PRIMARY KEY (id)
);

CREATE INDEX originals_by_run ON originals (run);

CREATE INDEX originals_by_end ON originals (expires_at);
