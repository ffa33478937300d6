"""the first tables

Breaks: nothing, there was no archive before.
"""
from functools import partial

import sqlalchemy as sa
from alembic import op

revision, down_revision = "0001", None
Whole, Real, Text, Bytes, Time = sa.BigInteger().with_variant(sa.Integer, "sqlite"), sa.Double(), sa.Text(), sa.LargeBinary(), sa.DateTime(timezone=True)
must, may, number = partial(sa.Column, nullable=False), partial(sa.Column, nullable=True), partial(sa.Column, type_=Whole, autoincrement=False, nullable=False)


def upgrade():
    op.create_table("ledger",
        number("id"), must("made_at", Time), must("cells", Bytes), must("digest", Bytes),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ledger")))
    op.create_table("dataset",
        number("id"), must("name", Text), may("source", Text), must("created_at", Time), must("entry", Whole),
        sa.ForeignKeyConstraint(["entry"], ["ledger.id"], name=op.f("fk_dataset_entry")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_dataset")),
        sa.UniqueConstraint("name", name=op.f("uq_dataset_name")))
    op.create_table("update",
        number("id"), must("dataset_id", Whole), must("source_version", Text), must("content_hash", Text), must("published_at", Time),
        must("observed_at", Time), may("origin", Text), may("bytes", Whole), may("schema_hash", Text), may("previous_id", Whole),
        may("row_count", Whole), may("column_count", Whole), may("duplicate_share", Real), may("key_violation_share", Real), may("same_share", Real),
        may("created_share", Real), may("updated_share", Real), may("deleted_share", Real), may("bad_line_share", Real), may("schema_changes", Whole),
        may("rows_created", Whole), may("rows_updated", Whole), may("rows_deleted", Whole), must("entry", Whole),
        sa.ForeignKeyConstraint(["dataset_id"], ["dataset.id"], name=op.f("fk_update_dataset_id")),
        sa.ForeignKeyConstraint(["entry"], ["ledger.id"], name=op.f("fk_update_entry")),
        sa.ForeignKeyConstraint(["previous_id"], ["update.id"], name=op.f("fk_update_previous_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_update")),
        sa.UniqueConstraint("dataset_id", "source_version", "content_hash", name=op.f("uq_update_dataset_id_source_version_content_hash")))
    op.create_table("assessment",
        number("id"), must("update_id", Whole), must("assessed_at", Time), may("model_version", Text), may("score", Real), may("p_value", Real),
        may("budget", Real), may("once_in", Whole), must("verdict", Text), may("sentence", Text), may("needed", Whole), may("judged_on", Whole),
        must("entry", Whole),
        sa.ForeignKeyConstraint(["entry"], ["ledger.id"], name=op.f("fk_assessment_entry")),
        sa.ForeignKeyConstraint(["update_id"], ["update.id"], name=op.f("fk_assessment_update_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_assessment")))
    op.create_index(op.f("ix_assessment_update_id"), "assessment", ["update_id"], unique=False)
    op.create_table("column_profile",
        number("id"), must("update_id", Whole), must("position", Whole), must("name", Text), must("type", Text), may("null_share", Real),
        may("empty_share", Real), may("distinct_count", Whole), may("unique_share", Real), may("top_share", Real), may("numeric_share", Real),
        may("time_share", Real), may("nonfinite_share", Real), may("zero_share", Real), may("negative_share", Real), may("integer_share", Real),
        may("min", Real), may("max", Real), may("mean", Real), may("std", Real), may("q05", Real), may("q25", Real), may("q50", Real),
        may("q75", Real), may("q95", Real), may("len_min", Real), may("len_mean", Real), may("len_max", Real), may("letter_share", Real),
        may("upper_share", Real), may("digit_share", Real), may("space_share", Real), may("punct_share", Real), may("other_share", Real),
        may("peculiarity", Real), may("oldest", Real), may("newest", Real), may("changed_share", Real), must("entry", Whole),
        sa.ForeignKeyConstraint(["entry"], ["ledger.id"], name=op.f("fk_column_profile_entry")),
        sa.ForeignKeyConstraint(["update_id"], ["update.id"], name=op.f("fk_column_profile_update_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_column_profile")),
        sa.UniqueConstraint("update_id", "position", name=op.f("uq_column_profile_update_id_position")))
    op.create_table("column_sketch",
        number("id"), must("update_id", Whole), must("position", Whole), must("kind", Text), must("bytes", Bytes), must("entry", Whole),
        sa.ForeignKeyConstraint(["entry"], ["ledger.id"], name=op.f("fk_column_sketch_entry")),
        sa.ForeignKeyConstraint(["update_id"], ["update.id"], name=op.f("fk_column_sketch_update_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_column_sketch")),
        sa.UniqueConstraint("update_id", "position", "kind", name=op.f("uq_column_sketch_update_id_position_kind")))
    op.create_table("finding",
        number("id"), must("update_id", Whole), must("found_at", Time), must("check_name", Text), may("column_name", Text), may("row_count", Whole),
        may("share", Real), must("severity", Text), may("note", Text), must("entry", Whole),
        sa.ForeignKeyConstraint(["entry"], ["ledger.id"], name=op.f("fk_finding_entry")),
        sa.ForeignKeyConstraint(["update_id"], ["update.id"], name=op.f("fk_finding_update_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_finding")))
    op.create_index(op.f("ix_finding_update_id"), "finding", ["update_id"], unique=False)
    op.create_table("sighting",
        number("id"), must("dataset_id", Whole), must("source_version", Text), must("update_id", Whole), may("origin", Text), must("stamp", Text),
        must("observed_at", Time), must("entry", Whole),
        sa.ForeignKeyConstraint(["dataset_id"], ["dataset.id"], name=op.f("fk_sighting_dataset_id")),
        sa.ForeignKeyConstraint(["entry"], ["ledger.id"], name=op.f("fk_sighting_entry")),
        sa.ForeignKeyConstraint(["update_id"], ["update.id"], name=op.f("fk_sighting_update_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sighting")))
    op.create_index(op.f("ix_sighting_dataset_id_source_version"), "sighting", ["dataset_id", "source_version"], unique=False)
    op.create_table("update_revision",
        number("id"), must("update_id", Whole), must("previous_id", Whole), must("observed_at", Time), may("same_share", Real),
        may("created_share", Real), may("updated_share", Real), may("deleted_share", Real), may("schema_changes", Whole), may("rows_created", Whole),
        may("rows_updated", Whole), may("rows_deleted", Whole), must("entry", Whole),
        sa.ForeignKeyConstraint(["entry"], ["ledger.id"], name=op.f("fk_update_revision_entry")),
        sa.ForeignKeyConstraint(["previous_id"], ["update.id"], name=op.f("fk_update_revision_previous_id")),
        sa.ForeignKeyConstraint(["update_id"], ["update.id"], name=op.f("fk_update_revision_update_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_update_revision")),
        sa.UniqueConstraint("update_id", "previous_id", name=op.f("uq_update_revision_update_id_previous_id")))
    op.create_table("column_revision",
        number("id"), must("update_revision_id", Whole), must("position", Whole), may("changed_share", Real), must("entry", Whole),
        sa.ForeignKeyConstraint(["entry"], ["ledger.id"], name=op.f("fk_column_revision_entry")),
        sa.ForeignKeyConstraint(["update_revision_id"], ["update_revision.id"], name=op.f("fk_column_revision_update_revision_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_column_revision")),
        sa.UniqueConstraint("update_revision_id", "position", name=op.f("uq_column_revision_update_revision_id_position")))
    op.create_table("incident",
        number("id"), must("dataset_id", Whole), must("update_id", Whole), may("assessment_id", Whole), must("opened_at", Time), must("key", Text),
        may("title", Text), may("severity", Text), must("entry", Whole),
        sa.ForeignKeyConstraint(["assessment_id"], ["assessment.id"], name=op.f("fk_incident_assessment_id")),
        sa.ForeignKeyConstraint(["dataset_id"], ["dataset.id"], name=op.f("fk_incident_dataset_id")),
        sa.ForeignKeyConstraint(["entry"], ["ledger.id"], name=op.f("fk_incident_entry")),
        sa.ForeignKeyConstraint(["update_id"], ["update.id"], name=op.f("fk_incident_update_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_incident")),
        sa.UniqueConstraint("dataset_id", "key", name=op.f("uq_incident_dataset_id_key")))
    op.create_table("reason",
        number("id"), must("assessment_id", Whole), must("rank", Whole), may("column_name", Text), must("metric", Text), may("observed", Real),
        may("expected_low", Real), may("expected_high", Real), may("z", Real), may("share", Real), may("text", Text), must("entry", Whole),
        sa.ForeignKeyConstraint(["assessment_id"], ["assessment.id"], name=op.f("fk_reason_assessment_id")),
        sa.ForeignKeyConstraint(["entry"], ["ledger.id"], name=op.f("fk_reason_entry")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reason")),
        sa.UniqueConstraint("assessment_id", "rank", name=op.f("uq_reason_assessment_id_rank")))
    op.create_table("incident_event",
        number("id"), must("incident_id", Whole), must("happened_at", Time), must("who", Text), may("from_state", Text), must("to_state", Text),
        may("note", Text), may("update_id", Whole), may("assessment_id", Whole), must("entry", Whole),
        sa.ForeignKeyConstraint(["assessment_id"], ["assessment.id"], name=op.f("fk_incident_event_assessment_id")),
        sa.ForeignKeyConstraint(["entry"], ["ledger.id"], name=op.f("fk_incident_event_entry")),
        sa.ForeignKeyConstraint(["incident_id"], ["incident.id"], name=op.f("fk_incident_event_incident_id")),
        sa.ForeignKeyConstraint(["update_id"], ["update.id"], name=op.f("fk_incident_event_update_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_incident_event")))
    op.create_index(op.f("ix_incident_event_incident_id"), "incident_event", ["incident_id"], unique=False)
    op.create_table("label",
        number("id"), must("dataset_id", Whole), must("update_id", Whole), may("incident_id", Whole), must("labelled_at", Time), must("who", Text),
        must("label", Text), may("column_name", Text), may("note", Text), must("entry", Whole),
        sa.ForeignKeyConstraint(["dataset_id"], ["dataset.id"], name=op.f("fk_label_dataset_id")),
        sa.ForeignKeyConstraint(["entry"], ["ledger.id"], name=op.f("fk_label_entry")),
        sa.ForeignKeyConstraint(["incident_id"], ["incident.id"], name=op.f("fk_label_incident_id")),
        sa.ForeignKeyConstraint(["update_id"], ["update.id"], name=op.f("fk_label_update_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_label")))
    op.create_index(op.f("ix_label_update_id"), "label", ["update_id"], unique=False)
    op.create_table("message",
        number("id"), must("incident_id", Whole), must("key", Text), must("channel", Text), may("subject", Text), must("body", Text),
        must("created_at", Time), may("send_at", Time), must("entry", Whole),
        sa.ForeignKeyConstraint(["entry"], ["ledger.id"], name=op.f("fk_message_entry")),
        sa.ForeignKeyConstraint(["incident_id"], ["incident.id"], name=op.f("fk_message_incident_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_message")),
        sa.UniqueConstraint("key", name=op.f("uq_message_key")))
    op.create_table("message_attempt",
        number("id"), must("message_id", Whole), must("attempted_at", Time), must("state", Text), must("tries", Whole), may("error", Text),
        may("next_try_at", Time), may("sent_at", Time), must("entry", Whole),
        sa.ForeignKeyConstraint(["entry"], ["ledger.id"], name=op.f("fk_message_attempt_entry")),
        sa.ForeignKeyConstraint(["message_id"], ["message.id"], name=op.f("fk_message_attempt_message_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_message_attempt")))
    op.create_index(op.f("ix_message_attempt_message_id"), "message_attempt", ["message_id"], unique=False)


def downgrade(): raise NotImplementedError("the archive only grows")
