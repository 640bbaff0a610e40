-- Who started a job, and invitations to organizations and spaces.

ALTER TABLE jobs ADD COLUMN user_guid TEXT;

CREATE TABLE invitations (
  guid TEXT PRIMARY KEY NOT NULL,
  created_at TEXT NOT NULL,
  updated_at TEXT NOT NULL,
  organization_guid TEXT NOT NULL,
  address TEXT NOT NULL,           -- an e-mail address or a user name
  secret_hash TEXT NOT NULL,
  organization_roles TEXT NOT NULL,
  space_roles TEXT NOT NULL,       -- by the guid of the space
  invited_by TEXT NOT NULL,
  inviter_guid TEXT NOT NULL,
  expires_at INTEGER NOT NULL,     -- unix seconds
  sent_at INTEGER                  -- NULL until the mail was taken by a server
) STRICT;
CREATE UNIQUE INDEX invitations_secret ON invitations (secret_hash);
CREATE INDEX invitations_organization ON invitations (organization_guid, created_at);
