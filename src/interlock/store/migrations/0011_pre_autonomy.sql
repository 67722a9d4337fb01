-- Track records, their trials, the tiers they led to, and daily digests.

CREATE TABLE track_records (
    environment TEXT NOT NULL,
    workflow TEXT NOT NULL,
    tool TEXT NOT NULL,
    tier TEXT NOT NULL,
    basis TEXT NOT NULL,
    began_at BIGINT NOT NULL,
    clean BIGINT DEFAULT 0 NOT NULL,
    failed BIGINT DEFAULT 0 NOT NULL,
    alarm BIGINT DEFAULT 0 NOT NULL,
    audit_alarm BIGINT DEFAULT 0 NOT NULL,
    proposed_at BIGINT DEFAULT 0 NOT NULL,
    PRIMARY KEY (environment, workflow, tool),
    CHECK (tier IN ('autonomous', 'async_review', 'sync_approval'))
);

CREATE TABLE digests (
    id TEXT NOT NULL,
    environment TEXT NOT NULL,
    owner TEXT NOT NULL,
    made_at BIGINT NOT NULL,
    items BIGINT NOT NULL,
    event TEXT,
    opened_at BIGINT,
    opened_by TEXT,
    PRIMARY KEY (id)
);

CREATE INDEX digests_by_owner ON digests (environment, owner, made_at);

CREATE TABLE trials (
    action TEXT NOT NULL,
    environment TEXT NOT NULL,
    workflow TEXT NOT NULL,
    tool TEXT NOT NULL,
    run TEXT NOT NULL,
    owner TEXT NOT NULL,
    basis TEXT NOT NULL,
    look TEXT NOT NULL,
    state TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    matures_at BIGINT NOT NULL,
    digest TEXT,
    mark TEXT,
    marked_by TEXT,
    marked_at BIGINT,
    reason TEXT DEFAULT '' NOT NULL,
    PRIMARY KEY (action),
    FOREIGN KEY(action) REFERENCES actions (id),
    CHECK (look IN ('person', 'review', 'audit', 'none')),
    CHECK (state IN ('open', 'clean', 'failed', 'unseen', 'merged', 'dropped')),
    FOREIGN KEY(digest) REFERENCES digests (id),
    CHECK (mark IN ('fine', 'reverse', 'needs_rule'))
);

CREATE INDEX trials_by_record ON trials (environment, workflow, tool, state, matures_at);

CREATE INDEX trials_by_run ON trials (run, tool);

CREATE INDEX trials_by_digest ON trials (digest);

CREATE INDEX trials_to_review ON trials (environment, owner)
    WHERE state = 'open' AND digest IS NULL AND look IN ('review', 'audit');

CREATE TABLE tier_changes (
    id TEXT NOT NULL,
    environment TEXT NOT NULL,
    workflow TEXT NOT NULL,
    tool TEXT NOT NULL,
    from_tier TEXT NOT NULL,
    to_tier TEXT NOT NULL,
    cause TEXT NOT NULL,
    person TEXT DEFAULT '' NOT NULL,
    reason TEXT DEFAULT '' NOT NULL,
    clean BIGINT NOT NULL,
    failed BIGINT NOT NULL,
    at BIGINT NOT NULL,
    PRIMARY KEY (id)
);

CREATE INDEX tier_changes_by_tool ON tier_changes (environment, workflow, tool, at);
