-- What instances may reach: security groups for everything outside, policies for apps of the platform.

CREATE TABLE security_groups (
  guid TEXT PRIMARY KEY NOT NULL,
  created_at TEXT NOT NULL,
  updated_at TEXT NOT NULL,
  name TEXT NOT NULL UNIQUE,
  rules TEXT NOT NULL,              -- as clients sent them
  running_default INTEGER NOT NULL, -- for every space
  staging_default INTEGER NOT NULL
) STRICT;

CREATE TABLE security_group_spaces (
  security_group_guid TEXT NOT NULL,
  space_guid TEXT NOT NULL,
  phase TEXT NOT NULL,              -- running, staging
  PRIMARY KEY (security_group_guid, space_guid, phase)
) STRICT;
CREATE INDEX security_group_spaces_space ON security_group_spaces (space_guid, phase);

CREATE TABLE network_policies (
  source_guid TEXT NOT NULL,        -- apps
  destination_guid TEXT NOT NULL,
  protocol TEXT NOT NULL,
  start_port INTEGER NOT NULL,
  end_port INTEGER NOT NULL,
  created_at TEXT NOT NULL,
  PRIMARY KEY (source_guid, destination_guid, protocol, start_port, end_port)
) STRICT;
CREATE INDEX network_policies_destination ON network_policies (destination_guid);

-- The groups that Cloud Foundry begins with. Builds reach what [staging] names, so they are not for staging.
INSERT INTO security_groups VALUES ('7e9f6a58-3f9b-4a6e-9d5c-0d6b1c9b0001', '2026-01-01T00:00:00Z', '2026-01-01T00:00:00Z',
  'public_networks', '[{"protocol":"all","destination":"1.0.0.0-9.255.255.255,11.0.0.0-100.63.255.255,100.128.0.0-126.255.255.255,128.0.0.0-169.253.255.255,169.255.0.0-172.15.255.255,172.32.0.0-192.167.255.255,192.169.0.0-198.17.255.255,198.20.0.0-223.255.255.255","description":"Everything outside private, shared, link-local and multicast ranges"}]', 1, 0);
INSERT INTO security_groups VALUES ('7e9f6a58-3f9b-4a6e-9d5c-0d6b1c9b0002', '2026-01-01T00:00:00Z', '2026-01-01T00:00:00Z',
  'dns', '[{"protocol":"tcp","destination":"1.0.0.0-9.255.255.255,11.0.0.0-100.63.255.255,100.128.0.0-126.255.255.255,128.0.0.0-169.253.255.255,169.255.0.0-172.15.255.255,172.32.0.0-192.167.255.255,192.169.0.0-198.17.255.255,198.20.0.0-223.255.255.255","ports":"53","description":"Public name servers; the resolver of the platform answers without it"},{"protocol":"udp","destination":"1.0.0.0-9.255.255.255,11.0.0.0-100.63.255.255,100.128.0.0-126.255.255.255,128.0.0.0-169.253.255.255,169.255.0.0-172.15.255.255,172.32.0.0-192.167.255.255,192.169.0.0-198.17.255.255,198.20.0.0-223.255.255.255","ports":"53","description":"Public name servers; the resolver of the platform answers without it"}]', 1, 0);
