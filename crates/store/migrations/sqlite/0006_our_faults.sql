-- Orders that ended without a certificate by our own fault: found and counted without a look at all others.
ALTER TABLE orders ADD COLUMN our_fault INTEGER NOT NULL DEFAULT 0 CHECK (our_fault IN (0, 1));
-- What is no JSON is nothing that could be looked into, and no reason to open the store in no version at all.
UPDATE orders SET our_fault = 1 WHERE outcome = 'invalid' AND json_valid(failure) AND (
    failure ->> '$.problem.type' = 'urn:ietf:params:acme:error:serverInternal'
    OR EXISTS (SELECT 1 FROM json_each(orders.failure, '$.problem.subproblems')
        WHERE value ->> '$.type' = 'urn:ietf:params:acme:error:serverInternal'));
CREATE INDEX orders_by_our_fault ON orders (ended, id) WHERE our_fault = 1;

ALTER TABLE ledger_counts ADD COLUMN our_fault INTEGER NOT NULL DEFAULT 0;
UPDATE ledger_counts SET our_fault = (SELECT count(*) FROM orders WHERE our_fault = 1);
