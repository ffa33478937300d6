"""until when an incident is muted; which model files may be loaded

Breaks: nothing; a query that looked for the time in the note of an acknowledged incident reads `until_at` now (steps of before have it in their note alone).
"""
from functools import partial

import sqlalchemy as sa
from alembic import op

revision, down_revision = "0002", "0001"
Whole, Text, Time = sa.BigInteger().with_variant(sa.Integer, "sqlite"), sa.Text(), sa.DateTime(timezone=True)
must, number = partial(sa.Column, nullable=False), partial(sa.Column, type_=Whole, autoincrement=False, nullable=False)


def upgrade():
    op.add_column("incident_event", sa.Column("until_at", Time, nullable=True))
    op.create_table("model",
        number("id"), must("dataset_id", Whole), must("made_at", Time), must("kind", Text), must("stamp", Text), must("learned", Whole),
        must("sha256", Text), must("size", Whole), must("entry", Whole),
        sa.ForeignKeyConstraint(["dataset_id"], ["dataset.id"], name=op.f("fk_model_dataset_id")),
        sa.ForeignKeyConstraint(["entry"], ["ledger.id"], name=op.f("fk_model_entry")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_model")))
    op.create_index(op.f("ix_model_dataset_id_sha256"), "model", ["dataset_id", "sha256"], unique=False)


def downgrade(): raise NotImplementedError("the archive only grows")
