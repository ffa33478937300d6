"""files of the ingestion job: what they held, what became of them

Breaks: nothing, two tables more.
"""
from functools import partial

import sqlalchemy as sa
from alembic import op

revision, down_revision = "0003", "0002"
Whole, Text, Time = sa.BigInteger().with_variant(sa.Integer, "sqlite"), sa.Text(), sa.DateTime(timezone=True)
must, may, number = partial(sa.Column, nullable=False), partial(sa.Column, nullable=True), partial(sa.Column, type_=Whole, autoincrement=False, nullable=False)


def upgrade():
    op.create_table("ingestion",
        number("id"), must("dataset_id", Whole), must("update_id", Whole), must("file_name", Text), must("file_hash", Text), must("ingested_at", Time),
        may("row_count", Whole), may("valid_count", Whole), may("invalid_count", Whole), may("criticality", Text), may("note", Text), must("entry", Whole),
        sa.ForeignKeyConstraint(["dataset_id"], ["dataset.id"], name=op.f("fk_ingestion_dataset_id")),
        sa.ForeignKeyConstraint(["entry"], ["ledger.id"], name=op.f("fk_ingestion_entry")),
        sa.ForeignKeyConstraint(["update_id"], ["update.id"], name=op.f("fk_ingestion_update_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ingestion")),
        sa.UniqueConstraint("dataset_id", "file_hash", name=op.f("uq_ingestion_dataset_id_file_hash")))
    op.create_table("ingestion_event",
        number("id"), must("ingestion_id", Whole), must("happened_at", Time), must("what", Text), may("channel", Text), must("state", Text), may("note", Text), must("entry", Whole),
        sa.ForeignKeyConstraint(["entry"], ["ledger.id"], name=op.f("fk_ingestion_event_entry")),
        sa.ForeignKeyConstraint(["ingestion_id"], ["ingestion.id"], name=op.f("fk_ingestion_event_ingestion_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ingestion_event")))
    op.create_index(op.f("ix_ingestion_event_ingestion_id"), "ingestion_event", ["ingestion_id"], unique=False)


def downgrade(): raise NotImplementedError("the archive only grows")
