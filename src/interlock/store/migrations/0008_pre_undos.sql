-- What undoes an action: the undo registered when it succeeded, runs that are being undone, exercises of undos.

ALTER TABLE runs ADD COLUMN aborting TEXT NOT NULL DEFAULT '';

CREATE TABLE undos (
    action TEXT NOT NULL PRIMARY KEY REFERENCES actions (id),
    tool TEXT NOT NULL,
    arguments TEXT,
    digest TEXT NOT NULL DEFAULT '',
    problem TEXT NOT NULL DEFAULT '',
    until BIGINT NOT NULL DEFAULT 0
);

CREATE TABLE exercises (
    id TEXT NOT NULL PRIMARY KEY,
    environment TEXT NOT NULL,
    tool TEXT NOT NULL,
    pin TEXT NOT NULL,
    undo TEXT NOT NULL,
    undo_pin TEXT NOT NULL,
    server TEXT NOT NULL,
    outcome TEXT NOT NULL,
    problem TEXT NOT NULL DEFAULT '',
    "by" TEXT NOT NULL,
    at BIGINT NOT NULL
);

CREATE INDEX exercises_by_tool ON exercises (environment, tool, at);
