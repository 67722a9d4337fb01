-- What one process changed that the others on this database decide on. The number grows by one with each commit
-- that changes such things, under the lock of its only row, so numbers are in the order of the commits.

CREATE TABLE news (
    number BIGINT NOT NULL,
    topic TEXT NOT NULL,
    environment TEXT NOT NULL,
    subject TEXT NOT NULL,
    at BIGINT NOT NULL,
    PRIMARY KEY (number, topic, environment, subject)
);

CREATE TABLE news_numbers (
    one BIGINT NOT NULL,
    number BIGINT NOT NULL,
    PRIMARY KEY (one)
);

INSERT INTO news_numbers (one, number) VALUES (1, 0);
