-- Prices: each list as it was imported, and every version of every model's prices.

CREATE TABLE price_lists (
    version BIGINT NOT NULL,
    source TEXT NOT NULL,
    digest TEXT NOT NULL,
    providers TEXT NOT NULL,
    models TEXT NOT NULL,
    imported_at BIGINT NOT NULL,
    imported_by TEXT NOT NULL,
    PRIMARY KEY (version)
);

CREATE TABLE prices (
    provider TEXT NOT NULL,
    model TEXT NOT NULL,
    version BIGINT NOT NULL,
    list BIGINT NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (provider, model, version),
    FOREIGN KEY(list) REFERENCES price_lists (version)
);
