-- Routes with a port: domains of a router group, on which a port and not a host and path tells routes apart.

ALTER TABLE domains ADD COLUMN router_group_guid TEXT; -- null: HTTP

-- A port is one route's, whatever its domain.
CREATE UNIQUE INDEX routes_port ON routes (port) WHERE port IS NOT NULL;
DROP INDEX routes_name;
CREATE UNIQUE INDEX routes_name ON routes (domain_guid, host, path, coalesce(port, 0));
