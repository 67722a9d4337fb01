-- Deployments of workflow versions; what a rollback left to be decided, action by action; plans that were signed.

CREATE TABLE deployments (
    id TEXT NOT NULL,
    environment TEXT NOT NULL,
    workflow TEXT NOT NULL,
    version BIGINT NOT NULL,
    bundle BIGINT NOT NULL,
    at BIGINT NOT NULL,
    by TEXT NOT NULL,
    code TEXT DEFAULT '' NOT NULL,
    restores TEXT DEFAULT '' NOT NULL,
    stable_at BIGINT,
    stable_by TEXT DEFAULT '' NOT NULL,
    withdrawn_at BIGINT,
    PRIMARY KEY (id)
);

CREATE INDEX deployments_by_workflow ON deployments (environment, workflow, at);

CREATE TABLE state_reviews (
    id TEXT NOT NULL,
    environment TEXT NOT NULL,
    workflow TEXT NOT NULL,
    deployment TEXT NOT NULL,
    since BIGINT NOT NULL,
    owner TEXT NOT NULL,
    reason TEXT NOT NULL,
    opened_at BIGINT NOT NULL,
    opened_by TEXT NOT NULL,
    closed_at BIGINT,
    closed_by TEXT,
    PRIMARY KEY (id),
    FOREIGN KEY(deployment) REFERENCES deployments (id)
);

CREATE INDEX state_reviews_by_workflow ON state_reviews (environment, workflow);

CREATE TABLE state_decisions (
    review TEXT NOT NULL,
    action TEXT NOT NULL,
    decision TEXT NOT NULL,
    person TEXT NOT NULL,
    reason TEXT DEFAULT '' NOT NULL,
    at BIGINT NOT NULL,
    PRIMARY KEY (review, action),
    FOREIGN KEY(review) REFERENCES state_reviews (id),
    FOREIGN KEY(action) REFERENCES actions (id),
    CHECK (decision IN ('undo', 'keep'))
);

CREATE TABLE rollback_plans (
    id TEXT NOT NULL,
    review TEXT NOT NULL,
    digest TEXT NOT NULL,
    body TEXT NOT NULL,
    signature TEXT NOT NULL,
    kid TEXT NOT NULL,
    person TEXT NOT NULL,
    at BIGINT NOT NULL,
    PRIMARY KEY (id),
    FOREIGN KEY(review) REFERENCES state_reviews (id)
);

CREATE INDEX rollback_plans_by_review ON rollback_plans (review);
