-- What a registered tool's server says of its results: undos that refer to a result are held against it.

ALTER TABLE pins ADD COLUMN result_schema TEXT;
