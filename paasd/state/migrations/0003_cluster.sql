-- Several nodes: where they are reached, what they may do, who may join, and what must run once.

ALTER TABLE nodes ADD COLUMN role TEXT NOT NULL DEFAULT 'control';
ALTER TABLE nodes ADD COLUMN address TEXT NOT NULL DEFAULT '';          -- that others reach; empty: it is alone
ALTER TABLE nodes ADD COLUMN peer_port INTEGER NOT NULL DEFAULT 0;      -- UDP gossip and TCP peer streams
ALTER TABLE nodes ADD COLUMN tunnel_port INTEGER NOT NULL DEFAULT 0;    -- Envoy to Envoy
ALTER TABLE nodes ADD COLUMN etcd_client_port INTEGER NOT NULL DEFAULT 0;
ALTER TABLE nodes ADD COLUMN etcd_peer_port INTEGER NOT NULL DEFAULT 0;
ALTER TABLE nodes ADD COLUMN voting TEXT NOT NULL DEFAULT '';           -- '', JOINING, VOTER, LEAVING
ALTER TABLE nodes ADD COLUMN version TEXT NOT NULL DEFAULT '';          -- of paasd
ALTER TABLE nodes ADD COLUMN schema_limit INTEGER NOT NULL DEFAULT 0;   -- newest migration that its paasd knows
ALTER TABLE nodes ADD COLUMN etcd_version TEXT NOT NULL DEFAULT '';     -- of its etcd; empty: it cannot vote
ALTER TABLE nodes ADD COLUMN state_changed_at TEXT NOT NULL DEFAULT '';

CREATE TABLE join_tokens (
  id TEXT PRIMARY KEY NOT NULL,
  created_at TEXT NOT NULL,
  secret_hash TEXT NOT NULL,
  role TEXT NOT NULL,
  zone TEXT,                      -- NULL leaves the choice to the node
  uses_left INTEGER NOT NULL,
  used_by TEXT NOT NULL,          -- guids of nodes; one of them may ask again
  expires_at INTEGER NOT NULL,    -- unix seconds
  created_by TEXT NOT NULL
) STRICT;

CREATE TABLE authorities (
  guid TEXT PRIMARY KEY NOT NULL,
  created_at TEXT NOT NULL,
  updated_at TEXT NOT NULL,
  purpose TEXT NOT NULL,          -- nodes, public, etcd
  certificate TEXT NOT NULL,      -- PEM
  sealed_key TEXT NOT NULL,
  state TEXT NOT NULL             -- TRUSTED, SIGNING, RETIRED
) STRICT;

CREATE TABLE gossip_keys (
  id TEXT PRIMARY KEY NOT NULL,
  created_at TEXT NOT NULL,
  sealed TEXT NOT NULL,
  state TEXT NOT NULL             -- KNOWN, SENDING
) STRICT;

CREATE TABLE leases (
  slot TEXT PRIMARY KEY NOT NULL, -- what must run once, such as instance/<process guid>/<index>
  created_at TEXT NOT NULL,
  node_guid TEXT NOT NULL,
  epoch INTEGER NOT NULL,
  duration_s REAL NOT NULL,
  renewals INTEGER NOT NULL       -- counts up; nobody compares clocks
) STRICT;
CREATE INDEX leases_node ON leases (node_guid);

-- While an instance moves there are two of one index: the one that serves, and its successor under the next epoch.
CREATE TABLE instances_next (
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
  UNIQUE (process_guid, "index", epoch)
) STRICT;
INSERT INTO instances_next SELECT guid, created_at, app_guid, process_guid, process_type, "index", app_version,
  droplet_guid, node_guid, epoch, desired, memory_mb, disk_mb, log_rate_limit_bytes FROM instances ORDER BY rowid;
DROP TABLE instances;
ALTER TABLE instances_next RENAME TO instances;
CREATE INDEX instances_app ON instances (app_guid);
CREATE INDEX instances_node ON instances (node_guid);
