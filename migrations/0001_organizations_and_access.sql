-- schema-version: 1.0.0
-- Organizations, users, sessions and preferences; the functions every other table uses.
-- Every table of a tenant starts its keys with organization_id; row level security is switched on in 0007 for all of them at once.

CREATE EXTENSION IF NOT EXISTS "uuid-ossp";
CREATE EXTENSION IF NOT EXISTS pgcrypto;

-- The role that the gateway works as: not the owner, so that row level security holds. `medscan migrate` gives it a login.
DO $$
BEGIN
  IF NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'medscan_app') THEN
    CREATE ROLE medscan_app NOLOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE;
  END IF;
EXCEPTION
  WHEN duplicate_object OR unique_violation THEN NULL;
  WHEN insufficient_privilege THEN RAISE NOTICE 'medscan_app cannot be created by this role; the gateway will work as %', current_user;
END $$;

-- UUID version 7 (RFC 9562 5.7): the first 48 bits are milliseconds, so that new keys lie next to each other in an index.
CREATE FUNCTION medscan_uuid_v7() RETURNS uuid LANGUAGE sql VOLATILE PARALLEL SAFE AS $$
  SELECT encode(set_bit(set_bit(overlay(uuid_send(gen_random_uuid())
    PLACING substring(int8send((extract(epoch FROM clock_timestamp()) * 1000)::bigint) FROM 3) FROM 1 FOR 6), 52, 1), 53, 1), 'hex')::uuid
$$;

CREATE FUNCTION medscan_touch_updated_at() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  NEW.updated_at := now();
  RETURN NEW;
END $$;

CREATE TABLE organizations (
  organization_id    uuid PRIMARY KEY DEFAULT medscan_uuid_v7(),
  name               text NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
  organization_type  text NOT NULL DEFAULT 'hospital' CHECK (organization_type IN ('hospital', 'clinic', 'imaging_center', 'research')),
  subscription_plan  text NOT NULL DEFAULT 'professional' CHECK (subscription_plan IN ('basic', 'professional', 'enterprise')),
  time_zone          text NOT NULL DEFAULT 'UTC',
  is_active          boolean NOT NULL DEFAULT true,
  created_at         timestamptz NOT NULL DEFAULT now(),
  updated_at         timestamptz NOT NULL DEFAULT now()
);
-- Names tell tenants apart at the command line, so they are unique there; no tenant can read another's row.
CREATE UNIQUE INDEX organizations_name_key ON organizations (lower(name));

-- Traffic that no organization claims (an unknown AE title, an unknown sending application) is on record here.
INSERT INTO organizations (organization_id, name, organization_type, subscription_plan)
VALUES ('00000000-0000-0000-0000-000000000000', 'Unassigned', 'research', 'basic');

CREATE TABLE users (
  organization_id    uuid NOT NULL REFERENCES organizations,
  user_id            uuid NOT NULL DEFAULT medscan_uuid_v7(),
  email              text NOT NULL CHECK (email LIKE '%_@_%'),
  display_name       text NOT NULL,
  role               text NOT NULL CHECK (role IN ('radiologist', 'physician', 'administrator', 'technician', 'nurse', 'integrator', 'service')),
  password_hash      text,
  mfa_secret_sealed  text,
  is_active          boolean NOT NULL DEFAULT true,
  failed_attempts    integer NOT NULL DEFAULT 0,
  locked_until       timestamptz,
  last_login_at      timestamptz,
  created_at         timestamptz NOT NULL DEFAULT now(),
  updated_at         timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (organization_id, user_id)
);
CREATE UNIQUE INDEX users_email_key ON users (organization_id, lower(email));
CREATE INDEX users_email_login ON users (lower(email));

-- Browser sessions and API tokens: only the SHA-256 of the 256-bit token is here.
CREATE TABLE user_sessions (
  organization_id    uuid NOT NULL,
  session_id         uuid NOT NULL DEFAULT medscan_uuid_v7(),
  user_id            uuid NOT NULL,
  kind               text NOT NULL DEFAULT 'browser' CHECK (kind IN ('browser', 'api_token')),
  token_name         text,
  token_hash         text NOT NULL,
  scopes             text[] NOT NULL DEFAULT '{}',
  ip_address         text,
  user_agent         text,
  created_at         timestamptz NOT NULL DEFAULT now(),
  last_seen_at       timestamptz NOT NULL DEFAULT now(),
  idle_expires_at    timestamptz,
  expires_at         timestamptz,
  revoked_at         timestamptz,
  updated_at         timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (organization_id, session_id),
  FOREIGN KEY (organization_id, user_id) REFERENCES users ON DELETE CASCADE
);
CREATE UNIQUE INDEX user_sessions_token_key ON user_sessions (organization_id, token_hash);
CREATE INDEX user_sessions_token_lookup ON user_sessions (token_hash);

CREATE TABLE user_preferences (
  organization_id    uuid NOT NULL,
  user_id            uuid NOT NULL,
  preference_key     text NOT NULL,
  value              jsonb NOT NULL,
  created_at         timestamptz NOT NULL DEFAULT now(),
  updated_at         timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (organization_id, user_id, preference_key),
  FOREIGN KEY (organization_id, user_id) REFERENCES users ON DELETE CASCADE
);
