"""how far a column follows another

Breaks: nothing, one metric more; it is empty for updates of before.
"""
import sqlalchemy as sa
from alembic import op

revision, down_revision = "0004", "0003"


def upgrade(): op.add_column("column_profile", sa.Column("agreement", sa.Double(), nullable=True))


def downgrade(): raise NotImplementedError("the archive only grows")
