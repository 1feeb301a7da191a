-- Orders that wait for a worker to test their challenges, by account: one whose share of workers is at work is passed over.
CREATE INDEX active_orders_to_test ON active_orders (account, turn) WHERE place = 'queue' AND stage = 'testchallenge';
