-- The deployment that a change brings back, where it is a rollback that waits for a second person.

ALTER TABLE changes ADD COLUMN restores TEXT DEFAULT '' NOT NULL;
