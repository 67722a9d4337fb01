-- What makes an action final that was reversible: a follow-up, or the confirmation of what is provisional.

ALTER TABLE actions ADD COLUMN follows TEXT;

CREATE TABLE second_steps (
    action TEXT NOT NULL PRIMARY KEY REFERENCES actions (id),
    kind TEXT NOT NULL,
    tool TEXT NOT NULL,
    arguments TEXT,
    digest TEXT NOT NULL DEFAULT '',
    problem TEXT NOT NULL DEFAULT '',
    due_at BIGINT NOT NULL,
    second TEXT NOT NULL DEFAULT ''
);
