-- Notices: runbooks and the alerts that rest on them, what was raised, told and stopped.

CREATE TABLE runbooks (
    environment TEXT NOT NULL,
    name TEXT NOT NULL,
    owner TEXT NOT NULL,
    baseline TEXT NOT NULL,
    escalation TEXT NOT NULL,
    "rollback" TEXT NOT NULL,
    applied_at BIGINT NOT NULL,
    PRIMARY KEY (environment, name),
    CHECK (trim(owner) <> ''),
    CHECK (trim(baseline) <> ''),
    CHECK (trim(escalation) <> ''),
    CHECK (trim("rollback") <> '')
);

CREATE TABLE failure_modes (
    environment TEXT NOT NULL,
    runbook TEXT NOT NULL,
    name TEXT NOT NULL,
    symptoms TEXT NOT NULL,
    first_action TEXT NOT NULL,
    escalate_when TEXT NOT NULL,
    PRIMARY KEY (environment, runbook, name),
    FOREIGN KEY(environment, runbook) REFERENCES runbooks (environment, name),
    CHECK (trim(name) <> ''),
    CHECK (trim(symptoms) <> ''),
    CHECK (trim(first_action) <> ''),
    CHECK (trim(escalate_when) <> '')
);

CREATE TABLE alerts (
    id TEXT NOT NULL,
    environment TEXT NOT NULL,
    kind TEXT NOT NULL,
    runbook TEXT NOT NULL,
    failure_mode TEXT NOT NULL,
    severity TEXT NOT NULL,
    retired BOOLEAN DEFAULT false NOT NULL,
    PRIMARY KEY (id),
    FOREIGN KEY(environment, runbook, failure_mode) REFERENCES failure_modes (environment, runbook, name),
    CONSTRAINT alerts_own_entry UNIQUE (environment, runbook, failure_mode),
    CHECK (severity IN ('page', 'ticket')),
    CHECK (trim(kind) <> '')
);

CREATE TABLE incidents (
    id TEXT NOT NULL,
    environment TEXT NOT NULL,
    kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    state TEXT NOT NULL,
    summary TEXT NOT NULL,
    opened_at BIGINT NOT NULL,
    opened_by TEXT DEFAULT '' NOT NULL,
    closed_at BIGINT,
    closed_by TEXT,
    reason TEXT,
    PRIMARY KEY (id),
    CHECK (state IN ('open', 'closed'))
);

CREATE INDEX incidents_by_state ON incidents (environment, state);

CREATE TABLE alert_events (
    id TEXT NOT NULL,
    alert TEXT NOT NULL,
    environment TEXT NOT NULL,
    kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    period TEXT NOT NULL,
    severity TEXT NOT NULL,
    summary TEXT NOT NULL,
    facts TEXT DEFAULT '{}' NOT NULL,
    at BIGINT NOT NULL,
    incident TEXT,
    PRIMARY KEY (id),
    CONSTRAINT alert_events_once UNIQUE (environment, kind, subject, period),
    FOREIGN KEY(alert) REFERENCES alerts (id),
    FOREIGN KEY(incident) REFERENCES incidents (id)
);

CREATE TABLE deliveries (
    id TEXT NOT NULL,
    event TEXT NOT NULL,
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
    PRIMARY KEY (id),
    FOREIGN KEY(event) REFERENCES alert_events (id)
);

CREATE INDEX deliveries_by_event ON deliveries (event);

CREATE INDEX deliveries_by_state ON deliveries (environment, state, due_at);

CREATE TABLE delivery_attempts (
    delivery TEXT NOT NULL,
    seq BIGINT NOT NULL,
    at BIGINT NOT NULL,
    took BIGINT NOT NULL,
    outcome TEXT NOT NULL,
    detail TEXT DEFAULT '' NOT NULL,
    PRIMARY KEY (delivery, seq),
    FOREIGN KEY(delivery) REFERENCES deliveries (id)
);

CREATE TABLE kills (
    id TEXT NOT NULL,
    environment TEXT NOT NULL,
    subject TEXT NOT NULL,
    level TEXT NOT NULL,
    reason TEXT NOT NULL,
    source TEXT NOT NULL,
    pressed_by TEXT NOT NULL,
    pressed_at BIGINT NOT NULL,
    state TEXT NOT NULL,
    proposed_by TEXT,
    proposed_at BIGINT,
    proposed_reason TEXT,
    resumed_by TEXT,
    resumed_at BIGINT,
    resumed_reason TEXT,
    alone TEXT,
    incident TEXT,
    PRIMARY KEY (id),
    CHECK (level IN ('pause', 'freeze', 'stop')),
    CHECK (state IN ('in_force', 'proposed', 'resumed')),
    CHECK (
        state <> 'resumed' OR (
            proposed_by IS NOT NULL AND resumed_by IS NOT NULL AND (proposed_by <> resumed_by OR alone IS NOT NULL)
        )
    ),
    FOREIGN KEY(incident) REFERENCES incidents (id)
);

CREATE INDEX kills_by_state ON kills (state);

CREATE TABLE kill_reports (
    kill TEXT NOT NULL,
    process TEXT NOT NULL,
    environment TEXT NOT NULL,
    at BIGINT NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (kill, process),
    FOREIGN KEY(kill) REFERENCES kills (id)
);
