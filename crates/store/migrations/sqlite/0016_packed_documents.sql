-- The ledger: documents of orders and authorizations are kept packed; see `store::packed`. Where `packed` is there,
-- `document` is empty. Those that were written before stay as they are.
ALTER TABLE order_documents ADD COLUMN packed BLOB;
ALTER TABLE authorizations ADD COLUMN packed BLOB;
