"""Every table of the record. The migrations make exactly this; a test compares.

What changes with every line of output (`progress`) lies apart from what is wide and seldom changes (`runs`): an update
rewrites its whole row, and a submission may be a megabyte.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    SmallInteger,
    String,
    Table,
    UniqueConstraint,
    false,
    true,
)

from app.store.columns import Bytes, Json, Key, Words

#: The newest migration. Known here so that an up-to-date database opens without loading the migrations.
HEAD = "0010"

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

evaluations = Table(
    "evaluations",
    metadata,
    Column("id", Key, primary_key=True),
    Column("suite", Words, nullable=False),
    Column("tasks", Json, nullable=False),
    Column("agent", Words),
    Column("model", Words),
    Column("epochs", Integer, nullable=False),
    Column("policy", String(16)),
    Column("runtime", String(16)),
    Column("limits", Json, nullable=False),
    Column("actor", Words, nullable=False),
    Column("created_at", Double, nullable=False),
)

runs = Table(
    "runs",
    metadata,
    Column("id", Key, primary_key=True),
    Column("evaluation", Key, ForeignKey("evaluations.id"), nullable=False),
    Column("suite", Words, nullable=False),
    Column("family", Words, nullable=False),
    Column("task", Words, nullable=False),
    Column("agent", Words, nullable=False),
    Column("model", Words),
    Column("epoch", Integer, nullable=False),
    Column("state", String(16), nullable=False),
    Column("phase", String(16)),
    Column("outcome", String(32)),
    Column("detail", Words, nullable=False),
    Column("limits", Json, nullable=False),
    Column("policy", String(16), nullable=False),
    # What is asked of its sandboxes, and what the agent's turned out to be.
    Column("runtime", String(16), nullable=False, server_default="auto"),
    Column("profile", String(16), nullable=False, server_default="strict"),
    Column("sandbox", Json),
    Column("created_at", Double, nullable=False),
    Column("started_at", Double),
    Column("ended_at", Double),
    Column("score_status", String(16)),
    Column("score_value", Double),
    Column("score_explanation", Words),
    Column("retry_of", Key, ForeignKey("runs.id")),
    Column("honeytokens", Boolean, nullable=False, server_default=true()),
    Column("instructions", Words),
    Column("submission", Words),
    CheckConstraint("(state = 'ended') = (outcome IS NOT NULL)", name="outcome_exactly_when_ended"),
    Index(None, "state", "id"),
    Index(None, "evaluation", "state"),
    Index(None, "ended_at"),
)

#: How far each run's record has come. One narrow row per run, changed by every append.
progress = Table(
    "progress",
    metadata,
    Column("run", Key, ForeignKey("runs.id"), primary_key=True, autoincrement=False),
    Column("lines", BigInteger, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("events", BigInteger, nullable=False),
    # The open small chunks at the end of the output: those after `tail_after`, how many and how heavy.
    Column("tail_after", BigInteger, nullable=False),
    Column("tail_chunks", Integer, nullable=False),
    Column("tail_weight", Integer, nullable=False),
    # What the next line may inherit from the last one: `Carry.packed`.
    Column("level_carry", Integer, nullable=False, server_default="0"),
    # What was done to the record of an ended run: its chunks made large; its usage folded to points this long.
    Column("compacted", Boolean, nullable=False, server_default=false()),
    Column("usage_seconds", Integer, nullable=False, server_default="1"),
)

events = Table(
    "events",
    metadata,
    Column("run", Key, ForeignKey("runs.id"), primary_key=True, autoincrement=False),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("at", Double, nullable=False),
    Column("line", BigInteger, nullable=False),
    Column("data", Json, nullable=False),
    sqlite_with_rowid=False,
)

#: The key is the last line, so that "the chunks after line n" is one walk along the index.
output_chunks = Table(
    "output_chunks",
    metadata,
    Column("run", Key, ForeignKey("runs.id"), primary_key=True, autoincrement=False),
    Column("last_line", BigInteger, primary_key=True, autoincrement=False),
    Column("first_line", BigInteger, nullable=False),
    Column("line_count", Integer, nullable=False),
    Column("first_at", BigInteger, nullable=False),  # unix microseconds
    Column("last_at", BigInteger, nullable=False),
    Column("raw_bytes", Integer, nullable=False),
    Column("codec", SmallInteger, nullable=False),
    Column("crc32", BigInteger, nullable=False),
    Column("data", Bytes, nullable=False),
    # How many of its lines have each level; NULL in chunks older than levels.
    Column("errors", Integer),
    Column("warnings", Integer),
    Column("infos", Integer),
    Column("debugs", Integer),
    # All that is known of chunks without their data: ten million lines are outlined in some megabytes of index.
    Index(
        "ix_output_chunks_outline",
        *("run", "last_line", "first_line", "first_at", "last_at", "raw_bytes"),
        *("errors", "warnings", "infos", "debugs"),
    ),
)

relay_positions = Table(
    "relay_positions",
    metadata,
    Column("run", Key, ForeignKey("runs.id"), primary_key=True, autoincrement=False),
    Column("sandbox", String(128), primary_key=True),
    Column("offset", BigInteger, nullable=False),
    Column("pending", Bytes, nullable=False),
)

usage_points = Table(
    "usage_points",
    metadata,
    Column("run", Key, ForeignKey("runs.id"), primary_key=True, autoincrement=False),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("at", Double, nullable=False),
    Column("cpu_mean", Double, nullable=False),
    Column("cpu_max", Double, nullable=False),
    Column("memory_bytes", BigInteger, nullable=False),
    Column("pids", Integer, nullable=False),
    # Of points that stand for more than one second.
    Column("seconds", Integer, nullable=False, server_default="1"),
    Column("cpu_min", Double),
    Column("memory_min", BigInteger),
    Column("memory_mean", Double),
    Column("pids_min", Integer),
    Column("pids_mean", Double),
    # Counters since the sandbox's start; NULL where the host does not tell, and in points older than they are.
    Column("disk_written_bytes", BigInteger),
    Column("network_attempts", BigInteger),
    Column("disk_used_bytes", BigInteger),  # highest; NULL as above
    Column("cpu_seconds", Double),  # as the other counters
    sqlite_with_rowid=False,
)

receipts = Table(
    "receipts",
    metadata,
    Column("id", Key, primary_key=True),
    Column("run", Key, ForeignKey("runs.id"), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("source", String(16), nullable=False),
    Column("actor", Words, nullable=False),
    Column("text", Words, nullable=False),
    Column("path", Words, nullable=False),
    Column("received_at", Double, nullable=False),
    Column("acted_ms", Double),
    Column("dead_ms", Double),
    Column("changed", Boolean, nullable=False),
    Column("failure", Words, nullable=False),
    Column("steps", Json),  # [[name, milliseconds since received], …]; NULL until proven, and in older ones
    Index(None, "run", "id"),
)

#: What was sealed of a run when it was stopped: `data` exactly as its SHA-256 was taken.
evidence = Table(
    "evidence",
    metadata,
    Column("receipt", Key, ForeignKey("receipts.id"), primary_key=True, autoincrement=False),
    Column("run", Key, ForeignKey("runs.id"), nullable=False),
    Column("at", Double, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("data", Words, nullable=False),
    Index(None, "run"),
)

alerts = Table(
    "alerts",
    metadata,
    Column("id", Key, primary_key=True),
    Column("run", Key, ForeignKey("runs.id")),  # NULL: of the host
    Column("at", Double, nullable=False),
    Column("rule", Words, nullable=False),
    Column("category", String(32), nullable=False),
    Column("severity", SmallInteger, nullable=False),
    Column("title", Words, nullable=False),
    Column("response", Words, nullable=False),
    Column("line", BigInteger),
    Column("quote", Words, nullable=False),
    Column("status", String(16), nullable=False),
    Column("count", Integer, nullable=False),
    Column("last_line", BigInteger),
    Column("action", Words, nullable=False),
    Column("by", Words, nullable=False),
    Column("status_at", Double, nullable=False),
    Index(None, "run", "rule"),
    Index(None, "status", "severity", "id"),
)

#: What a proof of the sandbox on this host found: `crucible doctor --prove` and the page Health.
proofs = Table(
    "proofs",
    metadata,
    Column("id", Key, primary_key=True),
    Column("begun_at", Double, nullable=False),
    Column("seconds", Double, nullable=False),
    Column("actor", Words, nullable=False),
    Column("engine", Words, nullable=False),
    Column("held", Integer, nullable=False),
    Column("broke", Integer, nullable=False),
    Column("untested", Integer, nullable=False),
    Column("verdicts", Json, nullable=False),
    Index(None, "begun_at"),
)

hold = Table(
    "hold",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("actor", Words, nullable=False),
    Column("text", Words, nullable=False),
    Column("at", Double, nullable=False),
    CheckConstraint("id = 1", name="one_hold_at_most"),
)

audit = Table(
    "audit",
    metadata,
    Column("id", Key, primary_key=True),
    Column("at", Double, nullable=False),
    Column("actor", Words, nullable=False),
    Column("action", Words, nullable=False),
    Column("subject", Words, nullable=False),
    Column("detail", Words, nullable=False),
)

users = Table(
    "users",
    metadata,
    Column("id", Key, primary_key=True),
    Column("name", String(64), nullable=False),
    Column("password_hash", Words),
    UniqueConstraint("name"),
)

#: Links, sessions and tokens are found by the SHA-256 of their secret; the secret itself is nowhere.
links = Table(
    "links",
    metadata,
    Column("digest", Bytes, primary_key=True),
    Column("user", Key, ForeignKey("users.id"), nullable=False),
    Column("expires_at", Double, nullable=False),
)

sessions = Table(
    "sessions",
    metadata,
    Column("digest", Bytes, primary_key=True),
    Column("user", Key, ForeignKey("users.id"), nullable=False),
    Column("csrf", String(128), nullable=False),
    Column("expires_at", Double, nullable=False),
)

tokens = Table(
    "tokens",
    metadata,
    Column("id", Key, primary_key=True),
    Column("digest", Bytes, nullable=False),
    Column("user", Key, ForeignKey("users.id"), nullable=False),
    Column("name", Words, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("expires_at", Double),
    Column("last_used_at", Double),
    UniqueConstraint("digest"),
)
