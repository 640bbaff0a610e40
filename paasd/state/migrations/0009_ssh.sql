-- ssh into instances: codes that count once, the host key that every node shows, organizations that allow or forbid it.

CREATE TABLE ssh_codes (
  code_hash TEXT PRIMARY KEY NOT NULL,  -- SHA-256 of a code of 80 bits
  created_at TEXT NOT NULL,
  user_guid TEXT NOT NULL,
  client TEXT NOT NULL,                 -- the OAuth client by which the user was signed in
  scopes TEXT NOT NULL,
  with_factor INTEGER NOT NULL,
  signature TEXT NOT NULL,              -- changes with the user's password and when all sessions are ended
  expires_at INTEGER NOT NULL           -- unix seconds
) STRICT;
CREATE INDEX ssh_codes_user ON ssh_codes (user_guid);

CREATE TABLE ssh_host_keys (
  algorithm TEXT PRIMARY KEY NOT NULL,
  created_at TEXT NOT NULL,
  sealed_private TEXT NOT NULL,
  public_key TEXT NOT NULL              -- as in known_hosts: algorithm and base64
) STRICT;

CREATE TABLE ssh_switches (
  organization_guid TEXT PRIMARY KEY NOT NULL,
  created_at TEXT NOT NULL,
  allowed INTEGER NOT NULL
) STRICT;
