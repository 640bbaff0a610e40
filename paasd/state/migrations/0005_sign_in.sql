-- Signing in: second factors, passcodes, people known to other providers, tokens of deployment pipelines.

CREATE TABLE deploy_tokens (
  guid TEXT PRIMARY KEY NOT NULL,       -- also of the user that holds its roles
  created_at TEXT NOT NULL,
  updated_at TEXT NOT NULL,
  name TEXT NOT NULL,
  secret_hash TEXT NOT NULL,            -- SHA-256 of a secret of 256 bits
  role TEXT NOT NULL,
  organization_guid TEXT NOT NULL,
  space_guid TEXT,                      -- NULL: the whole organization
  maker_guid TEXT NOT NULL,
  maker_name TEXT NOT NULL,
  with_factor INTEGER NOT NULL,         -- whether its maker had shown a second factor
  expires_at INTEGER NOT NULL,          -- unix seconds
  last_used_on TEXT NOT NULL            -- a day such as 2026-01-31; empty: never
) STRICT;
CREATE INDEX deploy_tokens_place ON deploy_tokens (organization_guid, space_guid, name);
CREATE INDEX deploy_tokens_maker ON deploy_tokens (maker_guid);

CREATE TABLE second_factors (
  user_guid TEXT PRIMARY KEY NOT NULL,
  created_at TEXT NOT NULL,
  updated_at TEXT NOT NULL,
  sealed_secret TEXT NOT NULL,
  confirmed INTEGER NOT NULL,
  last_step INTEGER NOT NULL,           -- the newest 30 s of which a code was taken
  recovery_hashes TEXT NOT NULL         -- SHA-256 of codes that were not used yet
) STRICT;

CREATE TABLE factor_demands (
  organization_guid TEXT PRIMARY KEY NOT NULL,
  created_at TEXT NOT NULL
) STRICT;

CREATE TABLE passcodes (
  code_hash TEXT PRIMARY KEY NOT NULL,  -- SHA-256 of a code of 60 bits
  created_at TEXT NOT NULL,
  user_guid TEXT NOT NULL,
  with_factor INTEGER NOT NULL,
  expires_at INTEGER NOT NULL           -- unix seconds
) STRICT;
CREATE INDEX passcodes_user ON passcodes (user_guid);

CREATE TABLE external_identities (
  origin TEXT NOT NULL,                 -- the name of the provider in the configuration
  subject TEXT NOT NULL,                -- the provider's own, never reused name of the person
  created_at TEXT NOT NULL,
  user_guid TEXT NOT NULL,
  PRIMARY KEY (origin, subject)
) STRICT;
CREATE INDEX external_identities_user ON external_identities (user_guid);
