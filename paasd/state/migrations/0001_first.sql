-- The platform's tables. STRICT, explicit keys, no triggers: rows travel between nodes as changesets.
-- Times are RFC 3339 text unless a comment says otherwise; booleans are 0 or 1; lists, objects and structs are JSON text.

CREATE TABLE organizations (
  guid TEXT PRIMARY KEY NOT NULL,
  created_at TEXT NOT NULL,
  updated_at TEXT NOT NULL,
  name TEXT NOT NULL UNIQUE COLLATE NOCASE,
  suspended INTEGER NOT NULL,
  deleting INTEGER NOT NULL
) STRICT;

CREATE TABLE spaces (
  guid TEXT PRIMARY KEY NOT NULL,
  created_at TEXT NOT NULL,
  updated_at TEXT NOT NULL,
  name TEXT NOT NULL COLLATE NOCASE,
  organization_guid TEXT NOT NULL,
  allow_ssh INTEGER NOT NULL,
  deleting INTEGER NOT NULL,
  UNIQUE (organization_guid, name)
) STRICT;

CREATE TABLE users (
  guid TEXT PRIMARY KEY NOT NULL,
  created_at TEXT NOT NULL,
  updated_at TEXT NOT NULL,
  username TEXT NOT NULL COLLATE NOCASE,
  origin TEXT NOT NULL,
  email TEXT NOT NULL,
  password_hash TEXT,
  scopes TEXT NOT NULL,
  not_before INTEGER NOT NULL,    -- unix seconds
  registered INTEGER NOT NULL,
  UNIQUE (username, origin)
) STRICT;

CREATE TABLE roles (
  guid TEXT PRIMARY KEY NOT NULL,
  created_at TEXT NOT NULL,
  updated_at TEXT NOT NULL,
  type TEXT NOT NULL,
  user_guid TEXT NOT NULL,
  organization_guid TEXT,
  space_guid TEXT
) STRICT;
CREATE INDEX roles_user ON roles (user_guid, type);
CREATE INDEX roles_organization ON roles (organization_guid);
CREATE INDEX roles_space ON roles (space_guid);

CREATE TABLE apps (
  guid TEXT PRIMARY KEY NOT NULL,
  created_at TEXT NOT NULL,
  updated_at TEXT NOT NULL,
  name TEXT NOT NULL COLLATE NOCASE,
  space_guid TEXT NOT NULL,
  state TEXT NOT NULL,
  lifecycle_type TEXT NOT NULL,
  buildpacks TEXT NOT NULL,
  stack TEXT,
  environment TEXT NOT NULL,      -- sealed
  droplet_guid TEXT,
  features TEXT NOT NULL,
  version INTEGER NOT NULL,
  deleting INTEGER NOT NULL,
  UNIQUE (space_guid, name)
) STRICT;
CREATE INDEX apps_state ON apps (state);

CREATE TABLE processes (
  guid TEXT PRIMARY KEY NOT NULL,
  created_at TEXT NOT NULL,
  updated_at TEXT NOT NULL,
  app_guid TEXT NOT NULL,
  type TEXT NOT NULL,
  command TEXT,
  instances INTEGER NOT NULL,
  memory_mb INTEGER NOT NULL,
  disk_mb INTEGER NOT NULL,
  log_rate_limit_bytes INTEGER NOT NULL,
  health_check TEXT NOT NULL,
  readiness_health_check TEXT NOT NULL,
  UNIQUE (app_guid, type)
) STRICT;

CREATE TABLE sidecars (
  guid TEXT PRIMARY KEY NOT NULL,
  created_at TEXT NOT NULL,
  updated_at TEXT NOT NULL,
  app_guid TEXT NOT NULL,
  name TEXT NOT NULL,
  command TEXT NOT NULL,
  process_types TEXT NOT NULL,
  memory_mb INTEGER,
  origin TEXT NOT NULL,
  UNIQUE (app_guid, name)
) STRICT;

CREATE TABLE packages (
  guid TEXT PRIMARY KEY NOT NULL,
  created_at TEXT NOT NULL,
  updated_at TEXT NOT NULL,
  app_guid TEXT NOT NULL,
  type TEXT NOT NULL,
  state TEXT NOT NULL,
  blob_sha256 TEXT,
  size_bytes INTEGER,
  error TEXT
) STRICT;
CREATE INDEX packages_app ON packages (app_guid, created_at);

CREATE TABLE builds (
  guid TEXT PRIMARY KEY NOT NULL,
  created_at TEXT NOT NULL,
  updated_at TEXT NOT NULL,
  app_guid TEXT NOT NULL,
  package_guid TEXT NOT NULL,
  state TEXT NOT NULL,
  error TEXT,
  droplet_guid TEXT,
  node_guid TEXT,
  epoch INTEGER NOT NULL,
  deadline_at TEXT NOT NULL,
  buildpacks TEXT NOT NULL,
  stack TEXT NOT NULL,
  staging_memory_mb INTEGER NOT NULL,
  staging_disk_mb INTEGER NOT NULL,
  staging_log_rate_limit_bytes INTEGER NOT NULL,
  created_by_guid TEXT NOT NULL,
  created_by_name TEXT NOT NULL,
  timings TEXT NOT NULL
) STRICT;
CREATE INDEX builds_app ON builds (app_guid, created_at);
CREATE INDEX builds_package ON builds (package_guid);
CREATE INDEX builds_state ON builds (state);

CREATE TABLE droplets (
  guid TEXT PRIMARY KEY NOT NULL,
  created_at TEXT NOT NULL,
  updated_at TEXT NOT NULL,
  app_guid TEXT NOT NULL,
  package_guid TEXT,
  build_guid TEXT,
  state TEXT NOT NULL,
  error TEXT,
  stack TEXT,
  layers TEXT NOT NULL,
  process_types TEXT NOT NULL,
  sidecars TEXT NOT NULL,
  buildpacks TEXT NOT NULL,
  image TEXT,
  reuse_key TEXT NOT NULL
) STRICT;
CREATE INDEX droplets_app ON droplets (app_guid, created_at);
CREATE INDEX droplets_package ON droplets (package_guid);

CREATE TABLE layers (
  cache_key TEXT PRIMARY KEY NOT NULL,
  created_at TEXT NOT NULL,
  organization_guid TEXT,
  role TEXT NOT NULL,
  sha256 TEXT NOT NULL,
  size_bytes INTEGER NOT NULL
) STRICT;

CREATE TABLE domains (
  guid TEXT PRIMARY KEY NOT NULL,
  created_at TEXT NOT NULL,
  updated_at TEXT NOT NULL,
  name TEXT NOT NULL UNIQUE COLLATE NOCASE,
  internal INTEGER NOT NULL,
  organization_guid TEXT,
  deleting INTEGER NOT NULL
) STRICT;

CREATE TABLE routes (
  guid TEXT PRIMARY KEY NOT NULL,
  created_at TEXT NOT NULL,
  updated_at TEXT NOT NULL,
  domain_guid TEXT NOT NULL,
  space_guid TEXT NOT NULL,
  host TEXT NOT NULL COLLATE NOCASE,
  path TEXT NOT NULL,
  port INTEGER,
  protocol TEXT NOT NULL,
  options TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX routes_name ON routes (domain_guid, host, path);
CREATE INDEX routes_space ON routes (space_guid);

CREATE TABLE destinations (
  guid TEXT PRIMARY KEY NOT NULL,
  created_at TEXT NOT NULL,
  updated_at TEXT NOT NULL,
  route_guid TEXT NOT NULL,
  app_guid TEXT NOT NULL,
  process_type TEXT NOT NULL,
  port INTEGER,
  protocol TEXT NOT NULL,
  weight INTEGER
) STRICT;
CREATE INDEX destinations_route ON destinations (route_guid);
CREATE INDEX destinations_app ON destinations (app_guid);

CREATE TABLE nodes (
  guid TEXT PRIMARY KEY NOT NULL,
  created_at TEXT NOT NULL,
  updated_at TEXT NOT NULL,
  name TEXT NOT NULL,
  zone TEXT NOT NULL,
  memory_mb INTEGER NOT NULL,
  disk_mb INTEGER NOT NULL,
  cpus INTEGER NOT NULL,
  state TEXT NOT NULL,
  incarnation INTEGER NOT NULL
) STRICT;

CREATE TABLE instances (
  guid TEXT PRIMARY KEY NOT NULL,
  created_at TEXT NOT NULL,
  app_guid TEXT NOT NULL,
  process_guid TEXT NOT NULL,
  process_type TEXT NOT NULL,
  "index" INTEGER NOT NULL,
  app_version INTEGER NOT NULL,
  droplet_guid TEXT NOT NULL,
  node_guid TEXT NOT NULL,
  epoch INTEGER NOT NULL,
  desired TEXT NOT NULL,
  memory_mb INTEGER NOT NULL,
  disk_mb INTEGER NOT NULL,
  log_rate_limit_bytes INTEGER NOT NULL,
  UNIQUE (process_guid, "index")
) STRICT;
CREATE INDEX instances_app ON instances (app_guid);
CREATE INDEX instances_node ON instances (node_guid);

CREATE TABLE placement_failures (
  process_guid TEXT PRIMARY KEY NOT NULL,
  app_guid TEXT NOT NULL,
  created_at TEXT NOT NULL,
  reason TEXT NOT NULL
) STRICT;

CREATE TABLE jobs (
  guid TEXT PRIMARY KEY NOT NULL,
  created_at TEXT NOT NULL,
  updated_at TEXT NOT NULL,
  operation TEXT NOT NULL,
  state TEXT NOT NULL,
  resource_type TEXT,
  resource_guid TEXT,
  errors TEXT NOT NULL,
  warnings TEXT NOT NULL,
  owner_node_guid TEXT,
  epoch INTEGER NOT NULL,
  deadline_at TEXT NOT NULL
) STRICT;
CREATE INDEX jobs_state ON jobs (state, deadline_at);
CREATE INDEX jobs_resource ON jobs (resource_guid);

CREATE TABLE labels (
  resource_guid TEXT NOT NULL,
  key TEXT NOT NULL,
  resource_type TEXT NOT NULL,
  value TEXT NOT NULL,
  PRIMARY KEY (resource_guid, key)
) STRICT;
CREATE INDEX labels_key ON labels (resource_type, key, value);

CREATE TABLE annotations (
  resource_guid TEXT NOT NULL,
  key TEXT NOT NULL,
  resource_type TEXT NOT NULL,
  value TEXT NOT NULL,
  PRIMARY KEY (resource_guid, key)
) STRICT;

CREATE TABLE signing_keys (
  guid TEXT PRIMARY KEY NOT NULL,
  created_at TEXT NOT NULL,
  kid TEXT NOT NULL UNIQUE,
  sealed_private TEXT NOT NULL,
  public_jwk TEXT NOT NULL,
  active_from INTEGER NOT NULL,   -- unix seconds
  expires_at INTEGER NOT NULL     -- unix seconds
) STRICT;

CREATE TABLE settings (
  name TEXT PRIMARY KEY NOT NULL,
  value TEXT NOT NULL,
  updated_at TEXT NOT NULL
) STRICT;

CREATE TABLE audit_events (
  guid TEXT PRIMARY KEY NOT NULL,
  created_at TEXT NOT NULL,
  updated_at TEXT NOT NULL,
  type TEXT NOT NULL,
  actor_guid TEXT NOT NULL,
  actor_type TEXT NOT NULL,
  actor_name TEXT NOT NULL,
  target_guid TEXT NOT NULL,
  target_type TEXT NOT NULL,
  target_name TEXT NOT NULL,
  space_guid TEXT,
  organization_guid TEXT,
  data TEXT NOT NULL
) STRICT;
CREATE INDEX audit_events_target ON audit_events (target_guid, created_at);
CREATE INDEX audit_events_time ON audit_events (created_at);
CREATE INDEX audit_events_space ON audit_events (space_guid, created_at);
