-- Revisions: what an app was started with, each time that this was something else.

CREATE TABLE revisions (
  guid TEXT PRIMARY KEY NOT NULL,
  created_at TEXT NOT NULL,
  updated_at TEXT NOT NULL,
  app_guid TEXT NOT NULL,
  sequence INTEGER NOT NULL,      -- counts the revisions of an app, without end
  version INTEGER NOT NULL,       -- as people count them, from 1 to 9999 and from 1 again
  droplet_guid TEXT NOT NULL,     -- may be gone
  environment TEXT NOT NULL,      -- sealed as the app's own was
  commands TEXT NOT NULL,         -- own start commands by process type; null is the droplet's
  sidecars TEXT NOT NULL,
  description TEXT NOT NULL,
  UNIQUE (app_guid, sequence)
) STRICT;

ALTER TABLE apps ADD COLUMN revision_guid TEXT;  -- of the last start; none where no revisions are kept
