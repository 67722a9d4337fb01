-- The stages of an approval and when each began, how it ends, how many people it takes; and questions.
-- Requests that were made before have one stage: whoever was named may decide, and nothing reminds of them.

ALTER TABLE approvals ADD COLUMN stages TEXT NOT NULL DEFAULT '[]';

ALTER TABLE approvals ADD COLUMN level BIGINT NOT NULL DEFAULT 0;

ALTER TABLE approvals ADD COLUMN level_at BIGINT NOT NULL DEFAULT 0;

ALTER TABLE approvals ADD COLUMN sla BIGINT NOT NULL DEFAULT 0;

ALTER TABLE approvals ADD COLUMN reminder BIGINT NOT NULL DEFAULT 0;

ALTER TABLE approvals ADD COLUMN at_end TEXT NOT NULL DEFAULT 'expire';

ALTER TABLE approvals ADD COLUMN needs BIGINT NOT NULL DEFAULT 1;

ALTER TABLE approvals ADD COLUMN kind TEXT NOT NULL DEFAULT 'approve';

ALTER TABLE approvals ADD COLUMN answer TEXT;

CREATE TABLE approval_votes (
    approval TEXT NOT NULL,
    person TEXT NOT NULL,
    at BIGINT NOT NULL,
    reason TEXT DEFAULT '' NOT NULL,
    PRIMARY KEY (approval, person),
    FOREIGN KEY(approval) REFERENCES approvals (id)
);
