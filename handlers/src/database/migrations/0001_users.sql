CREATE TABLE millstream.users (
    id text PRIMARY KEY,
    name text NOT NULL,
    address text NOT NULL,
    credits bigint NOT NULL CHECK (credits >= 0),
    -- Grows with every change.
    version bigint NOT NULL DEFAULT 1,
    -- The events that inserted it and that last added credits on a condition.
    inserted_by text,
    credited_by text
);

-- Changes that must not be made twice, written in the transaction of the change.
CREATE TABLE millstream.applied (
    user_id text NOT NULL,
    token text NOT NULL,
    credits bigint,
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, token)
);
CREATE INDEX applied_at ON millstream.applied (at);
