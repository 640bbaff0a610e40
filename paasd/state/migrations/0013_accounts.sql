-- Accounts can be switched off without being deleted, and their changes are told apart. Apps forget what builds kept.

ALTER TABLE users ADD COLUMN active INTEGER NOT NULL DEFAULT 1;
ALTER TABLE users ADD COLUMN version INTEGER NOT NULL DEFAULT 0; -- goes up with each change of the account
ALTER TABLE apps ADD COLUMN cache_generation INTEGER NOT NULL DEFAULT 0;
