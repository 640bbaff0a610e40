-- Droplets that were uploaded and are not layers yet; a row goes when its droplet is STAGED or FAILED.

CREATE TABLE droplet_uploads (
  droplet_guid TEXT PRIMARY KEY NOT NULL,
  created_at TEXT NOT NULL,
  app_guid TEXT NOT NULL,
  job_guid TEXT NOT NULL,
  node_guid TEXT NOT NULL,        -- has the blob
  blob_sha256 TEXT NOT NULL,
  stack TEXT NOT NULL,
  memory_mb INTEGER NOT NULL,
  disk_mb INTEGER NOT NULL,
  deadline_at TEXT NOT NULL
) STRICT;
CREATE INDEX droplet_uploads_app ON droplet_uploads (app_guid);
