-- Patients, their identifiers, their history, and the journal of merges.
-- Text columns of a patient hold either the value or, when MEDSCAN_ENCRYPTION_KEY is configured, its sealed form 'v1.<key>.<...>'.

CREATE TABLE patients (
  organization_id        uuid NOT NULL REFERENCES organizations,
  patient_id             uuid NOT NULL DEFAULT medscan_uuid_v7(),
  patient_number         text NOT NULL,
  family_name            text,
  given_name             text,
  middle_name            text,
  name_prefix            text,
  name_suffix            text,
  ideographic_name       text,
  phonetic_name          text,
  birth_date             text,  -- ISO 8601 cut to its precision: 1980, 1980-05, 1980-05-17
  birth_date_precision   text CHECK (birth_date_precision IN ('year', 'month', 'day')),
  sex                    text CHECK (sex IN ('male', 'female', 'other', 'unknown')),
  address                jsonb,
  telecom                jsonb,
  deceased               boolean,
  deceased_at            text,
  is_active              boolean NOT NULL DEFAULT true,
  merged_into_patient_id uuid,
  -- 'quarantined': the sender gave no usable identifier, or one that contradicts what is stored; a person or a late ADT decides.
  identity_status        text NOT NULL DEFAULT 'established' CHECK (identity_status IN ('established', 'quarantined')),
  -- column -> {authority, sync_id, at}: who said it last.
  provenance             jsonb NOT NULL DEFAULT '{}',
  created_at             timestamptz NOT NULL DEFAULT now(),
  updated_at             timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (organization_id, patient_id),
  FOREIGN KEY (organization_id, merged_into_patient_id) REFERENCES patients
);
CREATE INDEX patients_merged_into ON patients (organization_id, merged_into_patient_id) WHERE merged_into_patient_id IS NOT NULL;
CREATE INDEX patients_number ON patients (organization_id, patient_number);

-- value_index is what is searched: the value itself, or its keyed HMAC when values are sealed.
CREATE TABLE patient_identifiers (
  organization_id        uuid NOT NULL,
  patient_identifier_id  uuid NOT NULL DEFAULT medscan_uuid_v7(),
  patient_id             uuid NOT NULL,
  assigning_authority    text NOT NULL DEFAULT '',
  value                  text NOT NULL,
  value_index            text NOT NULL,
  type_code              text,
  is_current             boolean NOT NULL DEFAULT true,
  created_at             timestamptz NOT NULL DEFAULT now(),
  updated_at             timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (organization_id, patient_identifier_id),
  FOREIGN KEY (organization_id, patient_id) REFERENCES patients,
  UNIQUE (organization_id, value_index, assigning_authority)
);
CREATE INDEX patient_identifiers_patient ON patient_identifiers (organization_id, patient_id);

CREATE TABLE patient_medical_history (
  organization_id    uuid NOT NULL,
  history_id         uuid NOT NULL DEFAULT medscan_uuid_v7(),
  patient_id         uuid NOT NULL,
  kind               text NOT NULL CHECK (kind IN ('condition', 'allergy', 'procedure', 'medication', 'visit')),
  code               text,
  code_system        text,
  display            text NOT NULL,
  onset              text,
  status             text,
  severity           text,
  detail             jsonb NOT NULL DEFAULT '{}',
  -- what makes two statements the same one: kind, code and onset
  statement_key      text NOT NULL,
  source_sync_id     uuid,
  created_at         timestamptz NOT NULL DEFAULT now(),
  updated_at         timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (organization_id, history_id),
  FOREIGN KEY (organization_id, patient_id) REFERENCES patients,
  UNIQUE (organization_id, patient_id, statement_key)
);

CREATE TABLE patient_merges (
  organization_id      uuid NOT NULL,
  merge_id             uuid NOT NULL DEFAULT medscan_uuid_v7(),
  survivor_patient_id  uuid NOT NULL,
  prior_patient_id     uuid NOT NULL,
  source_sync_id       uuid,
  -- what moved, so that the merge can be undone: {scans: [...], identifiers: [...], history: [...]}
  moved                jsonb NOT NULL DEFAULT '{}',
  merged_at            timestamptz NOT NULL DEFAULT now(),
  unmerged_at          timestamptz,
  created_at           timestamptz NOT NULL DEFAULT now(),
  updated_at           timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (organization_id, merge_id),
  FOREIGN KEY (organization_id, survivor_patient_id) REFERENCES patients,
  FOREIGN KEY (organization_id, prior_patient_id) REFERENCES patients
);
