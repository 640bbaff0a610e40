-- What tenants may use, what the platform allows at all, what every app gets, and what was used.

CREATE TABLE organization_quotas (
  guid TEXT PRIMARY KEY NOT NULL,
  created_at TEXT NOT NULL,
  updated_at TEXT NOT NULL,
  name TEXT NOT NULL UNIQUE COLLATE NOCASE,
  limits TEXT NOT NULL            -- what is absent is unlimited
) STRICT;
-- The one that an organization has until it is given another; without limits until an operator sets some.
INSERT INTO organization_quotas VALUES ('default', '2026-01-01T00:00:00Z', '2026-01-01T00:00:00Z', 'default', '{}');

CREATE TABLE space_quotas (
  guid TEXT PRIMARY KEY NOT NULL,
  created_at TEXT NOT NULL,
  updated_at TEXT NOT NULL,
  name TEXT NOT NULL COLLATE NOCASE,
  organization_guid TEXT NOT NULL,
  limits TEXT NOT NULL,
  UNIQUE (organization_guid, name)
) STRICT;

ALTER TABLE organizations ADD COLUMN quota_guid TEXT NOT NULL DEFAULT 'default';
ALTER TABLE spaces ADD COLUMN quota_guid TEXT;
CREATE INDEX organizations_quota ON organizations (quota_guid);
CREATE INDEX spaces_quota ON spaces (quota_guid);

CREATE TABLE feature_flags (      -- those that differ from their defaults or have a text of their own
  name TEXT PRIMARY KEY NOT NULL,
  updated_at TEXT NOT NULL,
  enabled INTEGER NOT NULL,
  custom_error_message TEXT
) STRICT;

CREATE TABLE variable_groups (
  name TEXT PRIMARY KEY NOT NULL, -- running, staging
  updated_at TEXT NOT NULL,
  variables TEXT NOT NULL         -- sealed
) STRICT;

CREATE TABLE app_usage_events (
  guid TEXT PRIMARY KEY NOT NULL,
  created_at TEXT NOT NULL,
  sequence INTEGER NOT NULL UNIQUE, -- counts up; pages are read after one
  state TEXT NOT NULL,
  previous_state TEXT,
  app_guid TEXT NOT NULL,
  app_name TEXT NOT NULL,
  process_guid TEXT,
  process_type TEXT,
  task_guid TEXT,
  task_name TEXT,
  space_guid TEXT NOT NULL,
  space_name TEXT NOT NULL,
  organization_guid TEXT NOT NULL,
  buildpack_guid TEXT,
  buildpack_name TEXT,
  memory_mb INTEGER NOT NULL,
  previous_memory_mb INTEGER,
  instances INTEGER NOT NULL,
  previous_instances INTEGER
) STRICT;
CREATE INDEX app_usage_events_time ON app_usage_events (created_at);

CREATE TABLE buildpacks (
  guid TEXT PRIMARY KEY NOT NULL,
  created_at TEXT NOT NULL,
  updated_at TEXT NOT NULL,
  name TEXT NOT NULL COLLATE NOCASE,
  stack TEXT NOT NULL,            -- '' is any
  position INTEGER NOT NULL,
  enabled INTEGER NOT NULL,
  locked INTEGER NOT NULL,
  builtin INTEGER NOT NULL,       -- comes with paasd; has no bits
  filename TEXT,
  blob_sha256 TEXT,               -- NULL until bits were uploaded
  UNIQUE (name, stack)
) STRICT;
INSERT INTO buildpacks VALUES
  ('staticfile_buildpack', '2026-01-01T00:00:00Z', '2026-01-01T00:00:00Z', 'staticfile_buildpack', '', 1, 1, 0, 1, NULL, NULL),
  ('nodejs_buildpack', '2026-01-01T00:00:00Z', '2026-01-01T00:00:00Z', 'nodejs_buildpack', '', 2, 1, 0, 1, NULL, NULL),
  ('python_buildpack', '2026-01-01T00:00:00Z', '2026-01-01T00:00:00Z', 'python_buildpack', '', 3, 1, 0, 1, NULL, NULL),
  ('binary_buildpack', '2026-01-01T00:00:00Z', '2026-01-01T00:00:00Z', 'binary_buildpack', '', 4, 1, 0, 1, NULL, NULL);

CREATE TABLE tasks (
  guid TEXT PRIMARY KEY NOT NULL,
  created_at TEXT NOT NULL,
  updated_at TEXT NOT NULL,
  app_guid TEXT NOT NULL,
  sequence_id INTEGER NOT NULL,
  name TEXT NOT NULL,
  command TEXT NOT NULL,
  state TEXT NOT NULL,            -- PENDING, RUNNING, CANCELING, SUCCEEDED, FAILED
  failure_reason TEXT,
  droplet_guid TEXT NOT NULL,
  memory_mb INTEGER NOT NULL,
  disk_mb INTEGER NOT NULL,
  log_rate_limit_bytes INTEGER NOT NULL,
  node_guid TEXT,
  epoch INTEGER NOT NULL,
  UNIQUE (app_guid, sequence_id)
) STRICT;
CREATE INDEX tasks_node ON tasks (node_guid, state);
CREATE INDEX tasks_state ON tasks (state);
