-- A delivery tells of an alert or of what became of an action: of exactly one of them, on postgresql.

ALTER TABLE deliveries ALTER COLUMN event DROP NOT NULL;

ALTER TABLE deliveries ADD COLUMN action TEXT;

ALTER TABLE deliveries ADD COLUMN move BIGINT;

ALTER TABLE deliveries ADD FOREIGN KEY (action, move) REFERENCES action_moves (action, seq);

ALTER TABLE deliveries ADD CHECK (
    (event IS NOT NULL AND action IS NULL AND move IS NULL)
    OR (event IS NULL AND action IS NOT NULL AND move IS NOT NULL)
);

CREATE INDEX deliveries_by_action ON deliveries (action, move);
