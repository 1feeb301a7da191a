-- What went wrong: clocks, issuances, processes, documents.

-- The ledger: its newest record, up to a second. A clock that is far behind it is wrong, or was wrong then.
ALTER TABLE ledger_counts ADD COLUMN newest INTEGER NOT NULL DEFAULT 0;
ALTER TABLE ledger_counts ADD COLUMN newest_record TEXT NOT NULL DEFAULT '"nothing"'; -- JSON

UPDATE ledger_counts SET newest_record = '"unnamed"', newest = max(
    coalesce((SELECT max(created) FROM (SELECT created FROM accounts ORDER BY row DESC LIMIT 1000)), 0),
    coalesce((SELECT max(ended) FROM (SELECT ended FROM authorizations ORDER BY row DESC LIMIT 1000)), 0),
    coalesce((SELECT max(ended) FROM orders), 0),
    coalesce((SELECT max(begun, coalesce(good, 0), coalesce(stored, 0))
        FROM (SELECT begun, good, stored FROM serials ORDER BY row DESC LIMIT 1000)
        ORDER BY 1 DESC LIMIT 1), 0),
    coalesce((SELECT max(revoked_at) FROM serials WHERE status = 'revoked'), 0),
    coalesce((SELECT max(this_update) FROM crls), 0));

-- The ledger: why an issuance ended without a certificate. NULL: it did not fail, or its process died with it.
ALTER TABLE serials ADD COLUMN failure TEXT;

-- The ledger: orders in issuance.
CREATE INDEX orders_open ON orders (id) WHERE outcome IS NULL;

-- The workbench: how many of the claims were ended by no worker, but by the end of a process, or of the lease.
ALTER TABLE active_orders ADD COLUMN lapsed INTEGER NOT NULL DEFAULT 0;

-- The workbench: what is wrong with a document that can't be read. Such an order stands nowhere, and nothing is done
-- with it.
ALTER TABLE active_orders ADD COLUMN unreadable TEXT;

CREATE INDEX active_orders_unreadable ON active_orders (id) WHERE unreadable IS NOT NULL;
