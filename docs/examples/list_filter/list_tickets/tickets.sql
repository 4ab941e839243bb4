INSERT INTO tickets (id, owner, status) VALUES
  ('T-1', 'user:pat@farm.example', 'open'),
  ('T-2', 'user:kim@farm.example', 'closed'),
  ('T-3', 'user:pat@farm.example', 'open'),
  ('T-4', NULL, 'open');
INSERT INTO ticket_scopes (ticket_id, scope) VALUES
  ('T-1', 'team:harvest'),
  ('T-2', 'team:parts'),
  ('T-3', 'team:service'),
  ('T-3', 'team:precision');
