"""Servers of Redis' kind beside the plain one: replicas and Sentinels."""

from __future__ import annotations

from pathlib import Path

from redis import Redis
from redis.exceptions import RedisError

from msaas.local.processes.child import Child, ProcessGuard
from msaas.local.servers import LOOPBACK, OnLine, Valkey, valkey_binary
from msaas.redis_client import connect


class Replica(Valkey):
    """Ready once it follows its primary."""

    def __init__(self, folder: Path, primary: Valkey) -> None:
        super().__init__(folder)
        self._primary = primary

    def argv(self) -> list[str]:
        return [*super().argv(), "--replicaof", LOOPBACK, str(self._primary.port), "--repl-diskless-sync-delay", "0"]

    def ready(self) -> bool:
        if not super().ready():
            return False
        with connect(self.address) as client:
            return bool(client.info("replication")["master_link_status"] == "up")


class SentinelServer(Valkey):
    """One Sentinel, which alone decides. Ready once it knows a replica that could become primary."""

    def __init__(self, folder: Path, primary: Valkey, name: str) -> None:
        super().__init__(folder)
        self._primary, self._name = primary, name

    def argv(self) -> list[str]:
        return [str(valkey_binary()), "sentinel.conf", "--sentinel"]

    def launch(self, guard: ProcessGuard, on_line: OnLine | None = None) -> Child:
        self.folder.mkdir(parents=True, exist_ok=True)
        lines = (
            f"bind {LOOPBACK}\nport {self.port}\n"
            f"sentinel monitor {self._name} {LOOPBACK} {self._primary.port} 1\n"
            f"sentinel down-after-milliseconds {self._name} 500\n"
            f"sentinel failover-timeout {self._name} 10000\n"
        )
        (self.folder / "sentinel.conf").write_text(lines)
        return super().launch(guard, on_line)

    def ready(self) -> bool:
        with Redis(host=LOOPBACK, port=self.port) as client:
            try:
                return bool(client.sentinel_master(self._name)["num-slaves"])
            except RedisError:
                return False
