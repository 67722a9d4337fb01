-- The first schema. A statement ends with a semicolon at the end of a line.

CREATE TABLE actions (
    id TEXT NOT NULL,
    run TEXT NOT NULL,
    agent TEXT NOT NULL,
    workflow TEXT NOT NULL,
    workflow_version BIGINT NOT NULL,
    tool TEXT NOT NULL,
    arguments TEXT NOT NULL,
    digest TEXT NOT NULL,
    state TEXT NOT NULL,
    fence BIGINT DEFAULT 0 NOT NULL,
    effect TEXT NOT NULL,
    tier TEXT NOT NULL,
    verdict TEXT NOT NULL,
    bundle TEXT DEFAULT '' NOT NULL,
    pin TEXT DEFAULT '' NOT NULL,
    decision TEXT NOT NULL,
    approval TEXT,
    result TEXT,
    error TEXT,
    idempotency_key TEXT,
    collected BOOLEAN DEFAULT false NOT NULL,
    due_at BIGINT,
    lease_until BIGINT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    owner_process TEXT,
    principal TEXT NOT NULL,
    input_state TEXT,
    successor TEXT,
    PRIMARY KEY (id)
);

CREATE INDEX actions_by_run ON actions (run, tool, digest);

CREATE INDEX actions_by_state ON actions (state, due_at);

CREATE TABLE agents (
    name TEXT NOT NULL,
    state TEXT NOT NULL,
    epoch BIGINT DEFAULT 0 NOT NULL,
    owner TEXT NOT NULL,
    backup TEXT,
    retired_at BIGINT,
    proof TEXT,
    PRIMARY KEY (name)
);

CREATE TABLE api_tokens (
    id TEXT NOT NULL,
    person TEXT NOT NULL,
    hash TEXT NOT NULL,
    label TEXT DEFAULT '' NOT NULL,
    roles TEXT,
    created_by TEXT DEFAULT '' NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT,
    revoked_at BIGINT,
    PRIMARY KEY (id),
    CONSTRAINT api_tokens_hash UNIQUE (hash)
);

CREATE TABLE bundles (
    version BIGINT NOT NULL,
    environment TEXT NOT NULL,
    digest TEXT NOT NULL,
    body TEXT NOT NULL,
    applied_at BIGINT NOT NULL,
    applied_by TEXT NOT NULL,
    PRIMARY KEY (version, environment)
);

CREATE TABLE chains (
    id TEXT NOT NULL,
    process TEXT NOT NULL,
    "key" TEXT NOT NULL,
    opened_at BIGINT NOT NULL,
    head_seq BIGINT DEFAULT 0 NOT NULL,
    head_mac TEXT NOT NULL,
    PRIMARY KEY (id)
);

CREATE TABLE changes (
    id TEXT NOT NULL,
    author TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    state TEXT NOT NULL,
    base_version BIGINT NOT NULL,
    body TEXT NOT NULL,
    summary TEXT NOT NULL,
    decided_by TEXT,
    decided_at BIGINT,
    reason TEXT,
    PRIMARY KEY (id)
);

CREATE TABLE checkpoints (
    id TEXT NOT NULL,
    at BIGINT NOT NULL,
    heads TEXT NOT NULL,
    signature TEXT NOT NULL,
    kid TEXT NOT NULL,
    PRIMARY KEY (id)
);

CREATE TABLE documents (
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    environment TEXT NOT NULL,
    version BIGINT NOT NULL,
    body TEXT NOT NULL,
    digest TEXT NOT NULL,
    applied_at BIGINT NOT NULL,
    applied_by TEXT NOT NULL,
    PRIMARY KEY (kind, name, environment)
);

CREATE TABLE enrolments (
    id TEXT NOT NULL,
    agent TEXT NOT NULL,
    kind TEXT NOT NULL,
    hash TEXT,
    jwk TEXT,
    workflow TEXT DEFAULT '' NOT NULL,
    created_by TEXT DEFAULT '' NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT,
    used_at BIGINT,
    run TEXT,
    PRIMARY KEY (id),
    CONSTRAINT enrolments_hash UNIQUE (hash)
);

CREATE INDEX enrolments_by_agent ON enrolments (agent);

CREATE TABLE heads (
    environment TEXT NOT NULL,
    bundle_version BIGINT NOT NULL,
    bundle_digest TEXT NOT NULL,
    PRIMARY KEY (environment)
);

CREATE TABLE people (
    name TEXT NOT NULL,
    email TEXT DEFAULT '' NOT NULL,
    password_hash TEXT,
    roles TEXT DEFAULT '[]' NOT NULL,
    disabled BOOLEAN DEFAULT false NOT NULL,
    PRIMARY KEY (name)
);

CREATE TABLE pins (
    tool TEXT NOT NULL,
    digest TEXT NOT NULL,
    seen TEXT,
    name TEXT NOT NULL,
    description TEXT DEFAULT '' NOT NULL,
    schema TEXT NOT NULL,
    registered_at BIGINT NOT NULL,
    disabled BOOLEAN DEFAULT false NOT NULL,
    PRIMARY KEY (tool)
);

CREATE TABLE runs (
    id TEXT NOT NULL,
    workflow TEXT NOT NULL,
    workflow_version BIGINT NOT NULL,
    agent TEXT NOT NULL,
    environment TEXT NOT NULL,
    state TEXT NOT NULL,
    started_by TEXT NOT NULL,
    opened_at BIGINT NOT NULL,
    closed_at BIGINT,
    reason TEXT,
    parent TEXT,
    labels TEXT DEFAULT '[]' NOT NULL,
    lease_until BIGINT DEFAULT 0 NOT NULL,
    deadline_at BIGINT,
    attended BIGINT DEFAULT 0 NOT NULL,
    direct_models BIGINT DEFAULT 0 NOT NULL,
    PRIMARY KEY (id)
);

CREATE INDEX runs_by_state ON runs (state, agent);

CREATE TABLE seen_assertions (
    agent TEXT NOT NULL,
    jti TEXT NOT NULL,
    expires_at BIGINT NOT NULL,
    PRIMARY KEY (agent, jti)
);

CREATE TABLE signing_keys (
    kid TEXT NOT NULL,
    environment TEXT NOT NULL,
    public_jwk TEXT NOT NULL,
    private_enc TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    signs_at BIGINT NOT NULL,
    retires_at BIGINT,
    revoked_at BIGINT,
    PRIMARY KEY (kid)
);

CREATE TABLE timers (
    kind TEXT NOT NULL,
    ref TEXT NOT NULL,
    due_at BIGINT NOT NULL,
    PRIMARY KEY (kind, ref)
);

CREATE INDEX timers_by_due ON timers (due_at);

CREATE TABLE approvals (
    id TEXT NOT NULL,
    action TEXT NOT NULL,
    state TEXT NOT NULL,
    digest TEXT NOT NULL,
    pin TEXT DEFAULT '' NOT NULL,
    bundle TEXT DEFAULT '' NOT NULL,
    requested_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    approvers TEXT DEFAULT '[]' NOT NULL,
    decided_by TEXT,
    decided_at BIGINT,
    reason TEXT,
    revision_of TEXT,
    arguments TEXT,
    requester TEXT DEFAULT '' NOT NULL,
    revised_by TEXT DEFAULT '' NOT NULL,
    PRIMARY KEY (id),
    FOREIGN KEY(action) REFERENCES actions (id)
);

CREATE INDEX approvals_by_action ON approvals (action);

CREATE INDEX approvals_by_state ON approvals (state, expires_at);
