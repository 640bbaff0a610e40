-- Private domains that further organizations may have routes on, and routes that apps of further spaces may stand behind.

CREATE TABLE domain_shares (
  domain_guid TEXT NOT NULL,
  organization_guid TEXT NOT NULL,
  created_at TEXT NOT NULL,
  PRIMARY KEY (domain_guid, organization_guid)
) STRICT;
CREATE INDEX domain_shares_organization ON domain_shares (organization_guid);

CREATE TABLE route_shares (
  route_guid TEXT NOT NULL,
  space_guid TEXT NOT NULL,
  created_at TEXT NOT NULL,
  PRIMARY KEY (route_guid, space_guid)
) STRICT;
CREATE INDEX route_shares_space ON route_shares (space_guid);

-- A session ends so long after its sign-in, whatever it was carried on by.
ALTER TABLE passcodes ADD COLUMN signed_in_at INTEGER NOT NULL DEFAULT 0; -- unix seconds; 0: when it is used
