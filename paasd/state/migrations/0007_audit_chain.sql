-- Audit events say from where, and stand in chains of hashes: one of the platform, one of each organization.

ALTER TABLE audit_events ADD COLUMN address TEXT NOT NULL DEFAULT '';         -- of the client
ALTER TABLE audit_events ADD COLUMN client TEXT NOT NULL DEFAULT '';          -- the OAuth client that it used
ALTER TABLE audit_events ADD COLUMN request_id TEXT NOT NULL DEFAULT '';
ALTER TABLE audit_events ADD COLUMN sequence INTEGER NOT NULL DEFAULT 0;      -- 0: from before there was a chain
ALTER TABLE audit_events ADD COLUMN hash TEXT NOT NULL DEFAULT '';
ALTER TABLE audit_events ADD COLUMN organization_sequence INTEGER NOT NULL DEFAULT 0;
ALTER TABLE audit_events ADD COLUMN organization_hash TEXT NOT NULL DEFAULT '';
CREATE INDEX audit_events_sequence ON audit_events (sequence);
CREATE INDEX audit_events_organization ON audit_events (organization_guid, organization_sequence);

CREATE TABLE audit_chains (
  scope TEXT PRIMARY KEY NOT NULL,       -- platform, or the guid of an organization
  created_at TEXT NOT NULL,
  sequence INTEGER NOT NULL,             -- of the newest event
  hash TEXT NOT NULL,                    -- of the newest event
  trimmed_sequence INTEGER NOT NULL,     -- of the last event that went because of its age
  trimmed_hash TEXT NOT NULL,
  former INTEGER NOT NULL                -- events from before there was a chain that are still kept
) STRICT;
INSERT INTO audit_chains SELECT 'platform', '', 0, '', 0, '', count(*) FROM audit_events;
