CREATE TABLE tickets (
  id       TEXT PRIMARY KEY NOT NULL,
  owner    TEXT,    -- type:id
  status   TEXT,
  priority INTEGER,
  hours    REAL,
  vip      INTEGER, -- 0 or 1
  tags     TEXT     -- a JSON array of texts
) STRICT;

CREATE TABLE ticket_scopes (
  ticket_id TEXT NOT NULL REFERENCES tickets (id),
  scope     TEXT NOT NULL, -- type:id
  PRIMARY KEY (ticket_id, scope)
) STRICT, WITHOUT ROWID;
