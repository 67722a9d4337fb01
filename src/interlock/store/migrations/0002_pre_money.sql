-- Money: what each scope may spend and has spent, who holds how much of it, and every call that was paid for.

CREATE TABLE accounts (
    id TEXT NOT NULL,
    environment TEXT NOT NULL,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    per TEXT NOT NULL,
    starts_at BIGINT NOT NULL,
    allowance BIGINT NOT NULL,
    ceiling BIGINT NOT NULL,
    spent BIGINT DEFAULT 0 NOT NULL,
    leased BIGINT DEFAULT 0 NOT NULL,
    PRIMARY KEY (id)
);

CREATE INDEX accounts_by_name ON accounts (environment, kind, name);

CREATE INDEX accounts_by_start ON accounts (environment, starts_at);

CREATE TABLE epochs (
    id TEXT NOT NULL,
    environment TEXT NOT NULL,
    state TEXT NOT NULL,
    opened_at BIGINT NOT NULL,
    lease_until BIGINT NOT NULL,
    PRIMARY KEY (id)
);

CREATE INDEX epochs_by_state ON epochs (environment, state);

CREATE TABLE slices (
    epoch TEXT NOT NULL,
    account TEXT NOT NULL,
    amount BIGINT DEFAULT 0 NOT NULL,
    charged BIGINT DEFAULT 0 NOT NULL,
    journaled BIGINT DEFAULT 0 NOT NULL,
    PRIMARY KEY (epoch, account),
    FOREIGN KEY(epoch) REFERENCES epochs (id),
    FOREIGN KEY(account) REFERENCES accounts (id)
);

CREATE INDEX slices_by_account ON slices (account);

CREATE TABLE holds (
    attempt TEXT NOT NULL,
    epoch TEXT NOT NULL,
    accounts TEXT NOT NULL,
    expected BIGINT NOT NULL,
    most BIGINT NOT NULL,
    state TEXT NOT NULL,
    cost BIGINT DEFAULT 0 NOT NULL,
    held_at BIGINT NOT NULL,
    ended_at BIGINT,
    PRIMARY KEY (attempt),
    FOREIGN KEY(epoch) REFERENCES epochs (id)
);

CREATE INDEX holds_by_epoch ON holds (epoch, state);

CREATE TABLE model_calls (
    attempt TEXT NOT NULL,
    kind TEXT NOT NULL,
    environment TEXT NOT NULL,
    run TEXT NOT NULL,
    root_run TEXT NOT NULL,
    workflow TEXT NOT NULL,
    version BIGINT NOT NULL,
    agent TEXT NOT NULL,
    team TEXT DEFAULT '' NOT NULL,
    organisation TEXT DEFAULT '' NOT NULL,
    customer TEXT DEFAULT '' NOT NULL,
    provider TEXT NOT NULL,
    requested_model TEXT NOT NULL,
    served_model TEXT NOT NULL,
    price_version TEXT DEFAULT '' NOT NULL,
    input_uncached BIGINT DEFAULT 0 NOT NULL,
    cache_read BIGINT DEFAULT 0 NOT NULL,
    cache_write_5m BIGINT DEFAULT 0 NOT NULL,
    cache_write_1h BIGINT DEFAULT 0 NOT NULL,
    output BIGINT DEFAULT 0 NOT NULL,
    reasoning BIGINT DEFAULT 0 NOT NULL,
    tools TEXT DEFAULT '{}' NOT NULL,
    usage_source TEXT NOT NULL,
    cost BIGINT NOT NULL,
    held_exp BIGINT NOT NULL,
    held_max BIGINT NOT NULL,
    ending TEXT NOT NULL,
    degraded TEXT DEFAULT '[]' NOT NULL,
    context_tokens BIGINT DEFAULT 0 NOT NULL,
    started_at BIGINT NOT NULL,
    ended_at BIGINT NOT NULL,
    step TEXT DEFAULT '' NOT NULL,
    accounts TEXT DEFAULT '[]' NOT NULL,
    PRIMARY KEY (attempt)
);

CREATE INDEX model_calls_by_root ON model_calls (root_run);

CREATE INDEX model_calls_by_run ON model_calls (run);

CREATE INDEX model_calls_by_time ON model_calls (started_at);
